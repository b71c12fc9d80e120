import { describe, expect, it } from 'vitest';
import { reasonText } from '../domain/plan-bound.js';
import { aForecast, plannerView } from '../../../test/fixtures/planner-views.js';
import { exactLatency } from '../domain/latency.js';
import type { QueueSnapshot, RunningInstance } from '../domain/queue-snapshot.js';
import { shapeClass } from '../domain/request.js';
import { jointPlanner } from './joint-planner.js';
import type { PlanDecision } from './planner.js';
import type { InstanceView, PlannerView } from './planner.js';

/** (20 + 80·b)/c + 20 ms: on one core 120 ms for one and 200 for two, on two 70 and 110, on four 45 and 65. */
const MODEL = exactLatency((batchSize, cpuMillicores) => ((20 + 80 * batchSize) * 1000) / cpuMillicores + 20);
const CLASS = shapeClass('x', 1);

const RESTING: InstanceView = { requestedMillicores: 100, isRunning: false, isAway: false };
const running = (requestedMillicores: number): InstanceView => ({
  requestedMillicores,
  isRunning: true,
  isAway: false,
});

type Fields = Omit<Partial<PlannerView>, 'snapshot'> & { readonly snapshot?: Partial<QueueSnapshot> };

/** Instances share four cores. Those that run have a batch of one, half of which is done. */
function view(dueAtMs: readonly number[], instances: readonly InstanceView[], fields: Fields = {}): PlannerView {
  const batches = instances.flatMap(({ isRunning, requestedMillicores }, instance): RunningInstance[] => {
    const threadCount = Math.ceil(requestedMillicores / 1000);
    return isRunning ? [{ instance, shapeClass: CLASS, batchSize: 1, threadCount, progress: 0.5 }] : [];
  });
  return plannerView({
    models: [MODEL],
    runningModels: batches.map(() => MODEL),
    arrivalModel: MODEL,
    limits: { minMillicores: 1000, maxMillicores: 4000, stepMillicores: 100 },
    instances,
    budgetMillicores: 4000,
    reachMillicores: 4000,
    ...fields,
    snapshot: {
      work: dueAtMs.map((due) => ({ dueAtMs: due, classIndex: 0 })),
      sequences: dueAtMs.map((_, index) => 100 + index),
      classes: dueAtMs.length === 0 ? [] : [CLASS],
      running: batches,
      instanceCount: instances.length,
      maxBatchSize: 2,
      ...fields.snapshot,
    },
  });
}

