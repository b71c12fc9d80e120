import { describe, expect, it } from 'vitest';
import { shapeClass } from '../domain/request.js';
import { aForecast, plannerView } from '../../../test/fixtures/planner-views.js';
import { exactLatency, type LatencyModel } from '../domain/latency.js';
import type { Plan } from '../domain/plan.js';
import type { BatchInFlight, QueueSnapshot } from '../domain/queue-snapshot.js';
import type { PlannerView } from './planner.js';
import { pricedPlanner } from './priced-planner.js';

/** l(b, c) = (100·b)/c + 20·b + 20 ms, planned as predicted. */
const latencyMs = (batchSize: number, cpuMillicores: number): number =>
  (100_000 * batchSize) / cpuMillicores + 20 * batchSize + 20;
const MODEL: LatencyModel = exactLatency(latencyMs);
const CLASS = shapeClass('x', 1);

function view(
  dueAtMs: readonly number[],
  fields: Omit<Partial<PlannerView>, 'snapshot'> & { readonly snapshot?: Partial<QueueSnapshot> } = {},
): PlannerView {
  return plannerView({
    models: [MODEL],
    arrivalModel: MODEL,
    forecast: aForecast(5),
    limits: { minMillicores: 1000, maxMillicores: 16_000, stepMillicores: 100 },
    ...fields,
    snapshot: {
      work: dueAtMs.map((due) => ({ dueAtMs: due, classIndex: 0 })),
      sequences: dueAtMs.map((_, index) => 100 + index),
      classes: dueAtMs.length === 0 ? [] : [CLASS],
      maxBatchSize: 4,
      ...fields.snapshot,
    },
  });
}

const RUNNING: BatchInFlight = { shapeClass: CLASS, batchSize: 2, threadCount: 2, progress: 0.5 };
const IN_FORCE: Plan = {
  kind: 'feasible',
  instances: 1,
  cpuMillicores: 2000,
  batchSize: 2,
  boundBy: { kind: 'start' },
};

/** A batch of two is half done on two cores: 160 / 2 = 80 ms are left. */
function whileRunning(dueAtMs: readonly number[], current: Plan = IN_FORCE): PlannerView {
  return view(dueAtMs, { current, inFlightModel: MODEL, snapshot: { inFlight: RUNNING } });
}

