import { describe, expect, it } from 'vitest';
import { shapeClass } from '../domain/request.js';
import { TEN_MS_EACH } from '../../../test/simulation/fixed-latency.js';
import type { QueueSnapshot } from '../domain/queue-snapshot.js';
import { aForecast } from '../../../test/fixtures/planner-views.js';
import type { PlannerView } from './planner.js';
import { eventPlanner, paperPlanner, remainingMs } from './program-planner.js';

const SHAPE = shapeClass('x', 1);

/** l(b, c) = 10·b/c ms; 1 … 4 cores in steps of 0.1. */
function view(dueAtMs: readonly number[], overrides: Partial<PlannerView> = {}): PlannerView {
  const snapshot: QueueSnapshot = {
    work: dueAtMs.map((due) => ({ dueAtMs: due, classIndex: 0 })),
    sequences: dueAtMs.map((_, index) => 100 + index),
    behind: [],
    classes: [SHAPE],
    inFlight: null,
    running: [],
    maxBatchSize: 4,
    belowFloor: () => new Set(),
    setAsideCount: 0,
    setAsideDueAtMs: Infinity,
    instanceCount: 1,
  };
  return {
    nowMs: 0,
    snapshot,
    models: [TEN_MS_EACH],
    inFlightModel: null,
    runningModels: [],
    arrivalModel: TEN_MS_EACH,
    arrivalRowCount: 1,
    forecast: aForecast(0),
    limits: { minMillicores: 1000, maxMillicores: 4000, stepMillicores: 100 },
    current: { kind: 'feasible', instances: 1, cpuMillicores: 1000, batchSize: 1, boundBy: { kind: 'start' } },
    resizeDelayMs: 0.1,
    isActuatorSlow: false,
    grantedMillicores: 16_000,
    instances: [{ requestedMillicores: 16_000, isRunning: false, isAway: false }],
    budgetMillicores: 16_000,
    reachMillicores: 16_000,
    coresFreeAtMs: Infinity,
    isContended: false,
    interference: 0,
    isInterferenceUntested: false,
    busyBesideMillicores: 0,
    restingMillicores: 100,
    readCounters: () => null,
    ...overrides,
  };
}

describe('the planner that solves the program', () => {
  const planner = eventPlanner('cpu');

  it('keeps 5 ms and 3 % of what is left as a margin', () => {
    // Due at 20: 20 − 5 − 0.6 = 14.4. Two one by one take 20/c, and each must meet its own: 20/c ≤ 14.4, c ≥ 1.39.
    const { plan, unsalvageable } = planner.plan(view([20, 20]));
    expect(plan).toMatchObject({ kind: 'feasible', cpuMillicores: 1400, batchSize: 1 });
    expect(unsalvageable).toEqual([]);
  });

  it('plans to finish in about half of what is left where latency is preferred', () => {
    // 100 − 5 − 50 = 45 ms for 10·8 ms of work: c ≥ 1.78.
    const eight = Array.from({ length: 8 }, () => 100);
    expect(eventPlanner('latency').plan(view(eight)).plan).toMatchObject({ cpuMillicores: 1800 });
    // 100 − 5 − 3 = 92 ms: one core suffices.
    expect(planner.plan(view(eight)).plan).toMatchObject({ cpuMillicores: 1000 });
  });

  it('never lets the margin cost a request: what has no room for it is planned for its deadline itself', () => {
    // 10/4 = 2.5 ≤ 3 ms; with the margin the deadline would be past.
    expect(planner.plan(view([3]))).toMatchObject({
      plan: { kind: 'feasible', cpuMillicores: 3400 }, // 10/3.4 = 2.94 ≤ 3 < 10/3.3
      unsalvageable: [],
    });
  });

  it('sets aside what no allocation can save and plans for the others', () => {
    const { plan, unsalvageable } = planner.plan(view([2, 50]));
    expect(unsalvageable).toEqual([0]);
    expect(plan).toMatchObject({ kind: 'feasible', cpuMillicores: 1000 });
  });

  it('takes the largest allocation and all that memory allows when not everything can be met', () => {
    // Each alone in 2.5 ms, but eight of them need 20.
    const { plan } = planner.plan(view(Array.from({ length: 8 }, () => 10)));
    expect(plan).toEqual({ kind: 'infeasible', instances: 1, cpuMillicores: 4000, batchSize: 4, reason: 'deadlines' });
  });

  it('says that it is the arrivals where only they are too many', () => {
    // h = c/10 ms = 400/s at 4 cores.
    const { plan } = planner.plan(view([], { forecast: aForecast(401) }));
    expect(plan).toMatchObject({ kind: 'infeasible', reason: 'arrival-rate', cpuMillicores: 4000 });
  });

  it('explains what bound it', () => {
    const boundBy = (asked: PlannerView): unknown => planner.plan(asked).plan;
    expect(boundBy(view([]))).toMatchObject({ boundBy: { kind: 'least-allocation' } });
    expect(boundBy(view([], { forecast: aForecast(200) }))).toMatchObject({
      boundBy: { kind: 'arrival-rate', ratePerSec: 200 },
      cpuMillicores: 2000,
    });
    expect(boundBy(view([200, 3, 300].sort((a, b) => a - b)))).toMatchObject({
      boundBy: { kind: 'deadline', sequence: 100, inMs: 3 },
    });
  });

  it('counts the batch in flight, on its own threads, and an overdue one as about to end', () => {
    const batch = { shapeClass: SHAPE, batchSize: 4, threadCount: 2, progress: 0.75 };
    // A quarter of 40 ms at one core, of 20 at two; a third core does not help.
    expect([1000, 2000, 3000].map((cpu) => remainingMs(batch, TEN_MS_EACH, cpu))).toEqual([10, 5, 5]);
    expect(remainingMs({ ...batch, progress: 3 }, TEN_MS_EACH, 1000)).toBe(2); // 5 % of 40
  });

  it('holds on to the plan in force while it meets every deadline with the margin', () => {
    // One core takes 10 ms: d − 5 − 0.03·d ≥ 10 from d = 15.47 on; preferring latency, d − 5 − 0.5·d ≥ 10 from d = 30 on.
    expect(planner.isStillValid(view([15.5]))).toBe(true);
    expect(planner.isStillValid(view([15.4]))).toBe(false);
    expect(eventPlanner('latency').isStillValid(view([30]))).toBe(true);
    expect(eventPlanner('latency').isStillValid(view([29.9]))).toBe(false);
  });

  it('holds on to the largest allocation while it meets every deadline at all', () => {
    // Four cores take 2.5 ms.
    const largest = {
      kind: 'feasible',
      instances: 1,
      cpuMillicores: 4000,
      batchSize: 1,
      boundBy: { kind: 'start' },
    } as const;
    expect(planner.isStillValid(view([2.5], { current: largest }))).toBe(true);
    expect(planner.isStillValid(view([2.4], { current: largest }))).toBe(false);
  });

  it('never holds on to an infeasible plan', () => {
    const infeasible = {
      kind: 'infeasible',
      instances: 1,
      cpuMillicores: 4000,
      batchSize: 4,
      reason: 'deadlines',
    } as const;
    expect(planner.isStillValid(view([500], { current: infeasible }))).toBe(false);
  });

  it('comes at a tick of a second, as the paper’s, or whenever something happens', () => {
    expect(paperPlanner('cpu')).toMatchObject({ name: 'paper', tickMs: 1000, isEventDriven: false });
    expect(planner).toMatchObject({ name: 'program', isEventDriven: true });
  });
});
