import { describe, expect, it } from 'vitest';
import type { PlanBound } from '../scheduler/domain/plan-bound.js';
import type { EventRecord, ModelRecord, RunHeader } from '../scheduler/domain/event-record.js';
import type { Plan } from '../scheduler/domain/plan.js';
import { headlineOf, predictionOf, reasonShares, resizesOf, sourcesOf } from './headline.js';
import { LIVE_CAPACITIES, type Capacities } from './model-state.js';
import { requestsAt, typicalBatchMs } from './queue-at.js';
import { runOfLog, RunState } from './run-state.js';

const HEADER: RunHeader = {
  kind: 'run',
  schemaVersion: 1,
  source: 'live',
  title: 'test',
  startedAtMs: 1000,
  startedAt: null,
  models: ['a', 'b'].map((name) => ({
    name,
    version: '1',
    policy: 'sponge',
    limits: { minMillicores: 1000, maxMillicores: 4000, stepMillicores: 100 },
    cpuMillicores: 1000,
    instances: 1,
    maxBatchSize: 8,
  })),
};

function received(sequence: number, atMs: number, budgetMs = 400): EventRecord {
  return {
    kind: 'request-received',
    atMs,
    receivedAtMs: atMs,
    sequence,
    sloMs: 500,
    networkDelayMs: 500 - budgetMs,
    networkDelaySource: budgetMs === 500 ? 'none' : 'transfer',
    dueAtMs: atMs + budgetMs,
    client: 'c',
    isDeadlineDefaulted: false,
  };
}

function admitted(sequence: number, atMs: number, queueDepth: number): EventRecord {
  return { kind: 'request-admitted', atMs, sequence, queueDepth };
}

function answered(sequence: number, atMs: number, isLate = false): EventRecord {
  const service = { queuedMs: 20, slackAtDispatchMs: 1, batchId: 1, latencyMs: 100 };
  const outcome = isLate ? 'completed_late' : 'completed_on_time';
  return { kind: 'request-finished', atMs, sequence, outcome, reason: null, service };
}

function refused(sequence: number, atMs: number): EventRecord {
  return {
    kind: 'request-finished',
    atMs,
    sequence,
    outcome: 'rejected_overload',
    reason: 'queue_overload',
    service: null,
  };
}

function started(batchId: number, atMs: number, sequences: readonly number[]): EventRecord {
  return {
    kind: 'batch-started',
    atMs,
    batchId,
    sequences,
    batchSize: sequences.length,
    rowCount: sequences.length,
    cpuMillicores: 2000,
    threadCount: 2,
    predictedLatencyMs: 80,
    plannedLatencyMs: 110,
    shapeClassKey: 'x',
    isExploring: false,
  };
}

function ended(batchId: number, atMs: number, latencyMs: number, batchSize: number, ratio: number | null): EventRecord {
  return {
    kind: 'batch-ended',
    atMs,
    batchId,
    batchSize,
    rowCount: batchSize,
    result: ratio === null ? 'worker-lost' : 'completed',
    latencyMs,
    computeMs: latencyMs,
    actualToPredicted: ratio,
  };
}

function planned(atMs: number, cpuMillicores: number, boundBy: PlanBound): EventRecord {
  const plan: Plan = { kind: 'feasible', instances: 1, cpuMillicores, batchSize: 4, boundBy };
  return { kind: 'planned', atMs, plan, trigger: 'arrival' };
}

function resized(atMs: number, cpuMillicores: number, tookMs = 0.1): EventRecord {
  return { kind: 'resized', atMs, resizeId: 1, cpuMillicores, isWritten: true, tookMs };
}

function runWith(records: readonly EventRecord[], capacities: Capacities = LIVE_CAPACITIES): RunState {
  const run = new RunState(HEADER, capacities);
  run.apply(
    records.at(-1)?.atMs ?? 0,
    records.map((record) => ({ ...record, model: 0 })),
  );
  return run;
}

/** Two requests served together, one refused, one still waiting. */
const SMALL: readonly EventRecord[] = [
  received(1, 1100),
  admitted(1, 1100, 1),
  received(2, 1110),
  admitted(2, 1110, 2),
  planned(1120, 2000, { kind: 'deadline', sequence: 1, inMs: 380 }),
  resized(1121, 2000),
  started(1, 1122, [1, 2]),
  received(3, 1150, 500),
  refused(3, 1150),
  received(4, 1200),
  admitted(4, 1200, 1),
  answered(1, 1222),
  answered(2, 1222, true),
  ended(1, 1222, 100, 2, 1.25),
];

