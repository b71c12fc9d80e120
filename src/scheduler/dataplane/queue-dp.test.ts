import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EXACT_LIMIT, serveMost, shedForOverload, type OverloadAnswer, type OverloadProblem } from './queue-dp.js';

const affine = (perBatchMs: number, perRequestMs: number) => (batchSize: number) =>
  perBatchMs + perRequestMs * batchSize;

/** l(b) = 10b + 8: 18, 28, 38, 48 ms. */
function problemOf(dueAtMs: readonly number[], overrides: Partial<OverloadProblem> = {}): OverloadProblem {
  return { freeAtMs: 0, dueAtMs, latencyMs: affine(8, 10), maxBatchSize: 4, ...overrides };
}

/** The most that can be on time over every order of every partition into batches; members need not be neighbours. */
function mostByExhaustion({ freeAtMs, dueAtMs, latencyMs, maxBatchSize }: OverloadProblem): number {
  const everyone = (1 << dueAtMs.length) - 1;
  const extend = (startAtMs: number, left: number): number => {
    let most = 0;
    for (let batch = left; batch > 0; batch = (batch - 1) & left) {
      const members = dueAtMs.filter((_, index) => (batch >> index) & 1);
      if (members.length > maxBatchSize) continue;
      const endAtMs = startAtMs + latencyMs(members.length);
      if (endAtMs > Math.min(...members)) continue;
      most = Math.max(most, members.length + extend(endAtMs, left & ~batch));
    }
    return most;
  };
  return extend(freeAtMs, everyone);
}

/** Serves `onTime` in the best way: does every one of them make it? */
function canAllBeMet(problem: OverloadProblem, indices: readonly number[]): boolean {
  const dueAtMs = indices.map((index) => problem.dueAtMs[index]!);
  return mostByExhaustion({ ...problem, dueAtMs }) === indices.length;
}

function expectConsistent(problem: OverloadProblem, { onTime, lost, firstBatch }: OverloadAnswer): void {
  const everyone = problem.dueAtMs.map((_, index) => index);
  expect([...onTime, ...lost].sort((a, b) => a - b)).toEqual(everyone);
  expect(firstBatch).toEqual(onTime.slice(0, firstBatch.length));
  expect(firstBatch.length).toBeLessThanOrEqual(problem.maxBatchSize);
  expect(firstBatch.length > 0).toBe(onTime.length > 0);
  if (firstBatch.length === 0) return;
  expect(firstBatch.at(-1)! - firstBatch[0]!).toBe(firstBatch.length - 1);
  expect(problem.freeAtMs + problem.latencyMs(firstBatch.length)).toBeLessThanOrEqual(problem.dueAtMs[firstBatch[0]!]!);
}

function problems(maxQueue: number): fc.Arbitrary<OverloadProblem> {
  return fc
    .record({
      freeAtMs: fc.integer({ min: 0, max: 50 }),
      budgetsMs: fc.array(fc.integer({ min: 0, max: 120 }), { maxLength: maxQueue }),
      growthsMs: fc.array(fc.integer({ min: 0, max: 25 }), { minLength: 4, maxLength: 4 }),
      maxBatchSize: fc.integer({ min: 1, max: 4 }),
    })
    .map(({ freeAtMs, budgetsMs, growthsMs, maxBatchSize }) => ({
      freeAtMs,
      dueAtMs: budgetsMs.map((budgetMs) => freeAtMs + budgetMs).sort((a, b) => a - b),
      latencyMs: (batchSize) => growthsMs.slice(0, batchSize).reduce((sum, growthMs) => sum + growthMs, 1),
      maxBatchSize,
    }));
}

