import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { publishedProfile } from '../../scheduler/perf-model/published.js';
import { parseScenario } from './parse-scenario.js';
import {
  filesOfReadyScenarios,
  READY_NAMES,
  READY_NODE_NAMES,
  READY_PIPELINE_NAMES,
  READY_VARIANTS_NAMES,
  readScenario,
} from './scenario-files.js';
import type { Scenario } from './schema.js';
import { setUp } from './setup.js';

const LEAST = 'durationSec: 60\narrivals: { kind: poisson, ratePerSec: 20 }\n';

describe('a scenario file', () => {
  it('needs a duration and arrivals, and has a default for everything else', () => {
    const scenario = parseScenario(LEAST, 'least.yaml');
    expect(scenario.payloads).toEqual([{ bytes: 303_600, sloMs: 1000, weight: 1 }]);
    expect(scenario.network).toMatchObject({ mode: 'applied', clients: 1, replyBytes: 4096 });
    expect(scenario.cpu).toMatchObject({
      stepCores: 0.1,
      idleCores: 0.1,
      idleRelease: true,
    });
    // a published profile is for 1 to 16 cores
    const { limits } = setUp(scenario, 'least.yaml', '.').environment.cpu;
    expect(limits).toEqual({ minMillicores: 1000, maxMillicores: 16_000, stepMillicores: 100 });
  });

  it.each([
    ['durationSec: [', 's.yaml: not valid YAML'],
    ['- a', 's.yaml: expected "key: value" lines'],
    ['arrivals: { kind: poisson, ratePerSec: 20 }', 's.yaml: durationSec: is missing'],
    [`${LEAST}durationsec: 5`, 's.yaml: unknown key "durationsec"; known keys: title, about, durationSec, profile'],
    [
      `${LEAST}network: { mode: applied, bandwith: 3 }`,
      's.yaml: network: unknown key "bandwith"; known keys: mode, log',
    ],
    [`${LEAST}payloads: [{ bytes: 5, slo: 7 }]`, 's.yaml: payloads[0]: unknown key "slo"; known keys: bytes, sloMs'],
    [`${LEAST}payloads: [{ bytes: [9, 5] }]`, 's.yaml: payloads[0].bytes: expected [least, most]'],
    [
      'durationSec: 60\narrivals: { kind: poison }',
      's.yaml: arrivals.kind: give one of constant, poisson, front-loaded',
    ],
    [
      'durationSec: 60\narrivals: { kind: mmpp, ratePerSec: 20, highFactor: 3, lowFactor: 0, dwell: [1, 2] }',
      's.yaml: arrivals.dwellSec: is missing',
    ],
    ['durationSec: 60\narrivals: { kind: poisson, ratePerSec: fast }', 's.yaml: arrivals.ratePerSec: '],
    ['durationSec: -1\narrivals: { kind: poisson, ratePerSec: 1 }', 's.yaml: durationSec: '],
    [`${LEAST}cpu: { stepCores: 0.0004 }`, 's.yaml: cpu.stepCores: '],
    [
      `${LEAST}network: { clients: 10000, mode: applied }\ndurationSec: 86400`.replace('durationSec: 60\n', ''),
      's.yaml: network.clients × durationSec',
    ],
    [`${LEAST}network: { mode: none, log: a.log }`, 's.yaml: network.mode is none'],
    ['durationSec: 60\narrivals: { kind: rates }', 's.yaml: arrivals of kind rates need either a file or ratesPerSec'],
  ])('that says %j is refused in one line', (text, message) => {
    expect(() => parseScenario(text, 's.yaml')).toThrow(message);
    try {
      parseScenario(text, 's.yaml');
    } catch (error) {
      expect((error as Error).message).not.toContain('\n');
    }
  });
});

