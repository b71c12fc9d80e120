import type { AllocationLimits } from '../domain/plan.js';
import type { Prng } from '../random/prng.js';
import type { GridCell } from './profile-cell.js';

/*
 * Which (b, c) cells `sponge profile` measures, how often, and in which order. Latency is smooth in b and in 1/c, so both
 * axes are geometric. Order is interleaved: a round runs every cell once, in an order of its own, so that a machine that
 * slows down while it is measured slows every cell alike and not the last ones only.
 */

export type GridQuality = 'quick' | 'full';

export interface GridOptions {
  readonly maxBatchSize: number;
  readonly limits: AllocationLimits;
  /** Ascending; what a worker has sessions for. */
  readonly threadCounts: readonly number[];
  readonly quality: GridQuality;
}

/** Below a quarter of a core a quota period of 10 ms leaves 2.5 ms of running at a time; the curve is extended instead. */
const SMALLEST_MILLICORES = 250;
/** Below four cores the next whole one is a large step, and each brings a thread: they are all measured. */
const EVERY_WHOLE_CORE_UP_TO = 4000;

/** Runs of each cell. 20 give medians within 2 % at 7 % noise, and with pooled residuals enough of a p99; 5 within 4 %. */
export const RUNS_PER_CELL: Readonly<Record<GridQuality, number>> = { quick: 5, full: 20 };

/**
 * Batch sizes are powers of two (of four when quick) up to the largest, with it. Allocations double from a quarter of a core
 * (quadruple when quick) and, in full, take in the whole cores up to four; the largest is always there. All are allowed ones.
 * Each cell runs with the threads that serving would use at its allocation.
 * @returns by batch size, then allocation, ascending
 */
export function profileGrid({ maxBatchSize, limits, threadCounts, quality }: GridOptions): GridCell[] {
  const ratio = quality === 'full' ? 2 : 4;
  const allocations = geometric(Math.max(SMALLEST_MILLICORES, limits.minMillicores), limits.maxMillicores, ratio);
  if (quality === 'full') {
    for (let whole = 1000; whole <= EVERY_WHOLE_CORE_UP_TO; whole += 1000) allocations.push(whole);
  }
  const allowed = [...new Set(allocations.map((millicores) => nearestAllowed(millicores, limits)))];
  allowed.sort((a, b) => a - b);
  return geometric(1, maxBatchSize, ratio).flatMap((batchSize) =>
    allowed.map((cpuMillicores) => ({
      batchSize,
      cpuMillicores,
      threadCount: threadsFor(cpuMillicores, threadCounts),
    })),
  );
}

/** Every cell `rounds` times: each round is all cells in a new order. */
export function interleaved(cells: readonly GridCell[], rounds: number, prng: Prng): GridCell[] {
  return Array.from({ length: rounds }, () => shuffled(cells, prng)).flat();
}

export interface BudgetedGrid {
  readonly cells: readonly GridCell[];
  readonly rounds: number;
  /** May exceed the budget where even the least that a fit needs does. */
  readonly estimatedMs: number;
}

/** Fewer rounds than this have no median that a single bad run cannot move. */
const FEWEST_ROUNDS = 3;
/** How far beyond the budget the corners may go before they are given up but one. */
const MOST_OVER_BUDGET = 3;

/**
 * The part of a grid that can be measured in time: the most expensive cells go first, but never the corners that tell the
 * terms of the fit apart (one request and the largest batch at the largest allocation, one request at the smallest). When
 * only those are left, rounds go, down to three. A model that takes seconds a run is measured at one request on all CPU alone,
 * as often as there is time for, once at least: it is better served soon with a wide margin than known well and not served.
 * @param estimatedRunMs time of one run of a cell; a `MonotoneTable` of a few probed cells estimates the others from above
 */
export function withinBudget(
  cells: readonly GridCell[],
  rounds: number,
  estimatedRunMs: (cell: GridCell) => number,
  budgetMs: number,
): BudgetedGrid {
  const runMs = new Map(cells.map((cell) => [cell, estimatedRunMs(cell)]));
  const roundMs = (some: readonly GridCell[]): number => some.reduce((sum, cell) => sum + runMs.get(cell)!, 0);
  const isCorner = cornersOf(cells);
  const dearestFirst = cells.filter((cell) => !isCorner(cell)).sort((a, b) => runMs.get(b)! - runMs.get(a)!);
  const dropped = new Set<GridCell>();
  let kept = [...cells];
  for (const cell of dearestFirst) {
    if (roundMs(kept) * rounds <= budgetMs) break;
    dropped.add(cell);
    kept = cells.filter((each) => !dropped.has(each));
  }
  const [cheapest] = [...kept].sort((a, b) => runMs.get(a)! - runMs.get(b)!);
  if (cheapest !== undefined && roundMs(kept) * FEWEST_ROUNDS > MOST_OVER_BUDGET * budgetMs) {
    const rounds = Math.max(1, Math.min(FEWEST_ROUNDS, Math.floor(budgetMs / runMs.get(cheapest)!)));
    return { cells: [cheapest], rounds, estimatedMs: runMs.get(cheapest)! * rounds };
  }
  const affordable = Math.floor(budgetMs / roundMs(kept));
  const keptRounds = Math.min(rounds, Math.max(affordable, FEWEST_ROUNDS));
  return { cells: kept, rounds: keptRounds, estimatedMs: roundMs(kept) * keptRounds };
}

/** The largest session within the allocation, or the smallest there is: serving's rule. */
function threadsFor(cpuMillicores: number, threadCounts: readonly number[]): number {
  const allowed = Math.ceil(cpuMillicores / 1000);
  return threadCounts.findLast((count) => count <= allowed) ?? threadCounts[0] ?? 1;
}

function cornersOf(cells: readonly GridCell[]): (cell: GridCell) => boolean {
  const smallest = Math.min(...cells.map((cell) => cell.cpuMillicores));
  const largest = Math.max(...cells.map((cell) => cell.cpuMillicores));
  const largestBatch = Math.max(...cells.map((cell) => cell.batchSize));
  return ({ batchSize, cpuMillicores }) =>
    (cpuMillicores === largest && (batchSize === 1 || batchSize === largestBatch)) ||
    (cpuMillicores === smallest && batchSize === 1);
}

/** from, from·ratio, … and `to`; only `to` when `from` is not below it. Whole numbers. */
function geometric(from: number, to: number, ratio: number): number[] {
  const values: number[] = [];
  for (let value = from; value < to; value *= ratio) values.push(value);
  return [...values, to];
}

/** In {min, min + step, …} ∪ {max}. */
function nearestAllowed(
  millicores: number,
  { minMillicores, maxMillicores, stepMillicores }: AllocationLimits,
): number {
  if (millicores >= maxMillicores) return maxMillicores;
  const steps = Math.max(0, Math.round((millicores - minMillicores) / stepMillicores));
  return Math.min(minMillicores + steps * stepMillicores, maxMillicores);
}

/** Fisher–Yates. */
function shuffled<T>(values: readonly T[], prng: Prng): T[] {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i--) {
    const j = prng.int(i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