describe('the run', () => {
  it('keeps models apart and knows the newest instant', () => {
    const run = new RunState(HEADER);
    run.apply(1500, [
      { ...received(1, 1100), model: 1 },
      { ...received(7, 1120), model: 0 },
    ]);
    expect(run.models.map(({ requests }) => requests.length)).toEqual([1, 1]);
    expect(run.models[1]!.requests.last('atMs')).toBe(1100);
    expect(run.nowMs).toBe(1500);
    expect(run.coveredFromMs).toBe(1100);
    run.apply(2500, []);
    expect(run.nowMs).toBe(2500);
  });

  it('ignores a model that its header does not have', () => {
    const run = new RunState(HEADER);
    run.apply(1100, [{ ...received(1, 1100), model: 2 }]);
    expect(run.models.map(({ requests }) => requests.length)).toEqual([0, 0]);
  });

  it('keeps all of a log, however long', () => {
    const records = Array.from({ length: 3000 }, (_, index) => ({ ...received(index, 1000 + index), model: 0 }));
    const run = runOfLog(HEADER, records);
    expect(run.models[0]!.requests.length).toBe(3000);
    expect(run.models[0]!.completeFromMs).toBe(-Infinity);
    expect(run.coveredFromMs).toBe(1000);
    expect(run.nowMs).toBe(3999);
  });

  it('says of a live run what its header says from the first record on, and nothing of what was before', () => {
    const run = new RunState({ ...HEADER, models: [{ ...HEADER.models[0]!, cpuMillicores: 1500, instances: 3 }] });
    expect(run.models[0]!.steps.length).toBe(0);
    run.apply(9000, [{ ...resized(8000, 2000), model: 0 }]);
    const { steps, mostInstances } = run.models[0]!;
    expect([...steps.column('atMs')]).toEqual([8000, 8000]);
    // Three instances of 1.5 and then of 2 cores.
    expect([...steps.column('granted')]).toEqual([4500, 6000]);
    expect(mostInstances).toBe(3);
    expect(headlineOf(run.models[0]!, { fromMs: 1000, toMs: 8000 }).meanMillicores).toBeNull();
  });

  it('refuses a log that lacks what it should say, in one line', () => {
    const [model] = HEADER.models;
    const bare = { ...HEADER, models: [model, { name: 'b' }] } as unknown as RunHeader;
    expect(() => runOfLog(bare, [])).toThrow('model 2 of the header lacks its name, its allocation or its limits');
    expect(() => runOfLog({ ...HEADER, startedAtMs: NaN }, [])).toThrow('does not say when the run began');
    const log = (record: object): (() => RunState) => {
      const records = [received(1, 1100), record].map((each) => ({ ...each, model: 0 }) as ModelRecord);
      return () => runOfLog(HEADER, records);
    };
    expect(log({ kind: 'planned', atMs: 1200 })).toThrow(/^event 2, planned, is not as this page knows it: .+$/);
    expect(log({ ...refused(1, 1200), outcome: 'lost' })).toThrow('"lost", which is no outcome');
  });

  it('drops the oldest of a live run, and says from when it is complete', () => {
    const records = Array.from({ length: 50 }, (_, index) => received(index, 1000 + index));
    const [model] = runWith(records, { rows: 10, steps: 10, plans: 10 }).models;
    expect(model!.requests.length).toBeLessThanOrEqual(20);
    expect(model!.completeFromMs).toBe(model!.requests.column('atMs')[0]);
    expect(model!.completeFromMs).toBeGreaterThan(1020);
  });
});

describe('the queue', () => {
  it('grows by what is admitted and shrinks by what is started or ends', () => {
    const [model] = runWith([...SMALL, refused(4, 1300)]).models;
    // Empty at the first instant that is known, and nobody waits before the first admission.
    expect([...model!.queue.column('atMs')]).toEqual([1100, 1100, 1110, 1122, 1200, 1300]);
    expect([...model!.queue.column('depth')]).toEqual([0, 1, 2, 0, 1, 0]);
  });

  it('is known at any instant, with what the worker has in hand', () => {
    const [model] = runWith(SMALL).models;
    expect(requestsAt(model!, 1115)).toEqual([
      { isRunning: false, leftMs: 1500 - 1115 },
      { isRunning: false, leftMs: 1510 - 1115 },
    ]);
    expect(requestsAt(model!, 1200).map(({ isRunning, leftMs }) => [isRunning, leftMs])).toEqual([
      [true, 300],
      [true, 310],
      [false, 400],
    ]);
    expect(requestsAt(model!, 1222)).toEqual([{ isRunning: false, leftMs: 378 }]);
  });

  it('has the members of a broken batch again until they are tried once more', () => {
    const broken = [...SMALL.slice(0, 7), ended(1, 1160, 38, 2, null)];
    const [model] = runWith([...broken, started(2, 1170, [1])]).models;
    expect([...model!.queue.column('depth')]).toEqual([0, 1, 2, 0, 2, 1]);
    expect(requestsAt(model!, 1165).map(({ isRunning }) => isRunning)).toEqual([false, false]);
    expect(requestsAt(model!, 1175).map(({ isRunning }) => isRunning)).toEqual([true, false]);
  });

  it('is corrected by the next admission where its beginning was not seen', () => {
    const [model] = runWith([started(9, 1050, [5, 6]), received(1, 1100), admitted(1, 1100, 12)]).models;
    expect([...model!.queue.column('depth')]).toEqual([0, 12]);
  });

  it('is in danger when less time is left than batches took recently', () => {
    const [model] = runWith(SMALL).models;
    expect(typicalBatchMs(model!, 1300)).toBe(100);
    expect(typicalBatchMs(model!, 1100)).toBeNull();
  });
});