describe('a scenario that is set up', () => {
  it.each([
    [`${LEAST}cpu: { minCores: 4, maxCores: 2 }`, 's.yaml: cpu.maxCores 2 is below cpu.minCores 4'],
    [`${LEAST}cpu: { idleCores: 2 }`, 's.yaml: cpu.idleCores 2 is above cpu.minCores 1'],
    [`${LEAST}cpu: { stepCores: 0.001 }`, 's.yaml: cpu.stepCores 0.001 makes more than 10000 allocations'],
    ['durationSec: 86400\narrivals: { kind: poisson, ratePerSec: 1000 }', 's.yaml: about 86400000 requests'],
  ])('refuses %j in one line', (text, message) => {
    expect(() => setUp(parseScenario(text, 's.yaml'), 's.yaml', '.')).toThrow(message);
  });

  it('takes a measured profile by its path, and no more cores than were measured', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sponge-scenario-test-'));
    try {
      const profile = publishedProfile('resnet18');
      const cells = profile.cells.filter((cell) => cell.cpuMillicores <= 2000);
      writeFileSync(join(folder, 'mine.json'), JSON.stringify({ ...profile, quality: 'full', name: 'mine', cells }));
      const at = (...settings: string[]): ReturnType<typeof setUp> =>
        setUp(parseScenario(LEAST, 's.yaml', ['profile=mine.json', ...settings]), 's.yaml', folder);
      expect(at().environment.cpu.limits).toMatchObject({ minMillicores: 1000, maxMillicores: 2000 });
      expect(() => at('cpu.maxCores=4')).toThrow('cpu.maxCores 4 is more than was measured; profile mine goes up to 2');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('settings', () => {
  const withSettings = (...settings: string[]): Scenario => parseScenario(LEAST, 's.yaml', settings);

  it('override keys by their path, read as YAML would read them', () => {
    const scenario = withSettings(
      'arrivals.ratePerSec=7',
      'cpu.idleRelease=false',
      'scaler.delayMs=[200, 2000]',
      'title=x',
    );
    expect(scenario.arrivals).toMatchObject({ ratePerSec: 7 });
    expect(scenario.cpu.idleRelease).toBe(false);
    expect(scenario.scaler.delayMs).toEqual([200, 2000]);
  });

  it('collect the values of a key that is set again', () => {
    expect(withSettings('network.log=a.log', 'network.log=b.log').network.log).toEqual(['a.log', 'b.log']);
  });

  it('reach into lists', () => {
    const text = `${LEAST}payloads: [{ bytes: 1 }, { bytes: 2 }]`;
    expect(parseScenario(text, 's.yaml', ['payloads.1.bytes=3']).payloads.map(({ bytes }) => bytes)).toEqual([1, 3]);
  });

  it.each([
    ['arrivals', '--set arrivals: expected key=value'],
    ['=5', '--set =5: expected key=value'],
    ['durationSec.x=5', '--set durationSec.x: durationSec is a value'],
    ['__proto__.polluted=1', '--set __proto__.polluted: not a key'],
    ['cpu.cores=5', 's.yaml: cpu: unknown key "cores"; known keys: minCores, maxCores'],
  ])('such as %s are refused in one line', (setting, message) => {
    expect(() => withSettings(setting)).toThrow(message);
  });
});

describe('the ready scenarios', () => {
  it('are the files of their folder', () => {
    const names = [...READY_NAMES, ...READY_NODE_NAMES, ...READY_PIPELINE_NAMES, ...READY_VARIANTS_NAMES];
    expect(filesOfReadyScenarios()).toEqual(names.map((name) => `${name}.yaml`).sort());
  });

  it.each(READY_NAMES)('%s says what it is, and can be set up', (name) => {
    const { scenario, folder } = readScenario(name);
    expect(scenario.title).not.toBe('');
    expect(scenario.about).not.toBe('');
    const setup = setUp({ ...scenario, durationSec: 60 }, name, folder);
    expect(setup.workload(1).count).toBeGreaterThan(100);
    expect(setup.predictedRatePerSec).toBeGreaterThan(0);
  });

  it('overload is 1.3 times the greatest throughput', () => {
    const { scenario, folder } = readScenario('overload');
    const { machine, environment } = setUp(scenario, 'overload', folder);
    const { maxMillicores } = environment.cpu.limits;
    // 8 / l(8, 16), typical latency times the mean of its scatter, e^(0.07² / 2)
    const throughputPerSec = (1000 * 8) / (machine.curve.latencyMs(8, maxMillicores) * Math.exp(0.07 ** 2 / 2));
    expect(scenario.arrivals).toMatchObject({ kind: 'poisson' });
    if (scenario.arrivals.kind === 'poisson')
      expect(scenario.arrivals.ratePerSec / throughputPerSec).toBeCloseTo(1.3, 2);
  });

  it('are named in the message about one that does not exist', () => {
    expect(() => readScenario('nosuch')).toThrow(
      'no scenario nosuch; give a YAML file or one of authors, authors-applied',
    );
  });
});
