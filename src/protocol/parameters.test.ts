import { describe, expect, it } from 'vitest';
import {
  parseGrpcTimeout,
  headerBudgetsMs,
  readDeadlineInputs,
  responseParameters,
  withHeaderParameters,
} from './parameters.js';
import type { InferCall, ParameterValue } from './service.js';

function callWith(parameters: Record<string, ParameterValue>, statedBudgetsMs: readonly number[] = []): InferCall {
  return {
    modelName: 'm',
    inputs: [],
    outputNames: [],
    parameters,
    statedBudgetsMs,
    arrival: { firstByteAtMs: 0, receivedAtMs: 0, routerDelayMs: 0, bodyBytes: 0, peer: '' },
  };
}

describe('deadline inputs', () => {
  it('adds the timeout parameter, microseconds, to the budgets stated elsewhere', () => {
    expect(readDeadlineInputs(callWith({ timeout: 250_000 }, [300]))).toEqual({
      statedBudgetsMs: [300, 250],
      isBestEffort: false,
    });
  });

  it('takes 0 as absent', () => {
    expect(readDeadlineInputs(callWith({ timeout: 0, priority: 0, sponge_sent_unix_us: 0 }))).toEqual({
      statedBudgetsMs: [],
      isBestEffort: false,
    });
  });

  it('reads upload time, send stamp, priority and best effort', () => {
    const parameters = {
      sponge_upload_us: 1500,
      sponge_sent_unix_us: 1_700_000_000_000_500,
      priority: 2,
      best_effort: true,
    };
    expect(readDeadlineInputs(callWith(parameters))).toEqual({
      statedBudgetsMs: [],
      declaredUploadMs: 1.5,
      sentAtUnixMs: 1_700_000_000_000.5,
      priority: 2,
      isBestEffort: true,
    });
  });

  it.each<[string, ParameterValue]>([
    ['timeout', -1],
    ['timeout', 1.5],
    ['timeout', '100'],
    ['timeout', true],
    ['timeout', Number.NaN],
    ['timeout', 2 ** 53],
    ['priority', -1],
    ['priority', 'high'],
    ['sponge_upload_us', -5],
    ['sponge_sent_unix_us', '2026'],
    ['best_effort', 1],
    ['best_effort', 'true'],
  ])('refuses %s = %j', (name, value) => {
    expect(() => readDeadlineInputs(callWith({ [name]: value }))).toThrow(`parameter '${name}': expected`);
  });

  it('reads nothing from Object.prototype', () => {
    expect(readDeadlineInputs(callWith({ toString: 'x', constructor: 1 })).statedBudgetsMs).toEqual([]);
  });
});

describe('headers that say how much time there is', () => {
  const budgetsOf = (headers: Readonly<Record<string, string>>): readonly number[] =>
    headerBudgetsMs((name) => headers[name]);

  it('are decimal numbers > 0 of the unit in their name, and all are told', () => {
    expect(budgetsOf({})).toEqual([]);
    expect(budgetsOf({ 'request-timeout-ms': '250' })).toEqual([250]);
    expect(budgetsOf({ 'request-timeout-ms': ' 0.5 ' })).toEqual([0.5]);
    // As programs write large and small ones.
    expect(budgetsOf({ 'request-timeout-ms': '1e+3' })).toEqual([1000]);
    expect(budgetsOf({ 'request-timeout-ms': '2.5E-1' })).toEqual([0.25]);
    // More than all time there is would be no number in microseconds.
    expect(budgetsOf({ 'request-timeout-ms': '1.5e308' })).toEqual([1e12]);
    const all = {
      'x-llm-d-slo-ttft-ms': '120',
      'x-request-timeout-seconds': '0.5',
      'x-envoy-expected-rq-timeout-ms': '1500',
      'request-timeout-ms': '2000',
    };
    expect(budgetsOf(all)).toEqual([2000, 1500, 500, 120]);
  });

  const WRONG = ['0', '-1', '', 'soon', '1e', 'e3', '1e400', 'Infinity', 'NaN', '0x10', '1,2', '9'.repeat(400)];
  it.each(WRONG)('are refused: %j', (text) => {
    const names = [
      'request-timeout-ms',
      'x-envoy-expected-rq-timeout-ms',
      'x-request-timeout-seconds',
      'x-llm-d-slo-ttft-ms',
    ];
    for (const name of names) expect(() => budgetsOf({ [name]: text })).toThrow(`header ${name}: expected`);
  });
});

describe('grpc-timeout', () => {
  it.each([
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['250m', 250],
    ['1500u', 1.5],
    ['99999999n', 99.999_999],
  ])('%s is %d ms', (text, expectedMs) => expect(parseGrpcTimeout(text)).toBeCloseTo(expectedMs, 9));

  it.each(['', '10', '0m', '-1m', '1.5S', '123456789m', '1s', 'm'])('refuses %j', (text) => {
    expect(() => parseGrpcTimeout(text)).toThrow(/grpc-timeout/);
  });
});

describe('header parameters', () => {
  it('are added unless the parameter was sent too', () => {
    const headers: Record<string, string> = { 'sponge-upload-us': '10', 'sponge-sent-unix-us': '20' };
    expect(withHeaderParameters({ sponge_upload_us: 1 }, (name) => headers[name])).toEqual({
      sponge_upload_us: 1,
      sponge_sent_unix_us: 20,
    });
  });

  it('name the client, in 1 to 64 printable characters', () => {
    const named = (client: string): string | undefined =>
      readDeadlineInputs(callWith(withHeaderParameters({}, (name) => (name === 'sponge-client' ? client : undefined))))
        .client;
    expect(named('camera 7')).toBe('camera 7');
    for (const client of ['', 'x'.repeat(65), 'a\nb', 'ü']) {
      expect(() => named(client)).toThrow("parameter 'sponge_client': expected 1 to 64 printable ASCII characters");
    }
    expect(() => readDeadlineInputs(callWith({ sponge_client: 7 }))).toThrow("parameter 'sponge_client': expected");
  });

  it('are refused when they are no microseconds', () => {
    expect(() => withHeaderParameters({}, () => '-1')).toThrow(/header sponge-upload-us/);
  });
});

describe('response parameters', () => {
  const service = {
    queuedMs: 1.25,
    slackAtDispatchMs: -3.5,
    batchId: 1,
    batchSize: 4,
    cpuMillicores: 1500,
    threadCount: 2,
    plannedLatencyMs: 30.0006,
    latencyMs: 28,
  };
  const explanation = {
    sloMs: 520,
    budgetMs: 500,
    networkDelayMs: 20,
    networkDelaySource: 'send_stamp',
    routerDelayMs: 0,
    isDeadlineDefaulted: false,
  } as const;

  it('tell in whole microseconds how the request was served, and that it was late only when it was', () => {
    const onTime = {
      sponge_budget_us: 500_000,
      sponge_network_delay_us: 20_000,
      sponge_network_delay_source: 'send_stamp',
      sponge_queue_us: 1250,
      sponge_slack_us: -3500,
      sponge_batch: 4,
      sponge_allocation_millicores: 1500,
      sponge_planned_us: 30_001, // 30 000.6 rounded
      sponge_actual_us: 28_000,
      sponge_predicted_us: 30_001,
    };
    const completed = { kind: 'completed', outputs: [], service } as const;
    expect(responseParameters({ ...completed, isLate: false }, explanation)).toEqual(onTime);
    expect(responseParameters({ ...completed, isLate: true }, explanation)).toEqual({ ...onTime, sponge_late: true });
  });
});