describe('the headline', () => {
  it('counts what ended within the range, and rates by its length', () => {
    const [model] = runWith(SMALL).models;
    const headline = headlineOf(model!, { fromMs: 1000, toMs: 1500 });
    expect(headline.received).toBe(4);
    expect(headline.requestsPerSec).toBe(4 / 0.5);
    expect(headline.outcomes).toEqual([1, 1, 0, 1, 0, 0, 0]);
    expect(headline.onTimeFraction).toBe(1 / 3);
    expect(headline.goodputPerSec).toBe(1 / 0.5);
    expect(headline.queueDepth).toBe(1);
    // Answered 122 and 112 ms after they were received.
    expect(headline.latencyP50Ms).toBe(112);
    expect(headline.latencyP99Ms).toBe(122);
    // Known from 1100 on: one core for 21 of 400 ms, then two.
    expect(headline.meanMillicores).toBeCloseTo((1000 * 21 + 2000 * 379) / 400, 9);
  });

  it('counts latency from when the last byte was there', () => {
    const [model] = runWith([{ ...received(1, 1100), receivedAtMs: 1070 } as EventRecord, answered(1, 1222)]).models;
    expect(headlineOf(model!, { fromMs: 1000, toMs: 1500 }).latencyP50Ms).toBe(152);
    expect(model!.requests.last('receivedAtMs')).toBe(1070);
  });

  it('has nothing to say of an empty range', () => {
    const [model] = runWith(SMALL).models;
    const headline = headlineOf(model!, { fromMs: 5000, toMs: 6000 });
    expect(headline).toMatchObject({ received: 0, onTimeFraction: null, latencyP50Ms: null, latencyP99Ms: null });
  });

  it('takes the time since admission for one that was received before anyone looked', () => {
    const [model] = runWith([answered(77, 1400)]).models;
    // Queued for 20 ms, 100 ms in its batch.
    expect(headlineOf(model!, { fromMs: 1000, toMs: 2000 }).latencyP50Ms).toBe(120);
  });

  it('leaves out who cancelled in time', () => {
    const cancelled = { ...refused(5, 1300), outcome: 'cancelled', reason: 'cancelled' } as EventRecord;
    const [model] = runWith([received(5, 1290), cancelled, ...SMALL.slice(0, 2), answered(1, 1400)]).models;
    expect(headlineOf(model!, { fromMs: 1000, toMs: 2000 }).onTimeFraction).toBe(1);
  });
});

describe('batches', () => {
  it('are compared with the prediction for the CPU that they ran on', () => {
    const [model] = runWith(SMALL).models;
    // Predicted over its resizes: 100 ms / 1.25.
    expect(model!.batches.last('expectedMs')).toBe(80);
    expect(predictionOf(model!, { fromMs: 1000, toMs: 2000 })).toEqual({
      batches: 1,
      meanSize: 2,
      ratioP50: 1.25,
      withinPlannedFraction: 1,
    });
  });

  it('are compared with nothing before there is a profile', () => {
    const unpredicted = { ...started(1, 1100, [1]), predictedLatencyMs: 0, plannedLatencyMs: 0 } as EventRecord;
    const unknown = { ...ended(1, 1200, 100, 1, 1), actualToPredicted: null } as EventRecord;
    const infinite = { ...unknown, actualToPredicted: Infinity } as EventRecord;
    for (const end of [unknown, infinite]) {
      const [model] = runWith([unpredicted, end]).models;
      expect(predictionOf(model!, { fromMs: 1000, toMs: 2000 })).toEqual({
        batches: 1,
        meanSize: 1,
        ratioP50: null,
        withinPlannedFraction: null,
      });
    }
  });

  it('charge their core time to their members, and the mean of it to who never ran', () => {
    const [model] = runWith([...SMALL, received(5, 1300)]).models;
    // 100 ms on two cores, shared by two; nobody had run before the third and the fourth came.
    expect([...model!.requests.column('coreMs')]).toEqual([100, 100, NaN, NaN, 100]);
  });
});

