import { describe, expect, it } from 'vitest';
import { atMeanRate, meanRatePerSec } from './adjust.js';
import { parseScenario } from './parse-scenario.js';
import { READY_NAMES, readScenario } from './scenario-files.js';

describe('a scenario at another mean rate', () => {
  it.each(READY_NAMES)('%s has it, and the same shape', (name) => {
    const { scenario } = readScenario(name);
    const { arrivals, durationSec } = atMeanRate(scenario, 7);
    if (arrivals.kind === 'rates') throw new Error('no ready scenario lists its rates');
    expect(meanRatePerSec(arrivals, durationSec)).toBeCloseTo(7, 9);
    expect(arrivals.kind).toBe(scenario.arrivals.kind);
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
