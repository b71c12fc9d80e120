import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exactLatency, type LatencyModel } from '../../src/scheduler/domain/latency.js';
import { outcomeName } from '../../src/scheduler/domain/outcome.js';
import { latestStarts } from '../../src/scheduler/perf-model/latest-starts.js';
import { exactSystem } from '../fixtures/exact-system.js';
import { dueAt } from '../simulation/fixed-latency.js';
import { mostOnTime } from './serial-batching.js';

/*
 * The default planner in a whole system, with a model that is exactly right and resizes that take no time, against the
 * offline optimum at the largest allocation: no policy can answer more in time, whatever it grants.
 */

/** Fixed, so that a run repeats; change it to look elsewhere. */
const SEED = 20261126;
const MAX_CORES = 4;
const MAX_BATCH_SIZE = 3;
const START_AT_MS = 1000;

interface Instance {
  readonly setUpMs: number;
  readonly perRequestMs: number;
  readonly requests: readonly { readonly releaseAtMs: number; readonly budgetMs: number }[];
}

/** l(b, c) = (s + p·b)·4/c: whole milliseconds at four cores. */
function modelOf({ setUpMs, perRequestMs }: Instance): LatencyModel {
  const latencyMs = (batchSize: number, cpuMillicores: number): number =>
    ((setUpMs + perRequestMs * batchSize) * MAX_CORES * 1000) / cpuMillicores;
  return exactLatency(latencyMs);
}

/** Half a millisecond beside every sum of latencies, so that rounding decides nothing. */
function dueAtMsOf({ releaseAtMs, budgetMs }: Instance['requests'][number]): number {
  return START_AT_MS + releaseAtMs + budgetMs + 0.5;
}

/** Sequences answered in time. @param isTogether the worker is lent until all have arrived */
function servedOnTime(instance: Instance, isTogether: boolean): number[] {
  const { clock, system } = exactSystem(modelOf(instance), MAX_BATCH_SIZE, 0);
  const onTime: number[] = [];
  let ended = 0;
  // The class has run recently: no belief about it is put to the test, which would cost the others a run.
  clock.schedule(START_AT_MS - 400, () =>
    system.submit(dueAt(instance.requests.length, START_AT_MS, { byteCount: 1 }), () => undefined),
  );
  clock.advanceTo(START_AT_MS - 1);
  const lease = isTogether ? system.lease('idle', () => undefined)! : null;
  instance.requests.forEach((request, index) => {
    const receivedAtMs = START_AT_MS + request.releaseAtMs;
    clock.schedule(receivedAtMs, () =>
      system.submit(dueAt(index, dueAtMsOf(request), { receivedAtMs, byteCount: 1 }), (outcome) => {
        ended += 1;
        if (outcomeName(outcome) === 'completed_on_time') onTime.push(index);
      }),
    );
  });
  if (lease !== null) clock.schedule(START_AT_MS, () => lease.release());
  clock.advanceTo(START_AT_MS + 5000);
  system.stop();
  expect(ended).toBe(instance.requests.length);
  return onTime.sort((a, b) => a - b);
}

function optimum(instance: Instance): number {
  const { setUpMs, perRequestMs, requests } = instance;
  return mostOnTime({
    requests: requests.map((request) => ({
      releaseAtMs: START_AT_MS + request.releaseAtMs,
      dueAtMs: Math.floor(dueAtMsOf(request)),
    })),
    latenciesMs: Array.from({ length: MAX_BATCH_SIZE }, (_, index) => setUpMs + perRequestMs * (index + 1)),
  });
}

const instances = (maxCount: number, spanMs: number, mostBudgetMs: number): fc.Arbitrary<Instance> =>
  fc.record({
    setUpMs: fc.integer({ min: 0, max: 10 }),
    perRequestMs: fc.integer({ min: 1, max: 12 }),
    requests: fc.array(
      fc.record({
        releaseAtMs: fc.integer({ min: 0, max: spanMs }),
        budgetMs: fc.integer({ min: 1, max: mostBudgetMs }),
      }),
      { minLength: 1, maxLength: maxCount },
    ),
  });

describe('the default planner, where its model is right', () => {
  it('answers as many in time as anybody could, where all are there: it loses nobody that the largest allocation meets', () => {
    let lossy = 0;
    fc.assert(
      fc.property(instances(9, 0, 120), (instance) => {
        const most = optimum(instance);
        if (most < instance.requests.length) lossy += 1;
        expect(servedOnTime(instance, true)).toHaveLength(most);
      }),
      { numRuns: 1000, seed: SEED },
    );
    expect(lossy).toBeGreaterThan(200);
  });

  it('never answers more in time than the offline optimum, which knows all arrivals, and mostly as many', () => {
    let served = 0;
    let most = 0;
    fc.assert(
      fc.property(instances(7, 60, 80), (instance) => {
        const onTime = servedOnTime(instance, false).length;
        const bound = optimum(instance);
        expect(onTime).toBeLessThanOrEqual(bound);
        served += onTime;
        most += bound;
      }),
      { numRuns: 500, seed: SEED },
    );
    // Who knows the future does better; far less than this would be a broken planner.
    expect(served / most).toBeGreaterThan(0.85);
  });

  it('does not care in which order requests with the same deadline came', () => {
    fc.assert(
      fc.property(instances(8, 0, 60), fc.array(fc.nat(), { minLength: 8, maxLength: 8 }), (instance, keys) => {
        const shuffled = instance.requests
          .map((request, index) => ({ request, key: keys[index]! }))
          .sort((a, b) => a.key - b.key)
          .map(({ request }) => request);
        const budgetsOf = (each: Instance): number[] =>
          servedOnTime(each, true)
            .map((index) => each.requests[index]!.budgetMs)
            .sort((a, b) => a - b);
        expect(budgetsOf({ ...instance, requests: shuffled })).toEqual(budgetsOf(instance));
      }),
      { numRuns: 300, seed: SEED },
    );
  });
});

describe('the latest start', () => {
  /** Over every division into batches of neighbours. */
  function latestByExhaustion(dueAtMs: readonly number[], latencyMs: (size: number) => number): number {
    if (dueAtMs.length === 0) return Infinity;
    let latest = -Infinity;
    for (let size = 1; size <= Math.min(MAX_BATCH_SIZE, dueAtMs.length); size++) {
      const behind = latestByExhaustion(dueAtMs.slice(size), latencyMs);
      latest = Math.max(latest, Math.min(dueAtMs[0]!, behind) - latencyMs(size));
    }
    return latest;
  }

  it('of every part of a queue is what exhaustive search finds', () => {
    fc.assert(
      fc.property(instances(8, 0, 200), (instance) => {
        const model = modelOf(instance);
        const dueAtMs = instance.requests.map(({ budgetMs }) => budgetMs).sort((a, b) => a - b);
        const latest = latestStarts(dueAtMs, model, MAX_BATCH_SIZE, 2000);
        for (let from = 0; from <= dueAtMs.length; from++) {
          const expected = latestByExhaustion(dueAtMs.slice(from), (size) => model.predictedLatencyMs(size, 2000));
          expect(latest[from]).toBe(expected);
        }
      }),
      { numRuns: 300, seed: SEED },
    );
  });
});
