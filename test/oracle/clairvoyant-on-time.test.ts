import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serveMost } from '../../src/scheduler/dataplane/queue-dp.js';
import { unitJobsOnTime } from '../../src/simulator/clairvoyant/fluid-bound.js';
import { columnsOf } from './clairvoyant-instances.js';
import { mostOnTime, mostOnTimeByExhaustion, type BatchingInstance } from './serial-batching.js';
import { mostInTime, type WindowedJob } from './yds.js';

/** Fixed, so that a run repeats; change it to look elsewhere. */
const SEED = 20000367;

describe('the most requests on time', () => {
  /** Windows in whole ms around a machine that needs 1 to 12 ms a unit. */
  const units = fc.record({
    list: fc.array(
      fc.record({
        releaseAtMs: fc.integer({ min: 0, max: 40 }),
        windowMs: fc.integer({ min: 1, max: 40 }),
        work: fc.constantFrom(1, 1.25, 1.5, 3),
      }),
      { maxLength: 9 },
    ),
    msPerUnit: fc.integer({ min: 1, max: 12 }),
  });
  const asJobs = (list: readonly { releaseAtMs: number; windowMs: number; work: number }[]): WindowedJob[] =>
    list.map(({ releaseAtMs, windowMs, work }) => ({ releaseAtMs, dueAtMs: releaseAtMs + windowMs, work }));

  it('with preemption and equal work equals the largest of all subsets that can be done', () => {
    let lossy = 0;
    fc.assert(
      fc.property(units, ({ list, msPerUnit }) => {
        const equal = asJobs(list).map((job) => ({ ...job, work: 1 }));
        const most = mostInTime(equal, 1 / msPerUnit);
        if (most > 0 && most < equal.length) lossy++;
        expect(unitJobsOnTime(1 / msPerUnit, columnsOf(equal))).toBe(most);
      }),
      { numRuns: 1500, seed: SEED },
    );
    expect(lossy).toBeGreaterThan(500);
  });

  it('with preemption and different work is never below the largest subset', () => {
    fc.assert(
      fc.property(units, ({ list, msPerUnit }) => {
        const different = asJobs(list);
        const most = mostInTime(different, 1 / msPerUnit);
        expect(unitJobsOnTime(1 / msPerUnit, columnsOf(different))).toBeGreaterThanOrEqual(most);
      }),
      { numRuns: 500, seed: SEED },
    );
  });

  const batchingInstances = (maxCount: number, spanMs: number): fc.Arbitrary<BatchingInstance> =>
    fc
      .record({
        list: fc.array(
          fc.record({ releaseAtMs: fc.integer({ min: 0, max: spanMs }), budgetMs: fc.integer({ min: 1, max: 60 }) }),
          { minLength: 1, maxLength: maxCount },
        ),
        setUpMs: fc.integer({ min: 0, max: 10 }),
        perRequestMs: fc.integer({ min: 1, max: 8 }),
        maxBatchSize: fc.integer({ min: 1, max: 3 }),
      })
      .map(({ list, setUpMs, perRequestMs, maxBatchSize }) => ({
        requests: list.map(({ releaseAtMs, budgetMs }) => ({ releaseAtMs, dueAtMs: releaseAtMs + budgetMs })),
        latenciesMs: Array.from({ length: maxBatchSize }, (_, index) => setUpMs + perRequestMs * (index + 1)),
      }));

  it('with batches that start when all members are there: the dynamic program equals exhaustive search', () => {
    let lossy = 0;
    fc.assert(
      fc.property(batchingInstances(7, 50), (instance) => {
        const most = mostOnTimeByExhaustion(instance);
        if (most > 0 && most < instance.requests.length) lossy++;
        expect(mostOnTime(instance)).toBe(most);
      }),
      { numRuns: 400, seed: SEED },
    );
    expect(lossy).toBeGreaterThan(150);
  });

  it('waits for an arrival where that serves more: a single would end at 18 and keep the pair from 10 … 38', () => {
    // l(m) = 10·m + 8. All three in one batch from 10 on end at 48; the first alone from 0, then the pair from 18: 46.
    const latenciesMs = [18, 28, 38];
    const pair = { releaseAtMs: 10, dueAtMs: 38 };
    expect(mostOnTime({ requests: [{ releaseAtMs: 0, dueAtMs: 66 }, pair, pair], latenciesMs })).toBe(3);
    expect(mostOnTime({ requests: [{ releaseAtMs: 0, dueAtMs: 55 }, pair, pair], latenciesMs })).toBe(2);
  });

  it('is what the queue program of the data plane serves when all requests are present', () => {
    let lossy = 0;
    fc.assert(
      fc.property(batchingInstances(10, 0), (instance) => {
        const dueAtMs = instance.requests.map((request) => request.dueAtMs).sort((a, b) => a - b);
        const { onTime } = serveMost({
          freeAtMs: 0,
          dueAtMs,
          latencyMs: (batchSize) => instance.latenciesMs[batchSize - 1]!,
          maxBatchSize: instance.latenciesMs.length,
        });
        if (onTime.length > 0 && onTime.length < dueAtMs.length) lossy++;
        expect(onTime.length).toBe(mostOnTime(instance));
      }),
      { numRuns: 400, seed: SEED },
    );
    expect(lossy).toBeGreaterThan(150);
  });

  it('with preemption at the rate of the best batch is never below that of real batches', () => {
    fc.assert(
      fc.property(batchingInstances(7, 50), (instance) => {
        const rates = instance.latenciesMs.map((latencyMs, index) => (index + 1) / latencyMs);
        const columns = columnsOf(instance.requests.map((request) => ({ ...request, work: 1 })));
        expect(unitJobsOnTime(Math.max(...rates), columns)).toBeGreaterThanOrEqual(mostOnTime(instance));
      }),
      { numRuns: 200, seed: SEED },
    );
  });
});
