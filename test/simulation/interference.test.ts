import { describe, expect, it } from 'vitest';
import { runSeed, worldOf, type SeedResult } from '../../src/simulator/comparison/run-seed.js';
import { readScenario } from '../../src/simulator/scenarios/scenario-files.js';
import { setUp } from '../../src/simulator/scenarios/setup.js';

const SEEDS = [31, 32, 33, 34];
/** Five seconds until it is learnt, as long as the window in which violations are counted. */
const LEARNT_AFTER_SEC = 5;
/** Until one instance is used, where several do not pay. */
const SETTLED_AFTER_SEC = 20;

/** Neighbours slow batches down from the first moment on, and no planner was told. */
function resultsOf(
  policy: string,
  interference: number,
  durationSec: number,
  scenario = 'authors-applied',
): SeedResult[] {
  const settings = [`durationSec=${durationSec}`, 'service=p99-table', `cpu.interference=${interference}`];
  const file = readScenario(scenario, settings);
  const setup = setUp(file.scenario, file.name, file.folder);
  return SEEDS.map((seed) => runSeed(setup, worldOf(setup, seed), policy));
}

function sumOf(results: readonly SeedResult[], valueOf: (result: SeedResult) => number): number {
  return results.reduce((sum, result) => sum + valueOf(result), 0);
}

/** Of those sent from then on until then. */
function lostFraction(results: readonly SeedResult[], fromSec: number, toSec: number): number {
  const within = (column: readonly number[]): number =>
    column.slice(fromSec, toSec).reduce((sum, each) => sum + each, 0);
  const violated = sumOf(results, ({ violatedBySecond }) => within(violatedBySecond));
  return violated / sumOf(results, ({ sentBySecond }) => within(sentBySecond));
}

describe('instances that slow each other down', () => {
  it('by 0.3, unknown beforehand: within five seconds no more is lost than twice what is lost without, or one in a thousand', () => {
    const former = lostFraction(resultsOf('sponge(instances=4)', 0, 60), 0, 60);
    const results = resultsOf('sponge(instances=4)', 0.3, 60);
    const allowed = Math.max(2 * former, 0.001);
    expect(lostFraction(results, LEARNT_AFTER_SEC, 2 * LEARNT_AFTER_SEC)).toBeLessThanOrEqual(allowed);
    expect(lostFraction(results, LEARNT_AFTER_SEC, 60)).toBeLessThanOrEqual(allowed);
  });

  it.each([
    ['authors-applied', 2],
    ['authors-applied', 4],
    ['bursts', 2],
  ])(
    'so much that more than one do not pay (%s, %i): about what one takes, and as little lost',
    (scenario, instances) => {
      const one = resultsOf('sponge', 0.9, 200, scenario);
      const several = resultsOf(`sponge(instances=${instances})`, 0.9, 200, scenario);
      const coresOf = (results: readonly SeedResult[]): number => sumOf(results, ({ coreSeconds }) => coreSeconds);
      expect(coresOf(several)).toBeLessThan(1.15 * coresOf(one));
      // Until it is learnt they are used side by side.
      expect(lostFraction(several, SETTLED_AFTER_SEC, 200)).toBeLessThan(
        lostFraction(one, SETTLED_AFTER_SEC, 200) + 0.004,
      );
    },
  );

  it('a little: several take less than one, as they do without', () => {
    const coresOf = (policy: string): number => sumOf(resultsOf(policy, 0.3, 100), ({ coreSeconds }) => coreSeconds);
    expect(coresOf('sponge(instances=4)')).toBeLessThan(0.75 * coresOf('sponge'));
  });
});
