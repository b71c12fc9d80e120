import { describe, expect, it } from 'vitest';
import { atMeanRate, meanRatePerSec } from './adjust.js';
import { parseScenario } from './parse-scenario.js';
import { READY_NAMES, readScenario } from './scenario-files.js';
import { setUp } from './setup.js';

describe('a scenario at another mean rate', () => {
  it.each(READY_NAMES)('%s has it, and the same shape', (name) => {
    const { scenario } = readScenario(name);
    const { arrivals, durationSec } = atMeanRate(scenario, 7);
    if (arrivals.kind === 'rates') throw new Error('no ready scenario lists its rates');
    expect(meanRatePerSec(arrivals, durationSec)).toBeCloseTo(7, 9);
    expect(arrivals.kind).toBe(scenario.arrivals.kind);
  });

  it.each([5, 20, 100, 333, 5000])('is what a run of %d s sends, whatever part of the shape it sees', (durationSec) => {
    for (const name of ['diurnal', 'flash-crowd']) {
      const { scenario } = readScenario(name, [`durationSec=${durationSec}`]);
      const setup = setUp(atMeanRate(scenario, 3000 / durationSec), name, '.');
      const counts = [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => setup.workload(seed).count);
      // 24 000 in all: four standard deviations are 2.6 %.
      expect(counts.reduce((sum, count) => sum + count, 0) / 24_000, name).toBeCloseTo(1, 1);
    }
    const rates = parseScenario(
      `durationSec: ${durationSec}\narrivals: { kind: rates, ratesPerSec: [1, 3, 8] }`,
      's.yaml',
    );
    const { arrivals } = rates;
    if (arrivals.kind !== 'rates') throw new Error('not a list');
    const sum = Array.from({ length: durationSec }, (_, second) => [1, 3, 8][second % 3]!).reduce((a, b) => a + b);
    expect(meanRatePerSec({ ...arrivals, ratesPerSec: [1, 3, 8], repeat: true }, durationSec)).toBeCloseTo(
      sum / durationSec,
      9,
    );
  });

  it('scales a list, and says so where the list is in a file', () => {
    const parse = (arrivals: string) => parseScenario(`durationSec: 4\narrivals: ${arrivals}`, 's.yaml');
    expect(atMeanRate(parse('{ kind: rates, ratesPerSec: [1, 3] }'), 6).arrivals).toMatchObject({
      ratesPerSec: [3, 9],
    });
    expect(() => atMeanRate(parse('{ kind: rates, file: a.txt }'), 6)).toThrow(
      'the rates of this scenario are in a file',
    );
  });
});
