import { describe, expect, it } from 'vitest';
import type { LatencyModel } from '../domain/latency.js';
import type { PlanningProblem } from './program.js';
import { allocationAt, isScheduleFeasible, solve, stepCount } from './solver.js';

/** l(b, c) = 40·b/c + 10 ms, c in cores: 50 ms alone on one core, 30 on two. */
const divisible: LatencyModel = {
  // Plans must not use it.
  predictedLatencyMs: () => Number.NaN,
  plannedLatencyMs: (batchSize, cpuMillicores) => (40_000 * batchSize) / cpuMillicores + 10,
  leastLatencyMs: () => Number.NaN,
};

const LIMITS = { minMillicores: 1000, maxMillicores: 4000, stepMillicores: 500 };

function problemOf(budgetsMs: readonly number[], overrides: Partial<PlanningProblem> = {}): PlanningProblem {
  return {
    nowMs: 5000,
    queue: budgetsMs.map((budgetMs) => ({ dueAtMs: 5000 + budgetMs, classIndex: 0 })),
    models: [divisible],
    inFlightRemainingMs: () => 0,
    arrivalRatePerSec: 0,
    arrivalModel: divisible,
    limits: LIMITS,
    maxBatchSize: 4,
    ...overrides,
  };
}

describe('solve', () => {
  it('grants the floor to an empty queue', () => {
    expect(solve(problemOf([]))).toEqual({
      kind: 'feasible',
      cpuMillicores: 1000,
      batchSize: 1,
      boundBy: { kind: 'floor' },
      unsalvageable: [],
    });
  });

  it('grants the least allocation that meets each deadline, and names the one that binds', () => {
    // 40/2 + 10 = 30 ms by 30; then another 30 by 60. On 1.5 cores the first takes 36.7.
    expect(solve(problemOf([30, 60]))).toEqual({
      kind: 'feasible',
      cpuMillicores: 2000,
      batchSize: 1,
      boundBy: { kind: 'deadline', queueIndex: 0 },
      unsalvageable: [],
    });
  });

  it('batches where that saves CPU: two together end at 80/2 + 10 = 50, one after the other at 60', () => {
    expect(solve(problemOf([55, 55]))).toMatchObject({ cpuMillicores: 2000, batchSize: 2 });
  });

  it('counts the short last batch as short', () => {
    // Batches of 2 on two cores: 50, then one alone: 80. Two batches of 2 would end at 100.
    expect(solve(problemOf([50, 50, 80], { maxBatchSize: 2 }))).toMatchObject({ cpuMillicores: 2000, batchSize: 2 });
  });

  it('counts the batch in flight at the allocation that it would go on with', () => {
    // Half of a single left: 25 ms on one core, 15 on two. Then 50 or 30 of its own.
    const inFlightRemainingMs = (cpuMillicores: number): number => divisible.plannedLatencyMs(1, cpuMillicores) / 2;
    expect(solve(problemOf([75], { inFlightRemainingMs }))).toMatchObject({ cpuMillicores: 1000 });
    expect(solve(problemOf([74], { inFlightRemainingMs }))).toMatchObject({ cpuMillicores: 1500 });
    expect(solve(problemOf([45], { inFlightRemainingMs }))).toMatchObject({ cpuMillicores: 2000 });
  });

  it('keeps up with arrivals, with batches larger than the queue', () => {
    // h(3, 1) = 3/130 ms = 23.1/s; h(4, 1) = 4/170 ms = 23.5/s; h(4, 1.5) = 4/116.7 ms = 34.3/s; h(3, 1.5) = 3/90 ms = 33.3/s.
    expect(solve(problemOf([900], { arrivalRatePerSec: 23.2 }))).toMatchObject({ cpuMillicores: 1000, batchSize: 4 });
    expect(solve(problemOf([900], { arrivalRatePerSec: 33 }))).toMatchObject({
      cpuMillicores: 1500,
      batchSize: 3,
      boundBy: { kind: 'arrival-rate' },
    });
  });

  it('counts h = λ as keeping up: 1 request in 50 ms is 20/s', () => {
    expect(solve(problemOf([], { arrivalRatePerSec: 20 }))).toMatchObject({ cpuMillicores: 1000, batchSize: 1 });
  });

  it('sets aside what the largest allocation cannot save, and plans for the rest', () => {
    // Alone on four cores: 20 ms. Request 0 has 19.
    expect(solve(problemOf([19, 60]))).toEqual({
      kind: 'feasible',
      cpuMillicores: 1000,
      batchSize: 1,
      boundBy: { kind: 'floor' },
      unsalvageable: [0],
    });
  });

  it('names the binding request by its place in the whole queue', () => {
    expect(solve(problemOf([19, 30]))).toMatchObject({
      cpuMillicores: 2000,
      boundBy: { kind: 'deadline', queueIndex: 1 },
      unsalvageable: [0],
    });
  });

  it('says whether deadlines or arrivals cannot be met', () => {
    // Each could be met alone in 20 ms on four cores; two in a batch take 30.
    expect(solve(problemOf([25, 25]))).toEqual({ kind: 'infeasible', reason: 'deadlines', unsalvageable: [] });
    // h(4, 4) = 4/50 ms = 80/s.
    expect(solve(problemOf([900], { arrivalRatePerSec: 81 }))).toEqual({
      kind: 'infeasible',
      reason: 'arrival-rate',
      unsalvageable: [],
    });
  });

  it('runs the other class after the batch of the head, whatever the order of deadlines within it', () => {
    // Classes 0 1 0 in batches of 2: {0, 2} first, 80/2 + 10 = 50 on two cores, then {1}: 80.
    const queue = [0, 1, 0].map((classIndex, index) => ({ dueAtMs: 5000 + [50, 80, 80][index]!, classIndex }));
    const problem = problemOf([], { queue, models: [divisible, divisible] });
    expect(isScheduleFeasible(problem, 2000, 2)).toBe(true);
    // One after the other: 30, 60 and 90 > 80.
    expect(isScheduleFeasible(problem, 2000, 1)).toBe(false);
    expect(solve(problem)).toMatchObject({ cpuMillicores: 2000, batchSize: 2 });
  });
});

describe('isScheduleFeasible', () => {
  it('tells whether a queue can still be met behind a worker that is busy until an instant', () => {
    // On two cores a single takes 30 ms: free at 5020, done at 5050.
    const busyUntilMs = (atMs: number) => ({ inFlightRemainingMs: () => atMs - 5000 });
    expect(isScheduleFeasible(problemOf([50], busyUntilMs(5020)), 2000, 1)).toBe(true);
    expect(isScheduleFeasible(problemOf([50], busyUntilMs(5021)), 2000, 1)).toBe(false);
  });

  it('sets nothing aside', () => {
    expect(isScheduleFeasible(problemOf([1]), 4000, 1)).toBe(false);
  });
});

describe('allocation steps', () => {
  const valuesOf = (minMillicores: number, maxMillicores: number, stepMillicores: number): number[] => {
    const limits = { minMillicores, maxMillicores, stepMillicores };
    return Array.from({ length: stepCount(limits) }, (_, step) => allocationAt(limits, step));
  };

  it('end at the maximum, on the grid or not', () => {
    expect(valuesOf(100, 400, 100)).toEqual([100, 200, 300, 400]);
    expect(valuesOf(100, 350, 100)).toEqual([100, 200, 300, 350]);
    expect(valuesOf(750, 750, 100)).toEqual([750]);
  });
});
