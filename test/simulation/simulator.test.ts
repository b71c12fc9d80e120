import { describe, expect, it } from 'vitest';
import type { Event } from '../../src/scheduler/domain/event.js';
import { policyFor, policyTitles } from '../../src/simulator/policies/policies.js';
import {
  reference,
  runSeed,
  worldOf,
  type SeedResult,
  type SeedWorld,
} from '../../src/simulator/comparison/run-seed.js';
import { READY_NAMES, readScenario } from '../../src/simulator/scenarios/scenario-files.js';
import { setUp, type ScenarioSetup } from '../../src/simulator/scenarios/setup.js';
import { startRun } from '../../src/simulator/sim/simulation.js';

/* The simulator as a whole: every policy on every scenario keeps the ledger's laws, and repeats bit for bit. */

function ready(name: string, ...settings: string[]): ScenarioSetup {
  const file = readScenario(name, ['durationSec=15', ...settings]);
  return setUp(file.scenario, file.name, file.folder);
}

const POLICIES = policyTitles().map(({ name }) => name);

/** What must hold of any result. */
function expectLawful(result: SeedResult, { workload, infeasible }: SeedWorld, { environment }: ScenarioSetup): void {
  const { onTime, late, rejectedInfeasible, rejectedOverload, expired, cancelled, failed } = result;
  // Every request has exactly one outcome.
  expect(onTime + late + rejectedInfeasible + rejectedOverload + expired + cancelled + failed).toBe(workload.count);
  expect(result.sent).toBe(workload.count);
  expect(result.infeasibleOnArrival).toBeLessThanOrEqual(infeasible.reduce((sum, each) => sum + each, 0));
  expect(result.latenciesMs.length).toBe(onTime + late);
  // No more can be used than was granted, nor granted than was charged.
  expect(result.cpuSecondsUsed).toBeLessThanOrEqual(result.grantedCoreSeconds + 1e-6);
  expect(result.grantedCoreSeconds).toBeLessThanOrEqual(result.coreSeconds + 1e-6);
  const heldMs = result.heldMs.reduce((sum, [, durationMs]) => sum + durationMs, 0);
  expect(heldMs / 1000).toBeCloseTo(result.durationSec, 6);
  const heldCoreSeconds = result.heldMs.reduce((sum, [millicores, ms]) => sum + (millicores / 1000) * (ms / 1000), 0);
  expect(heldCoreSeconds).toBeCloseTo(result.coreSeconds, 6);
  // No policy passes its bound.
  expect(result.boundCoreSeconds).not.toBeNull();
  expect(result.boundCoreSeconds!).toBeLessThanOrEqual(result.coreSeconds);
  expect(result.boundCoreSeconds!).toBeGreaterThan(0);
  expect(result.coreSeconds).toBeGreaterThanOrEqual(
    (environment.cpu.idleMillicores / 1000) * result.durationSec - 1e-6,
  );
}

describe.each(READY_NAMES)('on %s', (name) => {
  const setup = ready(name);
  const world = worldOf(setup, 11);

  it.each(POLICIES)('%s keeps the laws of the ledger', (policy) => {
    expectLawful(runSeed(setup, world, policy), world, setup);
  });

  it('who answers every feasible request on time needs no less than the reference', () => {
    const { coreSeconds, reason } = reference(setup, world);
    if (coreSeconds === null) {
      expect(reason).toContain('cannot be done');
      return;
    }
    for (const policy of ['sponge', 'static(cores=16,batch=8,order=edf,batching=sponge,admission=sponge,expiry=on)']) {
      const result = runSeed(setup, world, policy);
      // The reference is at the mean service time: a short run can be lucky by a few per cent, not by more.
      if (result.violationRateFeasible === 0) expect(result.coreSeconds).toBeGreaterThan(0.97 * coreSeconds);
    }
  });
});

describe('the simulator', () => {
  it.each(POLICIES)('repeats %s bit for bit, and another seed gives another log', (policy) => {
    const setup = ready('bursts', 'leavingFraction=0.02', 'scaler.refusedFraction=0.05', 'worker.crashesAtSec=[12]');
    const hashOf = (seed: number): string => runSeed(setup, worldOf(setup, seed), policy).eventHash;
    const first = hashOf(5);
    expect(hashOf(5)).toBe(first);
    expect(hashOf(6)).not.toBe(first);
  });

  it.each(POLICIES.filter((policy) => policy !== 'best-static'))('%s ends with expiry off too', (policy) => {
    const setup = ready('mixed-payloads', 'worker.crashesAtSec=[12]', 'worker.restartMs=0.5');
    const world = worldOf(setup, 4);
    expectLawful(runSeed(setup, world, `${policy}(expiry=off)`), world, setup);
  });

  it('holds a policy to its bound without any chance in service times, off the grid of allocations too', () => {
    const setup = ready('authors-light', 'cpu.stepCores=5');
    const calm = { ...setup, machine: { ...setup.machine, logDeviation: 0 } };
    const still = { ...calm, environment: { ...calm.environment, machine: calm.machine } };
    const world = worldOf(still, 4);
    for (const policy of ['static(cores=3.3,batch=8)', 'sponge'])
      expectLawful(runSeed(still, world, policy), world, still);
  });

  it('gives every policy the same requests', () => {
    const setup = ready('mixed-payloads');
    const received = (policy: string): string[] => {
      const world = worldOf(setup, 3);
      const seen: string[] = [];
      const run = startRun(
        setup.environment,
        world.workload,
        world.infeasible,
        policyFor(policy, setup, 3),
        3,
        (event: Event) => {
          if (event.kind === 'request-received') seen.push(`${event.atMs} ${event.request.dueAtMs}`);
        },
      );
      while (run.advance(10_000));
      return seen;
    };
    expect(received('paper')).toEqual(received('sponge'));
  });

  it('counts who leaves as cancelled, and asks nothing of anyone for it', () => {
    const setup = ready('authors-applied', 'leavingFraction=0.3');
    const world = worldOf(setup, 2);
    const result = runSeed(setup, world, 'sponge');
    expectLawful(result, world, setup);
    expect(result.cancelled).toBeGreaterThan(20);
    expect(result.violationRate).toBe(1 - result.onTime / (result.sent - result.cancelled));
  });

  it('survives a worker that crashes and resizes that are refused or late', () => {
    const faults = ['worker.crashesAtSec=[5, 6, 20]', 'scaler.refusedFraction=0.3', 'scaler.delayMs=[1, 800]'];
    const setup = ready('authors-applied', ...faults);
    const world = worldOf(setup, 2);
    for (const policy of ['sponge', 'paper', 'static-16']) {
      const result = runSeed(setup, world, policy);
      expectLawful(result, world, setup);
      expect(result.violationRate).toBeGreaterThan(0);
    }
  });

  it('lets a policy hold CPU while idle where idle release is off', () => {
    const run = (setting: string): SeedResult => {
      const setup = ready('authors-light', setting);
      return runSeed(setup, worldOf(setup, 4), 'sponge');
    };
    const [on, off] = [run('cpu.idleRelease=true'), run('cpu.idleRelease=false')];
    expect(on.heldMs[0]![0]).toBe(100);
    expect(off.heldMs[0]![0]).toBe(1000);
    expect(on.coreSeconds).toBeLessThan(off.coreSeconds);
  });
});
