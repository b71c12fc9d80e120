import { describe, expect, it } from 'vitest';
import { plannerView } from '../../../test/fixtures/planner-views.js';
import { exactLatency } from '../domain/latency.js';
import { MOST_MARKS } from '../domain/pod-report.js';
import type { QueuedWork } from '../domain/queue-snapshot.js';
import { shapeClass } from '../domain/request.js';
import { outlookOf } from './outlook.js';
import type { PlannerView } from './planner.js';

/** 100 ms each on one core, whatever the batch: 100, 200, … for one, two, …; on two cores half of it. */
const EACH_100 = exactLatency((batchSize, cpuMillicores) => (100 * batchSize * 1000) / cpuMillicores);
/** Beside 60 ms for each batch, 20 ms a request: 80, 100, 120 and 140 ms on one core. */
const SHARED = exactLatency((batchSize, cpuMillicores) => ((60 + 20 * batchSize) * 1000) / cpuMillicores);

const CLASS = shapeClass('x', 1);
/** Plans keep so much away from each deadline (`planned-queue.ts`). */
const MARGIN_MS = 10;

function viewOf(
  dueAtMs: readonly number[],
  fields: Parameters<typeof plannerView>[0] = {},
  model = EACH_100,
): PlannerView {
  const work: readonly QueuedWork[] = dueAtMs.map((each) => ({ dueAtMs: each, classIndex: 0 }));
  return plannerView({
    models: [model],
    arrivalModel: model,
    limits: { minMillicores: 1000, maxMillicores: 1000, stepMillicores: 1000 },
    instances: [{ requestedMillicores: 1000, isRunning: false, isAway: false }],
    budgetMillicores: 1000,
    reachMillicores: 1000,
    ...fields,
    snapshot: { work, sequences: work.map((_, index) => index), classes: [CLASS], maxBatchSize: 4, ...fields.snapshot },
  });
}

describe('the outlook', () => {
  it('of one core with nothing to do: at once, and a second of it is spare', () => {
    expect(outlookOf(viewOf([]))).toEqual({
      leastMs: 100,
      aloneMs: 100,
      instanceCount: 1,
      requestMs: 100,
      marks: [{ dueInMs: 0, startInMs: 0, doneInMs: 0, roomMs: null }],
      spareCoreSeconds: 1,
    });
  });

  it('says for each batch who is due from when on, when one more could start, and what those behind can spare', () => {
    const { marks, spareCoreSeconds } = outlookOf(viewOf([400, 1000]));
    expect(marks).toEqual([
      // 390 − 100 and 990 − 200: the first can be put off by 290.
      { dueInMs: 0, startInMs: 0, doneInMs: 0, roomMs: 290 },
      { dueInMs: 400 - MARGIN_MS, startInMs: 100, doneInMs: 100, roomMs: 290 },
      { dueInMs: 1000 - MARGIN_MS, startInMs: 200, doneInMs: 200, roomMs: 790 },
    ]);
    expect(spareCoreSeconds).toBeCloseTo(0.8, 9);
  });

  it('waits for what runs', () => {
    const inFlight = { shapeClass: CLASS, batchSize: 1, threadCount: 1, progress: 0.25, instance: 0 };
    const view = viewOf([], {
      runningModels: [EACH_100],
      inFlightModel: EACH_100,
      snapshot: { inFlight, running: [inFlight] },
      instances: [{ requestedMillicores: 1000, isRunning: true, isAway: false }],
    });
    expect(outlookOf(view).marks).toEqual([{ dueInMs: 0, startInMs: 75, doneInMs: 75, roomMs: null }]);
  });

  it('waits for a worker that is away', () => {
    expect(outlookOf(viewOf([]), 500).marks[0]).toMatchObject({ startInMs: 500, doneInMs: 500 });
  });

  it('reckons one more by the batches that do most, and by all instances', () => {
    // Four in 140 ms: 35 each.
    expect(outlookOf(viewOf([], {}, SHARED))).toMatchObject({ aloneMs: 80, requestMs: 35 });
    const instance = { requestedMillicores: 1000, isRunning: false, isAway: false };
    const two = viewOf([], { instances: [instance, instance], reachMillicores: 2000, budgetMillicores: 2000 }, SHARED);
    expect(outlookOf(two)).toMatchObject({ aloneMs: 80, instanceCount: 2, requestMs: 17.5 });
  });

  it('of two instances: one more starts on the one that is free first', () => {
    const instance = { requestedMillicores: 1000, isRunning: false, isAway: false };
    const fields = { instances: [instance, instance], reachMillicores: 2000, budgetMillicores: 2000 };
    const { marks } = outlookOf(viewOf([110], fields));
    expect(marks).toEqual([
      { dueInMs: 0, startInMs: 0, doneInMs: 0, roomMs: 0 },
      { dueInMs: 100, startInMs: 0, doneInMs: 50, roomMs: 0 },
    ]);
  });

  it('is of bounded size, and tells of many as of those that come last among them', () => {
    const dueAtMs = Array.from({ length: 200 }, (_, index) => 1000 * (index + 1));
    const { marks } = outlookOf(viewOf(dueAtMs));
    expect(marks).toHaveLength(MOST_MARKS);
    expect(marks.at(-1)).toMatchObject({ doneInMs: 200 * 100 });
    for (let index = 1; index < marks.length; index++) {
      expect(marks[index]!.dueInMs).toBeGreaterThan(marks[index - 1]!.dueInMs);
      expect(marks[index]!.doneInMs).toBeGreaterThan(marks[index - 1]!.doneInMs);
      expect(marks[index]!.roomMs!).toBeGreaterThanOrEqual(marks[index - 1]!.roomMs!);
    }
  });

  it('counts those behind the window', () => {
    const view = viewOf([5000], { snapshot: { behind: [{ place: 10, dueAtMs: 9000 }] } });
    // One until 100, and ten more until 1100; 8990 − 1100.
    expect(outlookOf(view).marks.at(-1)).toEqual({ dueInMs: 8990, startInMs: 1100, doneInMs: 1100, roomMs: 7890 });
  });
});