describe('the joint planner', () => {
  const planner = jointPlanner();

  it('lets all rest while nobody waits', () => {
    expect(planner.plan(view([], [RESTING, RESTING])).plan).toEqual({
      kind: 'feasible',
      instances: 2,
      cpuMillicores: 0,
      allocations: [0, 0],
      batchSize: 2,
      boundBy: { kind: 'idle' },
    });
  });

  it('minds marks behind the window: what the window alone allows is too slow for them', () => {
    // Four in ten seconds leave time for a core; 600 take 600 · 100 / 4 / 2 ms on one each of four, and there are two.
    const dueAtMs = [10_000, 10_000, 10_000, 10_000];
    const alone = planner.plan(view(dueAtMs, [RESTING, RESTING]));
    expect(alone.plan).toMatchObject({ kind: 'feasible', cpuMillicores: 1000 });
    const behind = [{ place: 600, dueAtMs: 10_000 }];
    const { plan, shed } = planner.plan(view(dueAtMs, [RESTING, RESTING], { snapshot: { behind } }));
    expect(plan).toMatchObject({ kind: 'infeasible', reason: 'deadlines' });
    // Who goes is decided where the queue is.
    expect(shed).toEqual([]);
  });

  it('uses one instance where busy neighbours would cost more than they save, and says why', () => {
    const neighbourly = { interference: 3, forecast: aForecast(15) };
    // Nobody runs: it starts as with all. One runs: the other rests, though there are cores for it.
    const first = planner.plan(view([300], [RESTING, RESTING], neighbourly)).plan;
    expect(first).toMatchObject({ kind: 'feasible', usedAtOnce: 1 });
    expect(reasonText(first)).toContain('1 of 2 instances, as busy neighbours slow a batch down by up to 300 %');
    const second = planner.plan(view([600], [running(1000), RESTING], neighbourly)).plan;
    expect(second).toMatchObject({ kind: 'feasible', allocations: [1000, 0] });
    // Where it is long since anybody ran beside it, that is tried, if the deadline allows it by what is believed: 240 ms.
    const untested = { ...neighbourly, isInterferenceUntested: true };
    const tried = planner.plan(view([250], [running(1000), RESTING], untested)).plan;
    expect(tried.allocations).toEqual([1000, 1000]);
    expect(tried).not.toHaveProperty('usedAtOnce');
    // Without interference it starts beside it.
    const beside = jointPlanner().plan(view([150], [running(1000), RESTING], { forecast: aForecast(15) })).plan;
    expect(beside.allocations?.[1]).toBeGreaterThan(0);
    expect(beside).not.toHaveProperty('usedAtOnce');
  });

  it('starts on more beside busy neighbours, so that the deadline is met all the same', () => {
    const instances = [running(1000), RESTING];
    const coresAt = (interference: number): number =>
      jointPlanner().plan(view([150], instances, { interference })).plan.cpuMillicores;
    // 100/c + 20 ≤ 140 on a core; (100/c + 20)·(1 + 0.6/3) ≤ 140 on 1.1: 133.1
    expect([coresAt(0), coresAt(0.6)]).toEqual([1000, 1100]);
  });

  it('gives nobody up for want of instances that are being started', () => {
    const away = { requestedMillicores: 1000, isRunning: false, isAway: true };
    // As soon as one is there: 45 ms on all four cores, and 10 of margin
    const { plan, shed, unsalvageable } = planner.plan(view([300], [away, away]));
    expect([plan.kind, plan.allocations, shed ?? [], unsalvageable]).toEqual(['feasible', [0, 0], [], []]);
  });

  it('starts the free instance that has most already, on as little as the deadline allows less 10 ms', () => {
    const instances = [RESTING, { requestedMillicores: 2000, isRunning: false, isAway: false }, RESTING];
    const { plan } = planner.plan(view([130], instances));
    expect(plan).toMatchObject({ kind: 'feasible', cpuMillicores: 1000, allocations: [0, 1000, 0], batchSize: 1 });
    expect(plan).toMatchObject({ boundBy: { kind: 'arrival-rate', ratePerSec: 0 } });
    // 100/1.1 + 20 = 110.9 > 120 − 10, 100/1.2 + 20 = 103.3
    expect(planner.plan(view([120], instances)).plan).toMatchObject({
      allocations: [0, 1200, 0],
      boundBy: { kind: 'deadline', sequence: 100, inMs: 120 },
    });
  });

  it('leaves those that run what they have, and the one that starts what is left beside the floors', () => {
    // 4000 − 2500 − 100 = 1400, on which one takes 91.4 ms
    const instances = [running(2500), RESTING, RESTING];
    expect(planner.plan(view([102], instances)).plan).toMatchObject({ kind: 'feasible', allocations: [2500, 1400, 0] });
    // By 91 it cannot be met there. The other is done at 30 ms, and then it takes 45 on all four.
    expect(planner.plan(view([101], instances)).plan).toMatchObject({ kind: 'infeasible', reason: 'deadlines' });
  });

  it('waits to fill a batch where that costs less, and asks to be woken at the latest safe start', () => {
    const { plan, wakeAtMs } = planner.plan(view([500], [RESTING, RESTING], { forecast: aForecast(19) }));
    expect(plan).toMatchObject({ kind: 'feasible', allocations: [0, 0], boundBy: { kind: 'filling-batch' } });
    // 120 ms before the deadline less 10
    expect(wakeAtMs).toBeCloseTo(370, 9);
  });

  it('starts nothing while all run, and looks again after 20 ms', () => {
    // 0.5 × 70 ms are left of each, then 70 ms on two cores: 105
    const busy = view([116], [running(2000), running(2000)], { nowMs: 0 });
    expect(planner.plan(busy)).toMatchObject({
      plan: { kind: 'feasible', allocations: [2000, 2000], boundBy: { kind: 'no-free-instance' } },
      unsalvageable: [],
      wakeAtMs: 20,
    });
  });

  it('gives up at once whom those that run will be too late for', () => {
    // 35 + 45 on all four cores is 80, then 125; on two cores each 105.
    const { plan, shed, unsalvageable } = planner.plan(view([91, 91, 300], [running(2000), running(2000)]));
    expect(plan).toMatchObject({ kind: 'infeasible', allocations: [2000, 2000], reason: 'deadlines' });
    expect(unsalvageable).toEqual([]);
    expect(shed).toHaveLength(1);
  });

  it('gives up no more than it must where an instance rests for which there are no cores', () => {
    // Both are done at 35: then two cores each, or four for one.
    const instances = [running(2000), running(1900), RESTING];
    const { shed } = planner.plan(view([91, 300, 300], instances, { snapshot: { maxBatchSize: 1 } }));
    expect(shed ?? []).toEqual([]);
    const { shed: one } = planner.plan(view([91, 91, 300, 300], instances, { snapshot: { maxBatchSize: 1 } }));
    expect(one).toHaveLength(1);
  });

  it('starts whom it can keep, and gives up the others, by their places in the snapshot', () => {
    // In another order than that of their deadlines: two of three could be met by 80 on two cores each.
    const queue = view([300, 80, 80, 80], [RESTING, RESTING], { snapshot: { maxBatchSize: 1 } });
    const { plan, shed } = planner.plan(queue);
    expect(plan).toMatchObject({ kind: 'infeasible', cpuMillicores: 2000, allocations: [2000, 0], batchSize: 1 });
    expect(shed).toEqual([3]);
  });

  it('sets aside what nothing can save, and plans the rest as if it were not there', () => {
    // 45.6 ms on all that the floor of the other leaves
    const { plan, unsalvageable } = planner.plan(view([44, 1000], [RESTING, RESTING]));
    expect(unsalvageable).toEqual([0]);
    expect(plan).toEqual(planner.plan(view([1000], [RESTING, RESTING])).plan);
    expect(planner.plan(view([44], [RESTING])).plan).toMatchObject({ boundBy: { kind: 'idle' } });
    // While all run for 35 ms more, it is 80.
    expect(planner.plan(view([79, 1000], [running(2000), running(2000)])).unsalvageable).toEqual([0]);
  });

  it('gives who can only just be met a try, though the 10 ms are not left', () => {
    const decide = (dueAtMs: number) => planner.plan(view([dueAtMs], [RESTING, RESTING]));
    // 100/3.9 + 20 = 45.64 ms on all that the floor of the other leaves
    for (const dueAtMs of [45.7, 46, 50, 55, 55.6]) {
      expect(decide(dueAtMs)).toMatchObject({ plan: { kind: 'feasible', cpuMillicores: 3900 }, unsalvageable: [] });
    }
    expect(decide(45.6).unsalvageable).toEqual([0]);
  });

  it('decides the same again', () => {
    const queue = view([150, 300, 300, 420], [running(1500), RESTING, RESTING], {
      forecast: aForecast(15, [100, 400]),
    });
    const fresh = jointPlanner().plan(queue);
    planner.plan(view([80, 80, 80], [RESTING, RESTING]));
    expect(planner.plan(queue)).toEqual(fresh);
    expect(planner.plan(queue)).toEqual(fresh);
  });
});

