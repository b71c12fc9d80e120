import { describe, expect, it } from 'vitest';
import type { PlanBound } from '../scheduler/domain/plan-bound.js';
import type { EventRecord, RunModel } from '../scheduler/domain/event-record.js';
import { startShares } from './headline.js';
import { forEachStretch, instancesAt, laneCount, type Stretch } from './lanes.js';
import { LIVE_CAPACITIES, ModelState } from './model-state.js';

const MODEL: RunModel = {
  name: 'a',
  version: '1',
  policy: 'sponge',
  limits: { minMillicores: 500, maxMillicores: 4000, stepMillicores: 100 },
  cpuMillicores: 3900,
  instances: 2,
  allocations: [3900, 100],
  maxBatchSize: 8,
};

function resized(atMs: number, instance: number, cpuMillicores: number): EventRecord {
  return { kind: 'resized', atMs, resizeId: 1, instance, cpuMillicores, isWritten: true, tookMs: 0.1 };
}

function started(atMs: number, batchId: number, instance: number, cpuMillicores: number): EventRecord {
  return {
    kind: 'batch-started',
    atMs,
    batchId,
    instance,
    sequences: [2 * batchId, 2 * batchId + 1],
    batchSize: 2,
    rowCount: 2,
    cpuMillicores,
    threadCount: 1,
    predictedLatencyMs: 80,
    plannedLatencyMs: 110,
    shapeClassKey: 'x',
    isExploring: false,
  };
}

function ended(atMs: number, batchId: number): EventRecord {
  const times = { latencyMs: 100, computeMs: 99, actualToPredicted: 1 };
  return { kind: 'batch-ended', atMs, batchId, batchSize: 2, rowCount: 2, result: 'completed', ...times };
}

function planned(atMs: number, allocations: readonly number[], cpuMillicores: number, boundBy: PlanBound): EventRecord {
  const plan = { kind: 'feasible', instances: 2, cpuMillicores, allocations, batchSize: 2, boundBy } as const;
  return { kind: 'planned', atMs, plan, trigger: 'arrival' };
}

function stateOf(records: readonly EventRecord[], model = MODEL, capacities = LIVE_CAPACITIES): ModelState {
  const state = new ModelState(model, capacities);
  state.begin(0);
  for (const record of records) state.apply(record);
  return state;
}

function stretchesOf(state: ModelState, fromMs: number, toMs: number, instance: number): Omit<Stretch, 'instance'>[] {
  const found: Omit<Stretch, 'instance'>[] = [];
  forEachStretch(state, { fromMs, toMs }, ({ instance: own, ...stretch }) => {
    if (own === instance) found.push(stretch);
  });
  return found;
}

/** Instance 0 rests on 100, runs from 110 to 200 and is grown at 150; instance 1 runs from 120 on. */
const RECORDS: readonly EventRecord[] = [
  resized(50, 0, 100),
  planned(109, [1000, 0], 1000, { kind: 'arrival-rate', ratePerSec: 20.1 }),
  resized(110, 0, 1000),
  started(110, 1, 0, 1000),
  planned(110, [1000, 0], 0, { kind: 'idle' }),
  planned(119, [1000, 1500], 1500, { kind: 'deadline', sequence: 4, inMs: 80 }),
  resized(120, 1, 1500),
  started(120, 2, 1, 1500),
  resized(150, 0, 2000),
  ended(200, 1),
  resized(210, 0, 100),
];

