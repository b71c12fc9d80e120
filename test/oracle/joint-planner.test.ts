import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BudgetSample } from '../../src/scheduler/controlplane/budget-sample.js';
import { divideOverload } from '../../src/scheduler/controlplane/overload-division.js';
import { exactLatency } from '../../src/scheduler/domain/latency.js';
import { outcomeName } from '../../src/scheduler/domain/outcome.js';
import { powerCurve, replicatedPowerCurve, upToCores } from '../../src/scheduler/perf-model/power-curve.js';
import { fluidBound } from '../../src/simulator/clairvoyant/fluid-bound.js';
import { jointSystem } from '../fixtures/joint-system.js';
import { dueAt } from '../simulation/fixed-latency.js';
import { isMetOnEqualShares, nodeOptimum, type TinyNode } from './tiny-nodes.js';
import { chooseVictims } from '../../src/scheduler/controlplane/overload-victims.js';

/*
 * Several instances on one node, against exhaustive search: with a model that is exactly right and resizes that take no time.
 */

/** Fixed, so that a run repeats; change it to look elsewhere. */
const SEED = 20261128;
const ALLOCATIONS = [1000, 2000, 4000];
/** Planners take deadlines so much early. */
const MARGIN_MS = 10;
const START_AT_MS = 1000;

/** (s + p·b)·4/c + f ms: whole milliseconds on one, two and four cores. Half a millisecond beside every sum, so that rounding decides nothing. */
const nodes = (spanMs: number): fc.Arbitrary<TinyNode> =>
  fc
    .record({
      sharedMs: fc.integer({ min: 0, max: 8 }),
      perRequestMs: fc.integer({ min: 1, max: 12 }),
      fixedMs: fc.integer({ min: 0, max: 10 }),
      instanceCount: fc.integer({ min: 1, max: 3 }),
      budgetMillicores: fc.constantFrom(2000, 4000, 6000),
      requests: fc.array(
        fc.record({ releaseAtMs: fc.integer({ min: 0, max: spanMs }), windowMs: fc.integer({ min: 5, max: 130 }) }),
        { minLength: 1, maxLength: 4 },
      ),
    })
    .filter(({ instanceCount, budgetMillicores }) => instanceCount * 1000 <= budgetMillicores)
    .map(({ sharedMs, perRequestMs, fixedMs, instanceCount, budgetMillicores, requests }) => ({
      instanceCount,
      budgetMillicores,
      idleMillicores: 0,
      allocations: ALLOCATIONS.filter((each) => each <= budgetMillicores),
      maxBatchSize: 2,
      latencyMs: (batchSize, cpuMillicores) => ((sharedMs + perRequestMs * batchSize) * 4000) / cpuMillicores + fixedMs,
      requests: requests
        .map(({ releaseAtMs, windowMs }) => ({ releaseAtMs, dueAtMs: releaseAtMs + windowMs + 0.5 }))
        .sort((a, b) => a.dueAtMs - b.dueAtMs),
    }));

describe('the bound for several instances on one node', () => {
  it('never exceeds what the cheapest schedule takes, nor calls infeasible what can be done', () => {
    let [tight, feasible] = [0, 0];
    fc.assert(
      fc.property(nodes(60), fc.constantFrom(0, 100, 300), (tiny, idleMillicores) => {
        const node = { ...tiny, idleMillicores };
        const { leastAddedCoreMs } = nodeOptimum(node);
        if (leastAddedCoreMs === null) return;
        const { instanceCount, budgetMillicores, requests } = node;
        const durationMs = Math.max(...requests.map(({ dueAtMs }) => dueAtMs));
        const curve = upToCores(
          replicatedPowerCurve(powerCurve(node), instanceCount, instanceCount),
          budgetMillicores / 1000,
        );
        const work = {
          releaseAtMs: Float64Array.from(requests, ({ releaseAtMs }) => releaseAtMs),
          dueAtMs: Float64Array.from(requests, ({ dueAtMs }) => dueAtMs),
          work: Float64Array.from(requests, () => 1),
        };
        const bound = fluidBound(curve, work, durationMs);
        expect(bound.kind).toBe('feasible');
        const optimumCoreMs = (instanceCount * idleMillicores * durationMs) / 1000 + leastAddedCoreMs;
        expect(bound.coreSeconds * 1000).toBeLessThanOrEqual(optimumCoreMs * (1 + 1e-9));
        feasible += 1;
        if (bound.coreSeconds * 1000 > 0.8 * optimumCoreMs) tight += 1;
      }),
      { numRuns: 600, seed: SEED },
    );
    // Bounds that are nowhere near would show nothing.
    expect(feasible).toBeGreaterThan(300);
    expect(tight).toBeGreaterThan(0.3 * feasible);
  });
});