describe('the joint planner’s plan in force', () => {
  const planner = jointPlanner();
  const bothRun = [running(2000), running(2000)];

  it('holds while nobody waits, and never while somebody does and an instance is free', () => {
    expect(planner.isStillValid(view([], [RESTING, RESTING]))).toBe(true);
    expect(planner.isStillValid(view([1000], [running(2000), RESTING]))).toBe(false);
  });

  it('holds while all run as long as those who wait are met afterwards', () => {
    // 35 + 45 ms on all four cores, 10 ms before the deadline
    expect(planner.isStillValid(view([90], bothRun))).toBe(true);
    expect(planner.isStillValid(view([90, 90, 90, 90], bothRun))).toBe(false);
  });

  it('does not hold while it is infeasible', () => {
    const current = { kind: 'infeasible', instances: 2, cpuMillicores: 0, batchSize: 1, reason: 'deadlines' } as const;
    expect(planner.isStillValid(view([1000], bothRun, { current }))).toBe(false);
  });

  it('holds where an instance rests for which there are no cores, if those that run will do', () => {
    expect(planner.isStillValid(view([1000], [...bothRun, RESTING]))).toBe(true);
  });
});

describe('the joint planner where a resize takes longer than a batch can wait', () => {
  const planner = jointPlanner();
  const slow = {
    isActuatorSlow: true,
    resizeDelayMs: 1000,
    budgetMillicores: 8000,
    reachMillicores: 8000,
    forecast: aForecast(20),
    snapshot: { maxBatchSize: 1 },
  };

  it('holds every instance at what sustains its share of the load', () => {
    // 10/s for each: c_r = 100 × 0.01 / (1 − 20 × 0.01) = 1.25; √2.8 × 1.25 = 2.09, and the step above
    expect(planner.plan(view([], [RESTING, RESTING], slow)).plan).toMatchObject({
      kind: 'feasible',
      cpuMillicores: 2100,
      allocations: [2100, 2100],
      batchSize: 1,
      boundBy: { kind: 'arrival-rate', ratePerSec: 20, aheadMs: 1000 },
    });
    expect(planner.plan(view([5000], [RESTING, RESTING], slow)).plan).toMatchObject({ allocations: [2100, 2100] });
  });

  it('holds more for what will still wait when a resize is in force, of which each has its share', () => {
    const crowd = Array.from({ length: 13 }, () => 1515);
    // Seven of them within the 505 ms that are left: c_r = 100·7/(505 − 20·7) = 1.918; × √2.8 = 3.21, and the step above
    expect(planner.plan(view(crowd, [RESTING, RESTING], slow)).plan.allocations).toEqual([3300, 3300]);
  });

  it('holds them within the budget', () => {
    const { plan } = planner.plan(view([], [RESTING, RESTING], { ...slow, budgetMillicores: 3000 }));
    expect(plan.allocations).toEqual([1500, 1500]);
  });

  it('holds nothing beside other models while nobody waits', () => {
    const { plan } = planner.plan(view([], [RESTING, RESTING], { ...slow, coresFreeAtMs: 1000 }));
    expect(plan).toMatchObject({ allocations: [0, 0], boundBy: { kind: 'idle' } });
    expect(planner.plan(view([5000], [RESTING, RESTING], { ...slow, coresFreeAtMs: 1000 })).plan.allocations).toEqual([
      2100, 2100,
    ]);
  });

  it('waits for cores that other models have, and uses as many instances as there are cores for', () => {
    const least = view([], [RESTING, RESTING], slow).limits.minMillicores;
    const beside = (budgetMillicores: number): PlanDecision =>
      planner.plan(view([5000], [RESTING, RESTING], { ...slow, coresFreeAtMs: 1000, budgetMillicores }));
    expect(beside(least - 1)).toMatchObject({
      plan: { allocations: [0, 0], boundBy: { kind: 'other-models' } },
      wantedMillicores: least,
    });
    const { allocations } = beside(2 * least - 1).plan;
    expect(allocations![0]).toBeGreaterThanOrEqual(least);
    expect(allocations![1]).toBe(0);
  });

  it('gives up whom it cannot meet, and holds the allocations all the same', () => {
    const { plan, shed } = planner.plan(view([60, 60, 60, 60], [RESTING, RESTING], slow));
    expect(plan).toMatchObject({ kind: 'infeasible', allocations: [2100, 2100] });
    // Two of them on four cores each
    expect(shed).toEqual([2, 3]);
  });

  it('keeps its plan though an instance is free', () => {
    expect(planner.isStillValid(view([5000], [RESTING, RESTING], slow))).toBe(true);
  });
});