describe('serveMost', () => {
  it('skips the head where that serves more: 3 in one batch by 38 instead of 2 after the head', () => {
    expect(serveMost(problemOf([18, 38, 38, 38]))).toEqual({ onTime: [1, 2, 3], lost: [0], firstBatch: [1, 2, 3] });
  });

  it('serves the head first where all fit: 18, then 18 + 28 = 46 ≤ 60', () => {
    expect(serveMost(problemOf([18, 60, 60]))).toEqual({ onTime: [0, 1, 2], lost: [], firstBatch: [0] });
  });

  it('counts a finish at the deadline as on time', () => {
    expect(serveMost(problemOf([18])).onTime).toEqual([0]);
    expect(serveMost(problemOf([17.999])).lost).toEqual([0]);
  });

  it('gives up the latest due of those that cost the same', () => {
    // One batch of 3 ends at 38; a fourth request of the same deadline cannot be in it (48) nor after it.
    expect(serveMost(problemOf([40, 40, 40, 40])).lost).toEqual([3]);
  });

  it('has nothing to serve in an empty queue, or when everything is past saving', () => {
    expect(serveMost(problemOf([]))).toEqual({ onTime: [], lost: [], firstBatch: [] });
    expect(serveMost(problemOf([1, 2, 3]))).toEqual({ onTime: [], lost: [0, 1, 2], firstBatch: [] });
  });

  it('serves as many as exhaustive search over all batches, on 4000 queues of up to 6', () => {
    let overloaded = 0;
    fc.assert(
      fc.property(problems(6), (problem) => {
        const answer = serveMost(problem);
        expectConsistent(problem, answer);
        expect(answer.onTime.length).toBe(mostByExhaustion(problem));
        expect(canAllBeMet(problem, answer.onTime)).toBe(true);
        if (answer.lost.length > 0 && answer.onTime.length > 0) overloaded++;
      }),
      { numRuns: 4000, seed: 7 },
    );
    expect(overloaded).toBeGreaterThan(1000);
  });

  it('promises what it can keep: running its first batch, the rest of what it saves can still be saved', () => {
    fc.assert(
      fc.property(problems(7), (problem) => {
        let remaining = problem;
        let { onTime, firstBatch } = serveMost(remaining);
        while (firstBatch.length > 0) {
          const rest = onTime.slice(firstBatch.length);
          remaining = {
            ...remaining,
            freeAtMs: remaining.freeAtMs + remaining.latencyMs(firstBatch.length),
            dueAtMs: rest.map((index) => remaining.dueAtMs[index]!),
          };
          const next = serveMost(remaining);
          expect(next.lost).toEqual([]);
          ({ onTime, firstBatch } = next);
        }
      }),
      { numRuns: 1000, seed: 7 },
    );
  });

  it('does not depend on what was asked before', () => {
    fc.assert(
      fc.property(problems(7), problems(7), (first, second) => {
        const fresh = serveMost(first);
        serveMost(second);
        expect(serveMost(first)).toEqual(fresh);
      }),
      { numRuns: 300, seed: 7 },
    );
  });
});

describe('serveMost beyond the exact limit', () => {
  const count = EXACT_LIMIT + 40;
  const sortedRandom = (seed: number, spanMs: number): number[] =>
    fc
      .sample(fc.array(fc.integer({ min: 0, max: spanMs }), { minLength: count, maxLength: count }), {
        seed,
        numRuns: 1,
      })[0]!
      .sort((a, b) => a - b);

  it('loses nothing that plain EDF in batches of one size can meet', () => {
    // Batches of 4 take 48 ms, so request i of a queue that is due 12 ms apart, from 48 on, is met by batch ⌊i/4⌋.
    const dueAtMs = Array.from({ length: count }, (_, index) => 48 + 12 * index);
    const answer = serveMost(problemOf(dueAtMs));
    expect(answer.lost).toEqual([]);
    // Singles take 18 ms a request and pairs 14, more than the 12 between deadlines; batches of 3 take 12.7, of 4 12.
    expect(answer.firstBatch).toEqual([0, 1, 2, 3]);
  });

  it('runs the largest batch that enough requests can wait for, and gives up those before them', () => {
    // A batch of 4 ends at 48: too late for the first two, in time for the others, of which only 4 can be in it.
    const dueAtMs = [20, 47, ...Array.from({ length: count - 2 }, () => 48)];
    const answer = serveMost(problemOf(dueAtMs));
    expect(answer.firstBatch).toEqual([2, 3, 4, 5]);
    expect(answer.lost.slice(0, 2)).toEqual([0, 1]);
    expect(answer.onTime).toHaveLength(4);
  });

  it('runs a batch of exactly as many as can wait for it', () => {
    const dueAtMs = [...Array.from({ length: EXACT_LIMIT }, () => 20), 48, 48, 48, 48];
    const [first, last] = [EXACT_LIMIT, EXACT_LIMIT + 3];
    expect(serveMost(problemOf(dueAtMs)).firstBatch).toEqual([first, first + 1, first + 2, last]);
  });

  it('promises what it can keep, and always the same', () => {
    for (let seed = 0; seed < 100; seed++) {
      const problem = problemOf(sortedRandom(seed, 600 + 10 * seed), { latencyMs: affine(8, 5), maxBatchSize: 8 });
      const answer = serveMost(problem);
      expectConsistent(problem, answer);
      // What it keeps can be met by itself: with nothing else queued it is all on time again.
      const kept = { ...problem, dueAtMs: answer.onTime.map((index) => problem.dueAtMs[index]!) };
      expect(serveMost(kept).lost).toEqual([]);
      expect(serveMost(problem)).toEqual(answer);
    }
  });
});

describe('shedForOverload', () => {
  it('gives up nothing when all can be met, else the fewest', () => {
    expect(shedForOverload(problemOf([18, 60, 60]))).toEqual([]);
    expect(shedForOverload(problemOf([18, 38, 38, 38]))).toEqual([0]);
  });
});