describe('an overload that is divided', () => {
  it('never has more than one fewer on time than anybody could, nor more, for one class', () => {
    let lossy = 0;
    let [kept, most] = [0, 0];
    fc.assert(
      fc.property(nodes(0), (node) => {
        const question = {
          nowMs: 0,
          dueAtMs: node.requests.map(({ dueAtMs }) => dueAtMs),
          classIndexes: null,
          models: [exactLatency(node.latencyMs)],
          maxBatchSize: node.maxBatchSize,
          steadyRatePerSec: 0,
          expectedRatePerSec: 0,
          budgets: new BudgetSample(),
          pricing: { safety: 1, lossCoreMs: 15_000, usesForecast: true },
          levels: node.allocations,
          availableMillicores: node.budgetMillicores,
          budgetMillicores: node.budgetMillicores,
          busyUntilMs: [],
          instanceCount: node.instanceCount,
          leastMillicores: node.allocations[0]!,
          mayWait: true,
          mayFill: true,
          coresFreeAtMs: Infinity,
          isContended: false,
        };
        const division = divideOverload(question);
        const shed = chooseVictims({
          ...division,
          queue: question,
          sequenceOf: (place) => place,
          isBelowFloor: () => false,
        });
        const onTime = node.requests.length - shed.length;
        const { mostOnTime } = nodeOptimum(node);
        if (mostOnTime < node.requests.length) lossy += 1;
        kept += onTime;
        most += mostOnTime;
        expect(onTime).toBeLessThanOrEqual(mostOnTime);
        expect(onTime).toBeGreaterThanOrEqual(mostOnTime - 1);
      }),
      { numRuns: 600, seed: SEED },
    );
    expect(lossy).toBeGreaterThan(150);
    expect(kept / most).toBeGreaterThan(0.9);
  });
});

/** How many are answered in time, all being there at once. */
function servedOnTime(node: TinyNode): number {
  const { clock, system } = jointSystem({
    model: exactLatency(node.latencyMs),
    instances: node.instanceCount,
    maxMillicores: node.budgetMillicores,
    maxBatchSize: node.maxBatchSize,
  });
  // The class has run recently: no belief about it is put to the test, which would cost the others a run.
  clock.schedule(START_AT_MS - 400, () =>
    system.submit(dueAt(node.requests.length, START_AT_MS, { byteCount: 1 }), () => undefined),
  );
  clock.advanceTo(START_AT_MS - 1);
  const lease = system.lease('idle', () => undefined)!;
  let [onTime, ended] = [0, 0];
  node.requests.forEach(({ dueAtMs }, index) => {
    clock.schedule(START_AT_MS, () =>
      system.submit(dueAt(index, START_AT_MS + dueAtMs, { receivedAtMs: START_AT_MS, byteCount: 1 }), (outcome) => {
        ended += 1;
        if (outcomeName(outcome) === 'completed_on_time') onTime += 1;
      }),
    );
  });
  clock.schedule(START_AT_MS, () => lease.release());
  clock.advanceTo(START_AT_MS + 5000);
  system.stop();
  expect(ended).toBe(node.requests.length);
  return onTime;
}

describe('the joint planner in a whole system', () => {
  // Not quite nobody: in one of 1200 such cases (4 of 4826 with another seed) one request is lost. Traced in one of them: a start on three
  // of four cores is held for safe because the other instance, which is free, would meet the rest on three cores too.
  it('gives nobody up where list scheduling on equal shares meets everyone, but for one in 500 such cases', () => {
    let [met, lossy] = [0, 0];
    fc.assert(
      fc.property(nodes(0), (node) => {
        const early = node.requests.map((each) => ({ ...each, dueAtMs: each.dueAtMs - MARGIN_MS }));
        if (!isMetOnEqualShares({ ...node, requests: early })) return;
        met += 1;
        const lost = node.requests.length - servedOnTime(node);
        if (lost > 0) lossy += 1;
        expect(lost).toBeLessThanOrEqual(1);
      }),
      { numRuns: 3000, seed: SEED },
    );
    expect(met).toBeGreaterThan(1000);
    expect(lossy).toBeLessThanOrEqual(met / 500);
  });

  it('never answers more in time than anybody could, and mostly as many', () => {
    let [served, most] = [0, 0];
    fc.assert(
      fc.property(nodes(0), (node) => {
        // Planners may use three cores too.
        const { mostOnTime } = nodeOptimum({ ...node, allocations: [1000, 2000, 3000, 4000, 5000, 6000] });
        const onTime = servedOnTime(node);
        expect(onTime).toBeLessThanOrEqual(mostOnTime);
        served += onTime;
        most += mostOnTime;
      }),
      { numRuns: 400, seed: SEED },
    );
    expect(served / most).toBeGreaterThan(0.9);
  });
});
