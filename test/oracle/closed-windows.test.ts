import { describe, expect, it } from 'vitest';
import { worldOf } from '../../src/simulator/comparison/run-seed.js';
import { policyFor } from '../../src/simulator/policies/policies.js';
import { readScenario } from '../../src/simulator/scenarios/scenario-files.js';
import { setUp } from '../../src/simulator/scenarios/setup.js';
import { logNormal } from '../../src/scheduler/random/normal.js';
import { stream } from '../../src/scheduler/random/streams.js';
import { startRun } from '../../src/simulator/sim/simulation.js';
import { serveClosedWindows, type ClosedWindowsOptions, type PlanInForce } from './closed-windows.js';

function serve(overrides: Partial<ClosedWindowsOptions>): number[] {
  return [
    ...serveClosedWindows({
      receivedAtMs: [0, 10, 20, 30],
      plans: [{ fromMs: -1000, cpuMillicores: 8000, batchSize: 2 }],
      maxBatchTimeMs: 1000,
      stagingMs: 0,
      resizeMs: 0,
      timerLatenessMs: 0,
      latencyMs: (batchSize, cpuMillicores) => (100 * batchSize * 8000) / cpuMillicores,
      nextMultiplier: () => 1,
      ...overrides,
    }),
  ];
}

describe('the replay: batches', () => {
  it('are closed when they are full, and served one after another', () => {
    // Closed at 10 and 30: 10 + 200, then 210 + 200.
    expect(serve({})).toEqual([210, 210, 410, 410]);
    expect(serve({ stagingMs: 5 })).toEqual([215, 215, 415, 415]);
  });

  it('keep their size when it changes while they wait; a shrink slows what runs', () => {
    const plans = [
      { fromMs: -1000, cpuMillicores: 8000, batchSize: 2 },
      { fromMs: 100, cpuMillicores: 4000, batchSize: 3 },
    ];
    // At 110 half of the first is left, 200 ms on 4 cores; then 400 ms. The second does not wait for a third.
    expect(serve({ plans, resizeMs: 10 })).toEqual([310, 310, 710, 710]);
  });

  it('run no faster for a growth, which the next one has', () => {
    const plans = [
      { fromMs: -1000, cpuMillicores: 8000, batchSize: 2 },
      { fromMs: 100, cpuMillicores: 16000, batchSize: 2 },
    ];
    expect(serve({ plans })).toEqual([210, 210, 310, 310]);
  });

  it('leave a remainder where the size changes among the arrivals, and close it when its time is over', () => {
    const plans = [
      { fromMs: -1000, cpuMillicores: 8000, batchSize: 2 },
      { fromMs: 15, cpuMillicores: 8000, batchSize: 3 },
    ];
    // Two of three: open from 20 on, at 30 there are 1000 − 10 ms left.
    const finishedAtMs = 30 + 990 + 200;
    expect(serve({ plans })).toEqual([210, 210, finishedAtMs, finishedAtMs]);
    expect(serve({ plans, timerLatenessMs: 1 })).toEqual([210, 210, finishedAtMs + 1, finishedAtMs + 1]);
  });

  it('look at the size after an arrival alone: what holds as many as it shrinks to takes one more', () => {
    const plans = [
      { fromMs: -1000, cpuMillicores: 8000, batchSize: 3 },
      { fromMs: 15, cpuMillicores: 8000, batchSize: 2 },
    ];
    // [0, 10, 20] closes at 20; the last is on its own.
    expect(serve({ plans })).toEqual([320, 320, 320, 30 + 1000 + 100]);
  });

  it('count time again and again, as the fork does: with 1 s and an arrival every 20 ms the eleventh closes', () => {
    const receivedAtMs = Array.from({ length: 12 }, (_, index) => 20 * index);
    const plans = [{ fromMs: -1000, cpuMillicores: 8000, batchSize: 100 }];
    const finished = serve({ receivedAtMs, plans, latencyMs: () => 1 });
    // 20 + 40 + … + 200 = 1100 ms > 1 s: the eleventh, at 200, closes what it joins, and the twelfth is on its own.
    expect(finished.slice(0, 11)).toEqual(Array.from({ length: 11 }, () => 201));
    expect(finished[11]).toBe(220 + 1000 + 1);
  });
});

/** Requests of the authors' evaluation answered in time: as simulated, and by the replay over the plans of that run. */
function releasedOnTime(
  service: 'fit' | 'table',
  seed: number,
): Record<'simulated' | 'replayed' | 'sizeChanges', number> {
  const { scenario, name, folder } = readScenario('authors', [`service=${service}`]);
  const setup = setUp(scenario, name, folder);
  const { environment, machine } = setup;
  const { workload, infeasible } = worldOf(setup, seed);
  const plans: PlanInForce[] = [];
  const run = startRun(environment, workload, infeasible, policyFor('released', setup, seed), seed, (event) => {
    if (event.kind !== 'planned') return;
    const { cpuMillicores, batchSize } = event.plan;
    plans.push({ fromMs: event.atMs, cpuMillicores, batchSize });
  });
  run.advance(Infinity);

  const noise = stream(seed, 'service');
  const finishedAtMs = serveClosedWindows({
    receivedAtMs: workload.receivedAtMs,
    plans,
    maxBatchTimeMs: 1000,
    stagingMs: environment.worker.stagingMs,
    resizeMs: scenario.scaler.delayMs as number,
    timerLatenessMs: environment.timerLatenessMs,
    latencyMs: (batchSize, cpuMillicores) => machine.curve.latencyMs(batchSize, cpuMillicores),
    nextMultiplier: () => logNormal(noise, machine.logDeviation),
  });
  return {
    simulated: run.report().outcomes.onTime,
    replayed: finishedAtMs.filter((atMs, index) => atMs <= workload.latestFinishAtMs[index]!).length,
    sizeChanges: plans.filter(({ batchSize }, index) => index > 0 && batchSize !== plans[index - 1]!.batchSize).length,
  };
}

describe('the released policy in the authors’ scenario', () => {
  // Single batches may start up to 0.5 ms sooner than in the replay, where a staged input wakes the queue before a late timer.
  it.each([1, 2, 3, 4, 5])('answers as many in time as the replay, of 12 000: seed %i', (seed) => {
    for (const service of ['fit', 'table'] as const) {
      const { simulated, replayed, sizeChanges } = releasedOnTime(service, seed);
      expect(sizeChanges).toBeGreaterThan(10);
      expect(simulated, service).toBe(replayed);
    }
  });
});