describe('the priced planner', () => {
  const planner = pricedPlanner({ prefer: 'cpu' });

  it('gives a free worker a batch at once, on as little as the deadline and the price allow', () => {
    // One request in 130 ms, 10 ms of margin: 100/c + 40 ≤ 120 → c = 1.25, in steps 1.3; the price of 5/s is below.
    const { plan } = planner.plan(view([130]));
    expect(plan).toMatchObject({ kind: 'feasible', cpuMillicores: 1300, batchSize: 1 });
    expect(plan).toMatchObject({ boundBy: { kind: 'deadline', sequence: 100, inMs: 130 } });
  });

  it('plans again whenever a request finds the worker free', () => {
    expect(planner.isStillValid(view([1000]))).toBe(false);
    expect(planner.isStillValid(view([]))).toBe(true);
  });

  it('lets a running batch run: what arrives is met afterwards', () => {
    // 80 ms left; then 100/16 + 40 = 46 ms at the most cores
    expect(planner.isStillValid(whileRunning([80 + 47 + 10]))).toBe(true);
    expect(planner.plan(whileRunning([500])).plan).toMatchObject({
      cpuMillicores: 2000,
      boundBy: { kind: 'running-batch' },
    });
  });

  it('grants everything and lets the data plane shed where it cannot be met afterwards', () => {
    // Four in 125 ms at the most cores, then four more: 80 + 125 + 125 > 300
    const crowd = whileRunning([300, 300, 300, 300, 300, 300, 300, 300]);
    expect(planner.isStillValid(crowd)).toBe(false);
    expect(planner.plan(crowd).plan).toEqual({
      kind: 'infeasible',
      instances: 1,
      cpuMillicores: 16_000,
      batchSize: 4,
      reason: 'deadlines',
    });
  });

  it('sets aside what nothing can save, and plans the rest as if it were not there', () => {
    const { plan, unsalvageable } = planner.plan(view([30, 1000]));
    expect(unsalvageable).toEqual([0]);
    expect(plan).toEqual(planner.plan(view([1000])).plan);
  });

  it('takes the least while nobody waits', () => {
    expect(planner.plan(view([])).plan).toMatchObject({ cpuMillicores: 1000, boundBy: { kind: 'idle' } });
    expect(planner.plan(whileRunning([])).plan).toMatchObject({ cpuMillicores: 2000 });
  });

  it('holds what sustains the load where a resize takes longer than a batch can wait', () => {
    const slow = { resizeDelayMs: 1000, isActuatorSlow: true, forecast: aForecast(20) };
    // c_r = 4 at 20/s (400/c + 100 = 200 ms for four); √2.8 × 4 = 6.69, and the step above
    expect(planner.plan(view([], slow)).plan.cpuMillicores).toBe(6700);
    expect(planner.plan(view([5000], slow)).plan.cpuMillicores).toBe(6700);
  });

  it('raises a held allocation for what will still wait when a resize is in force, and can be met then', () => {
    // Two cores serve four in 300 ms: 13 within the second that a resize takes.
    const slow = { resizeDelayMs: 1000, isActuatorSlow: true, grantedMillicores: 2000, forecast: aForecast(20) };
    const crowd = (count: number, dueAtMs: number): readonly number[] => Array.from({ length: count }, () => dueAtMs);
    expect(planner.plan(view(crowd(13, 1505), slow)).plan.cpuMillicores).toBe(6700);
    expect(planner.plan(view(crowd(25, 1040), slow)).plan.cpuMillicores).toBe(6700);
    // Twelve more within the 500 ms that are left: 24 a second, c_r = 400·24/(4 − 100·0.024)/1000 = 6; × √2.8 = 10.04, and the step above
    expect(planner.plan(view(crowd(25, 1510), slow)).plan.cpuMillicores).toBe(10_100);
  });

  it('asks to be woken when the running batch is overdue', () => {
    // 80 ms of its 160 are left; planned as predicted
    expect(planner.plan(whileRunning([500])).wakeAtMs).toBe(80);
  });

  it('gives what only a lucky run would save a try at once', () => {
    const scattered: LatencyModel = { ...MODEL, plannedLatencyMs: (b, c) => 1.5 * latencyMs(b, c) };
    // 46.25 ms alone at the most cores, planned 69
    const { plan, unsalvageable } = planner.plan(view([50, 2000], { models: [scattered] }));
    expect(unsalvageable).toEqual([]);
    expect(plan).toMatchObject({ kind: 'feasible', cpuMillicores: 16_000, batchSize: 1 });
  });

  it('is cautious about a shape that nobody has measured, but gives nothing up for it', () => {
    // Planned with five times the typical latency; a tenth of it is what it surely takes.
    const guessed: LatencyModel = {
      predictedLatencyMs: (b, c) => 20 * latencyMs(b, c),
      plannedLatencyMs: (b, c) => 100 * latencyMs(b, c),
      leastLatencyMs: (b, c) => 2 * latencyMs(b, c),
    };
    const view400 = view([400], { models: [guessed] });
    // Typical alone on 16 cores: 20 · (6.25 + 40) = 925 ms; surely 92.5.
    expect(planner.plan(view400)).toMatchObject({ plan: { cpuMillicores: 16_000 }, unsalvageable: [] });
    expect(planner.plan(view([90], { models: [guessed] })).unsalvageable).toEqual([0]);
  });

  it('plans each class by its own model, and names the request whose deadline decides', () => {
    const SLOW: LatencyModel = exactLatency((b, c) => 3 * latencyMs(b, c));
    const mixed = view([400, 470], {
      models: [MODEL, SLOW],
      snapshot: {
        work: [{ dueAtMs: 400, classIndex: 0 }, { dueAtMs: 470, classIndex: 1 }], // prettier-ignore
        classes: [CLASS, shapeClass('y', 1)],
      },
    });
    // Both, one after the other: 4 · (100/c + 40) ≤ 470 − 10 → c ≥ 1.34
    expect(planner.plan(mixed).plan).toMatchObject({
      cpuMillicores: 1400,
      batchSize: 1,
      boundBy: { kind: 'deadline', sequence: 101, inMs: 470 },
    });
    // Alone at the most cores the slow one takes 139 ms.
    const unsalvageable = { ...mixed, snapshot: { ...mixed.snapshot, work: [{ dueAtMs: 400, classIndex: 0 }, { dueAtMs: 130, classIndex: 1 }] } }; // prettier-ignore
    expect(planner.plan(unsalvageable).unsalvageable).toEqual([1]);
  });

  it('answers earlier for more CPU with --prefer latency', () => {
    const queue = [900, 900, 900];
    const cautious = pricedPlanner({ prefer: 'latency' }).plan(view(queue)).plan;
    const thrifty = planner.plan(view(queue)).plan;
    expect(latencyMs(cautious.batchSize, cautious.cpuMillicores)).toBeLessThan(
      latencyMs(thrifty.batchSize, thrifty.cpuMillicores),
    );
  });

  it('decides the same for the same view', () => {
    const asked = view([200, 400, 900], { forecast: aForecast(12, [100, 500, 900]) });
    expect(planner.plan(asked)).toEqual(pricedPlanner({ prefer: 'cpu' }).plan(asked));
  });
});
