import { describe, expect, it } from 'vitest';
import { bestStatic } from '../comparison/best-static.js';
import { checkPolicy, policyFor, policyTitles } from './policies.js';
import { runSeed, worldOf } from '../comparison/run-seed.js';
import { readScenario } from '../scenarios/scenario-files.js';
import { setUp, type ScenarioSetup } from '../scenarios/setup.js';

function ready(name: string, ...settings: string[]): ScenarioSetup {
  const file = readScenario(name, settings);
  return setUp(file.scenario, file.name, file.folder);
}

describe('the policies', () => {
  it('have those that docs/policies.md describes and the paper was measured with', () => {
    expect(policyTitles().map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'sponge',
        'paper',
        'released',
        'static-8',
        'static-16',
        'best-static',
        'fa2',
        'fa2-cold',
      ]),
    );
  });

  it.each([
    ['spong', 'no policy is called spong; there are sponge, '],
    [
      'sponge(cores=3)',
      'policy sponge has no parameter cores; it has safety, instances, without, order, batching, admission, expiry',
    ],
    ['static(cores=-1)', 'policy parameter cores=-1: give a number > 0'],
    ['static(order=lifo)', 'policy parameter order=lifo: give one of edf, fifo'],
    ['constructor', 'no policy is called constructor'],
  ])('%s is refused in one line', (text, message) => {
    expect(() => checkPolicy(text)).toThrow(message);
  });

  it('say what the authors’ controllers need where a profile does not have it', () => {
    const setup = ready('authors');
    const poor = { ...setup, machine: { ...setup.machine, releasedFit: null } };
    expect(() => policyFor('released', poor, 1)).toThrow('too few cells');
  });

  it('keep a fixed allocation within the machine', () => {
    const { policy } = policyFor('static(cores=99)', ready('authors'), 1);
    const plan = policy.planner.plan({} as never).plan;
    expect(plan.cpuMillicores).toBe(16_000);
  });

  it('can have replicas of another unit, and as many as the machine has room for', () => {
    const setup = ready('authors');
    const halves = policyFor('fa2-published(unit=0.5)', setup, 1).horizontal!;
    expect(halves.limits).toEqual({ minMillicores: 500, maxMillicores: 500, stepMillicores: 500 });
    const whole = { minMillicores: 1000, maxMillicores: 1000, stepMillicores: 1000 };
    expect(policyFor('fa2-published', setup, 1).horizontal!.limits).toEqual(whole);
    const world = worldOf(setup, 3);
    const seconds = (policy: string): number => runSeed(setup, world, policy).coreSeconds;
    expect(seconds('fa2-published(unit=1)')).toBe(seconds('fa2-published'));
    expect(seconds('fa2-published(unit=0.5)')).not.toBe(seconds('fa2-published'));
  });

  it('order and batching can be crossed: earliest deadline first helps where delays are applied', () => {
    const setup = ready('mixed-payloads', 'durationSec=200');
    const world = worldOf(setup, 3);
    const violations = (order: string): number =>
      runSeed(setup, world, `static(cores=10,batch=4,order=${order})`).violationRateFeasible;
    expect(violations('edf')).toBeLessThan(violations('fifo'));
  });
});

describe('the best fixed allocation in hindsight', () => {
  it('violates no more than sponge, and one step less would', () => {
    const setup = ready('bursts', 'durationSec=120');
    const world = worldOf(setup, 7);
    const missed = (policy: string): number => runSeed(setup, world, policy).violationRateFeasible;
    const best = runSeed(setup, world, 'best-static');
    const cores = Number(/cores=([\d.]+)/.exec(best.chosen!)![1]);
    expect(best.violationRateFeasible).toBeLessThanOrEqual(missed('sponge'));
    const below = best.chosen!.replace(/cores=[\d.]+/, `cores=${(cores - 0.1).toFixed(1)}`);
    expect(missed(below)).toBeGreaterThan(missed('sponge'));
  });

  it('takes what violates least where nothing is good enough', () => {
    const setup = ready('authors');
    const report = (onTime: number): never =>
      ({ outcomes: { sent: 10, cancelled: 0, infeasibleOnArrival: 0, infeasibleOnTime: 0, onTime } }) as never;
    // sponge answers all ten on time, a fixed allocation never more than its cores / 2
    const { chosen } = bestStatic(setup, 1, ({ policy }) => {
      const cores = /cores=([\d.]+)/.exec(policy.name);
      return report(cores === null ? 10 : Math.floor(Number(cores[1]) / 2));
    });
    expect(chosen).toContain('cores=16,');
  });
});