describe('resizes', () => {
  it('are counted by result, durations by those that were written', () => {
    const [model] = runWith([
      resized(1100, 2000, 0.2),
      resized(1200, 3000, 0.4),
      { kind: 'resized', atMs: 1250, resizeId: 3, cpuMillicores: 3000, isWritten: false, tookMs: 90 },
      { kind: 'resize-refused', atMs: 1300, resizeId: 4, message: 'no more CPU here' },
    ]).models;
    expect(resizesOf(model!, { fromMs: 1000, toMs: 2000 })).toEqual({
      written: 2,
      unchanged: 1,
      refused: 1,
      tookP50Ms: 0.2,
      tookP99Ms: 0.4,
    });
    expect(model!.lastRefusal).toBe('no more CPU here');
    // A row a change: what was not changed is none.
    expect([...model!.steps.column('granted')]).toEqual([1000, 2000, 3000]);
  });

  it('count each ready instance', () => {
    const [model] = runWith([
      { kind: 'instances-requested', atMs: 1100, fromInstances: 1, toInstances: 3 },
      { kind: 'instances-changed', atMs: 1200, instances: 3 },
      resized(1300, 2000),
    ]).models;
    expect([...model!.steps.column('granted')]).toEqual([1000, 1000, 3000, 6000]);
    expect([...model!.steps.column('asked')]).toEqual([1, 3, 3, 3]);
  });
});

describe('plans', () => {
  it('are listed when they differ in more than the numbers of their reason', () => {
    const [model] = runWith([
      planned(1100, 2000, { kind: 'deadline', sequence: 1, inMs: 380 }),
      planned(1110, 2000, { kind: 'deadline', sequence: 2, inMs: 390 }),
      planned(1120, 3000, { kind: 'deadline', sequence: 2, inMs: 380 }),
      planned(1130, 3000, { kind: 'idle' }),
    ]).models;
    expect(model!.plans.map(({ atMs }) => atMs)).toEqual([1100, 1120, 1130]);
  });

  it('are held for a share of the range by each reason', () => {
    const [model] = runWith([
      planned(1100, 2000, { kind: 'deadline', sequence: 1, inMs: 380 }),
      planned(1200, 1000, { kind: 'idle' }),
      planned(1500, 2000, { kind: 'deadline', sequence: 9, inMs: 80 }),
    ]).models;
    // Before 1100 there is no plan: 600 ms for the deadlines (1100 … 1200, 1500 … 2000), 300 idle.
    expect(reasonShares(model!, { fromMs: 1000, toMs: 2000 })).toEqual([
      { reason: 'deadline of request … in … ms', fraction: 600 / 900 },
      { reason: 'idle', fraction: 300 / 900 },
    ]);
  });

  it('have a bounded number of reasons, whatever comes', () => {
    const kinds = Array.from({ length: 200 }, (_, index) => ({ kind: `of a later version ${index}` }) as never);
    const [model] = runWith(kinds.map((kind, index) => planned(1100 + index, 1000, kind))).models;
    expect(model!.reasons.length).toBeLessThanOrEqual(24);
    expect(model!.reasons.at(-1)).toBe('other');
  });

  it('are bounded in number', () => {
    const many = Array.from({ length: 100 }, (_, index) =>
      planned(1100 + index, 1000 + 100 * (index % 2), { kind: 'idle' }),
    );
    const [model] = runWith(many, { rows: 10, steps: 10, plans: 10 }).models;
    expect(model!.plans.length).toBeLessThanOrEqual(20);
    expect(model!.plans.at(-1)!.atMs).toBe(1199);
    expect(model!.plansCompleteFromMs).toBe(model!.plans[0]!.atMs);
    expect(runWith(many).models[0]!.plansCompleteFromMs).toBe(-Infinity);
  });
});

describe('network delay', () => {
  it('is told by what it was learned from', () => {
    const [model] = runWith([received(1, 1100, 400), received(2, 1200, 300), received(3, 1300, 500)]).models;
    expect(sourcesOf(model!, { fromMs: 1000, toMs: 2000 })).toEqual([
      { source: 'none', requests: 1, delayP50Ms: 0 },
      { source: 'transfer', requests: 2, delayP50Ms: 100 },
      { source: 'declared_upload', requests: 0, delayP50Ms: null },
      { source: 'send_stamp', requests: 0, delayP50Ms: null },
    ]);
  });
});
