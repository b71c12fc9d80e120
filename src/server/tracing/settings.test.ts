import { describe, expect, it } from 'vitest';
import { isAlwaysKept, isSampled } from './sampling.js';
import { tracingSettings } from './settings.js';

describe('whether and where spans are sent', () => {
  it.each([
    [{}, {}, null],
    [{}, { OTEL_EXPORTER_OTLP_ENDPOINT: '' }, null],
    [{ otlpEndpoint: 'http://c:4318' }, {}, 'http://c:4318/v1/traces'],
    [{ otlpEndpoint: 'https://c/otlp/' }, {}, 'https://c/otlp/v1/traces'],
    [{}, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://e:4318' }, 'http://e:4318/v1/traces'],
    // As it is.
    [{}, { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t/spans' }, 'http://t/spans'],
    [
      {},
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t/spans', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://e' },
      'http://t/spans',
    ],
    [{ otlpEndpoint: 'http://c' }, { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t/spans' }, 'http://c/v1/traces'],
    [{}, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://e', OTEL_SDK_DISABLED: 'TRUE' }, null],
    [{}, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://e', OTEL_TRACES_EXPORTER: 'none' }, null],
  ])('of %j and %j is %s', (flags, environment, url) => {
    expect(tracingSettings(flags, environment)?.url ?? null).toBe(url);
  });

  it('samples by the flag, else by the variables, else everything', () => {
    const of = (environment: Record<string, string>, traceRatio?: number) =>
      tracingSettings({ otlpEndpoint: 'http://c', ...(traceRatio === undefined ? {} : { traceRatio }) }, environment);
    expect(of({})).toMatchObject({ ratio: 1, isParentBased: true });
    expect(of({ OTEL_TRACES_SAMPLER_ARG: '0.25' })).toMatchObject({ ratio: 0.25 });
    expect(of({ OTEL_TRACES_SAMPLER_ARG: '0.25' }, 0)).toMatchObject({ ratio: 0 });
    expect(of({ OTEL_TRACES_SAMPLER: 'always_off', OTEL_TRACES_SAMPLER_ARG: '1' })).toMatchObject({
      ...{ ratio: 0, isParentBased: false },
    });
    expect(of({ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.5' })).toMatchObject({
      ...{ ratio: 0.5, isParentBased: false },
    });
  });

  it.each([
    [{ OTEL_TRACES_SAMPLER: 'jaeger_remote' }, 'OTEL_TRACES_SAMPLER=jaeger_remote: expected one of'],
    [{ OTEL_TRACES_SAMPLER_ARG: 'half' }, 'OTEL_TRACES_SAMPLER_ARG=half: expected a share of requests, 0 to 1'],
    [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'spans are sent over HTTP only'],
  ])('is refused where %j', (environment, message) => {
    expect(() => tracingSettings({ otlpEndpoint: 'http://c:4318' }, environment)).toThrow(message);
  });

  it.each(['c:4318', 'grpc://c', 'file:///etc', ''])('is no place where it is %j', (otlpEndpoint) => {
    expect(() => tracingSettings({ otlpEndpoint }, {})).toThrow(/^--otlp-endpoint: expected http/);
  });
});

describe('which requests become spans', () => {
  const parent = { traceId: [1, 2, 3, 4], spanId: [5, 6], state: '' } as const;

  it('is the caller’s decision where there is one, and it counts', () => {
    for (const isSampledThere of [true, false]) {
      const caller = { ...parent, isSampled: isSampledThere };
      expect(isSampled([1, 2, 3, 4], caller, { ratio: 0.5, isParentBased: true })).toBe(isSampledThere);
      expect(isSampled([1, 2, 3, 4], caller, { ratio: 1, isParentBased: false })).toBe(true);
    }
  });

  it('is a share of traces, by what is random in their ids', () => {
    const count = 4096;
    // All first 32 of the last 56 bits there are, evenly.
    const traces = Array.from({ length: count }, (_, i) => {
      const random = (i * 2 ** 32) / count;
      return [7, 7, Math.floor(random / 2 ** 8), ((random % 2 ** 8) * 2 ** 24) >>> 0] as const;
    });
    for (const ratio of [0, 0.25, 0.75, 1]) {
      const kept = traces.filter((trace) => isSampled(trace, null, { ratio, isParentBased: true })).length;
      expect(kept).toBe(ratio * count);
    }
  });

  it('are always those that were late, refused or failed, and calls that were turned away', () => {
    const outcomes = ['completed_late', 'rejected_infeasible', 'rejected_overload', 'expired', 'failed'] as const;
    expect(outcomes.every((outcome) => isAlwaysKept(outcome, false))).toBe(true);
    expect([isAlwaysKept('completed_on_time', false), isAlwaysKept('cancelled', false)]).toEqual([false, false]);
    expect([isAlwaysKept(null, true), isAlwaysKept(null, false)]).toEqual([true, false]);
  });
});
