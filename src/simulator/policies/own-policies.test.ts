import { describe, expect, it } from 'vitest';
import { policyFor } from './policies.js';
import { runSeed, worldOf } from '../comparison/run-seed.js';
import { readScenario } from '../scenarios/scenario-files.js';
import { setUp, type ScenarioSetup } from '../scenarios/setup.js';

function ready(scenarioName: string): ScenarioSetup {
  const settings = ['durationSec=60', 'service=p99-table', 'cpu.idleCores=0.001'];
  const { scenario, name, folder } = readScenario(scenarioName, settings);
  return setUp(scenario, name, folder);
}

const SETUP = ready('bursts');

describe('parts of the planner of several instances', () => {
  const world = worldOf(SETUP, 3);
  const run = (without: string) => runSeed(SETUP, world, `sponge(instances=2,without=${without})`);
  const whole = run('none');

  it.each(['price', 'waiting', 'behind', 'vertical', 'learning', 'forecast'])(
    'without %s it decides otherwise',
    (without) => expect(run(without).eventHash).not.toBe(whole.eventHash),
  );

  it('without losses it decides otherwise where some budgets are shorter than a batch', () => {
    const mixed = ready('mixed-payloads');
    const ofMixed = worldOf(mixed, 3);
    const hash = (policy: string) => runSeed(mixed, ofMixed, policy).eventHash;
    expect(hash('sponge(instances=2,without=losses)')).not.toBe(hash('sponge(instances=2)'));
  });

  it('all of them is what one has without asking', () => {
    expect(runSeed(SETUP, world, 'sponge(instances=2)').eventHash).toBe(whole.eventHash);
  });

  it('without vertical scaling no batch has more than a core, and two cores are too little for bursts', () => {
    const { heldMs, violationRateFeasible } = run('vertical');
    // But for the first instant: a system starts with one instance on all that the other does not hold.
    const heldLongMs = heldMs.filter(([, durationMs]) => durationMs > 1000);
    expect(Math.max(...heldLongMs.map(([millicores]) => millicores))).toBe(2000);
    expect(violationRateFeasible).toBeGreaterThan(whole.violationRateFeasible);
  });

  it.each([
    [
      'sponge(without=price)',
      'of one instance one of none, slowing, learning, forecast, losses, events can be left out',
    ],
    ['sponge(instances=2,without=slowing)', 'of several instances one of none, price, waiting, behind'],
    ['sponge(instances=2,safety=2)', 'safety is of one instance only'],
  ])('%s is refused in one line', (policy, message) => {
    expect(() => policyFor(policy, SETUP, 1)).toThrow(message);
  });
});

describe('the pool of one-core instances', () => {
  const world = worldOf(SETUP, 3);

  it('needs as many instances as cores are asked for, and more CPU than batches do', () => {
    const pool = (instances: number) => runSeed(SETUP, world, `one-core-pool(instances=${instances})`);
    expect(pool(2).violationRateFeasible).toBeGreaterThan(0.05);
    const many = pool(8);
    expect(many.violationRateFeasible).toBeLessThan(0.005);
    const ours = runSeed(SETUP, world, 'sponge(instances=8)');
    expect(many.coreSeconds).toBeGreaterThan(ours.coreSeconds);
    expect(many.batchedRequests).toBe(many.batches);
  });
});