describe('lanes', () => {
  it('are of instances that are resized one by one', () => {
    expect(laneCount(stateOf([]))).toBe(2);
    const { name, version, policy, limits, maxBatchSize } = MODEL;
    const alike = { name, version, policy, limits, maxBatchSize, cpuMillicores: 1000, instances: 2 };
    expect(laneCount(stateOf([], alike))).toBe(1);
  });

  it('tell when which instance ran, and on how many cores', () => {
    const state = stateOf(RECORDS);
    expect(stretchesOf(state, 0, 300, 0)).toEqual([
      { fromMs: 0, toMs: 50, millicores: 3900, isRunning: false },
      { fromMs: 50, toMs: 110, millicores: 100, isRunning: false },
      { fromMs: 110, toMs: 150, millicores: 1000, isRunning: true },
      { fromMs: 150, toMs: 200, millicores: 2000, isRunning: true },
      { fromMs: 200, toMs: 210, millicores: 2000, isRunning: false },
      { fromMs: 210, toMs: 300, millicores: 100, isRunning: false },
    ]);
    // What has no end yet runs until the end of what is known.
    expect(stretchesOf(state, 0, 300, 1)).toEqual([
      { fromMs: 0, toMs: 120, millicores: 100, isRunning: false },
      { fromMs: 120, toMs: 300, millicores: 1500, isRunning: true },
    ]);
  });

  it('begin in the middle with what was under way', () => {
    expect(stretchesOf(stateOf(RECORDS), 160, 205, 0)).toEqual([
      { fromMs: 160, toMs: 200, millicores: 2000, isRunning: true },
      { fromMs: 200, toMs: 205, millicores: 2000, isRunning: false },
    ]);
    expect(stretchesOf(stateOf(RECORDS), 160, 205, 1)).toEqual([
      { fromMs: 160, toMs: 205, millicores: 1500, isRunning: true },
    ]);
  });

  it('say nothing of before the run was heard of, and add up to all of the time after', () => {
    const state = stateOf(RECORDS);
    for (const instance of [0, 1]) {
      const sum = stretchesOf(state, -500, 300, instance).reduce((all, { fromMs, toMs }) => all + toMs - fromMs, 0);
      expect(sum).toBe(300);
    }
  });

  it('keep a refused resize out: what was in force stays', () => {
    const state = stateOf([
      resized(50, 0, 100),
      { kind: 'resize-refused', atMs: 60, resizeId: 2, instance: 0, message: 'no' },
    ]);
    expect(stretchesOf(state, 55, 80, 0).map(({ millicores }) => millicores)).toEqual([100]);
    expect(instancesAt(state, 70)).toEqual([
      { millicores: 100, batchSize: 0 },
      { millicores: 100, batchSize: 0 },
    ]);
  });

  it('tell who does what at an instant', () => {
    const state = stateOf(RECORDS);
    expect(instancesAt(state, 115)).toEqual([
      { millicores: 1000, batchSize: 2 },
      { millicores: 100, batchSize: 0 },
    ]);
    expect(instancesAt(state, 205)).toEqual([
      { millicores: 2000, batchSize: 0 },
      { millicores: 1500, batchSize: 2 },
    ]);
  });
});

describe('starts', () => {
  it('carry the reason of the plan that they follow, not of one in between', () => {
    const { starts } = stateOf(RECORDS);
    expect(starts).toMatchObject([
      { atMs: 110, instance: 0, batchSize: 2, cpuMillicores: 1000, plan: { boundBy: { kind: 'arrival-rate' } } },
      {
        atMs: 120,
        instance: 1,
        batchSize: 2,
        cpuMillicores: 1500,
        plan: { boundBy: { kind: 'deadline', sequence: 4 } },
      },
    ]);
    expect(startShares(stateOf(RECORDS), { fromMs: 0, toMs: 300 })).toEqual([
      { reason: 'deadline of request … in … ms', fraction: 0.5 },
      { reason: 'arrival rate …/s', fraction: 0.5 },
    ]);
    expect(startShares(stateOf(RECORDS), { fromMs: 0, toMs: 115 })).toEqual([
      { reason: 'arrival rate …/s', fraction: 1 },
    ]);
  });

  it('are bounded', () => {
    const many = Array.from({ length: 100 }, (_, index) => started(index, index, 0, 1000));
    const { starts } = stateOf(many, MODEL, { rows: 8, steps: 8, plans: 10 });
    expect(starts.length).toBeLessThanOrEqual(20);
    expect(starts.at(-1)).toMatchObject({ atMs: 99 });
  });
});
