/*
 * Which requests to serve when not all can be: the most of them on time, at one allocation, all present, one shape class.
 *
 * Up to `EXACT_LIMIT` requests the answer is exact. Let f[i][n] be the earliest finish with the first i requests (EDF
 * order) decided and n of them on time: request i is either given up, or begins a batch of the next m requests, which its
 * own deadline, the earliest in the batch, must allow. That suffices, because finishing earlier is never worse, served
 * requests can be put in EDF order across batches, and a batch can take the request after its head instead of a later one:
 * so batches are consecutive. (It would not suffice with weights: then a member may be worth skipping.)
 *
 * Ties are broken so that a decision repeats: most on time, then the earliest finish, then the loss of the latest due,
 * then the larger last batches, so that the first batch ends early and the next decision comes soon.
 *
 * Beyond the limit: if plain EDF in batches of some one size meets everything, the least such size; else `largest
 * eligible`, batch by batch: the largest m for which m requests can still wait out a batch of m; the earliest m of them
 * run and those before them are given up. Of the simple rules it loses least beyond saturation, and O(n log n).
 */

/**
 * Requests of one exact decision. Measured median at 64: 31, 49 and 70 µs with batches up to 8, 16 and 32 (Node 20,
 * shared two-core VM); time grows with the square of the queue, memory too.
 */
export const EXACT_LIMIT = 64;

export interface OverloadProblem {
  /** When the worker can start the first batch. */
  readonly freeAtMs: number;
  /** Deadlines in EDF order; all of one shape class. */
  readonly dueAtMs: readonly number[];
  /** Planned latency of a batch at the allocation in force, > 0, non-decreasing in the batch size. */
  readonly latencyMs: (batchSize: number) => number;
  readonly maxBatchSize: number;
}

/** Indices into `dueAtMs`, ascending; every one is in `onTime` or in `lost`. */
export interface OverloadAnswer {
  readonly onTime: readonly number[];
  readonly lost: readonly number[];
  /** Run these now; empty when nothing can be met. */
  readonly firstBatch: readonly number[];
}

export function serveMost(problem: OverloadProblem): OverloadAnswer {
  const count = problem.dueAtMs.length;
  // By batch size; index 0 is not used.
  const latenciesMs = new Float64Array(Math.min(problem.maxBatchSize, count) + 1);
  for (let size = 1; size < latenciesMs.length; size++) latenciesMs[size] = problem.latencyMs(size);

  const batches =
    count <= EXACT_LIMIT
      ? exactBatches(problem, latenciesMs)
      : (plainBatches(problem, latenciesMs) ?? largestEligibleBatches(problem, latenciesMs));
  return toAnswer(batches, count);
}

/** What to give up so that all the rest can be met, not necessarily in batches of one size. Empty when all can be. */
export function shedForOverload(problem: OverloadProblem): readonly number[] {
  return serveMost(problem).lost;
}

/** Consecutive requests that run together. */
interface Batch {
  readonly start: number;
  readonly size: number;
}

const ROW = EXACT_LIMIT + 1;
/** f[i][n] of the running call, row by row; scratch, nothing outlives a call. */
const finishAtMs = new Float64Array(ROW * ROW);

function exactBatches({ freeAtMs, dueAtMs }: OverloadProblem, latenciesMs: Float64Array): readonly Batch[] {
  const count = dueAtMs.length;
  const maxSize = latenciesMs.length - 1;
  for (let decided = 0; decided <= count; decided++) {
    finishAtMs.fill(Number.POSITIVE_INFINITY, decided * ROW, decided * ROW + count + 1);
  }
  finishAtMs[0] = freeAtMs;

  for (let head = 0; head < count; head++) {
    const due = dueAtMs[head]!;
    const row = head * ROW;
    const sizeLimit = Math.min(maxSize, count - head);
    for (let onTime = 0; onTime <= head; onTime++) {
      const startAtMs = finishAtMs[row + onTime]!;
      if (startAtMs === Number.POSITIVE_INFINITY) continue;
      const skipped = row + ROW + onTime;
      if (startAtMs < finishAtMs[skipped]!) finishAtMs[skipped] = startAtMs;
      for (let size = 1; size <= sizeLimit; size++) {
        const endAtMs = startAtMs + latenciesMs[size]!;
        if (endAtMs > due) break;
        const served = row + size * ROW + onTime + size;
        if (endAtMs < finishAtMs[served]!) finishAtMs[served] = endAtMs;
      }
    }
  }
  return readBack(dueAtMs, latenciesMs);
}

/** Walks f back from the most on time; any step that reproduces a value is on a best path. */
function readBack(dueAtMs: readonly number[], latenciesMs: Float64Array): readonly Batch[] {
  const batches: Batch[] = [];
  let decided = dueAtMs.length;
  let onTime = decided;
  while (finishAtMs[decided * ROW + onTime] === Number.POSITIVE_INFINITY) onTime--;
  while (onTime > 0) {
    const endAtMs = finishAtMs[decided * ROW + onTime]!;
    if (finishAtMs[(decided - 1) * ROW + onTime] === endAtMs) {
      decided--;
      continue;
    }
    let size = Math.min(latenciesMs.length - 1, onTime);
    for (; size > 0; size--) {
      const startAtMs = finishAtMs[(decided - size) * ROW + onTime - size]!;
      if (startAtMs + latenciesMs[size]! === endAtMs && endAtMs <= dueAtMs[decided - size]!) break;
    }
    if (size === 0) throw new Error('queue program: a finish instant has no predecessor');
    decided -= size;
    onTime -= size;
    batches.push({ start: decided, size });
  }
  return batches.reverse();
}

/** Everything in EDF order in batches of one size; null where no size meets all. */
function plainBatches({ freeAtMs, dueAtMs }: OverloadProblem, latenciesMs: Float64Array): readonly Batch[] | null {
  for (let size = 1; size < latenciesMs.length; size++) {
    const batches: Batch[] = [];
    let endAtMs = freeAtMs;
    let start = 0;
    for (; start < dueAtMs.length; start += size) {
      const members = Math.min(size, dueAtMs.length - start);
      endAtMs += latenciesMs[members]!;
      if (endAtMs > dueAtMs[start]!) break;
      batches.push({ start, size: members });
    }
    if (start >= dueAtMs.length) return batches;
  }
  return null;
}

/**
 * Requests given up in one step are past saving in the next (the batch outlasts them), so what remains is a suffix; and
 * a size that has too few takers never has enough again: both indices only move one way.
 */
function largestEligibleBatches({ freeAtMs, dueAtMs }: OverloadProblem, latenciesMs: Float64Array): readonly Batch[] {
  const count = dueAtMs.length;
  const batches: Batch[] = [];
  let startAtMs = freeAtMs;
  let next = 0;
  let size = latenciesMs.length - 1;
  while (size > 0 && next < count) {
    const endAtMs = startAtMs + latenciesMs[size]!;
    const first = firstDueFrom(dueAtMs, next, endAtMs);
    if (count - first < size) {
      size--;
      continue;
    }
    batches.push({ start: first, size });
    startAtMs = endAtMs;
    next = first + size;
  }
  return batches;
}

/** Least index ≥ `from` whose deadline is at or after `atMs`; the count when there is none. */
function firstDueFrom(dueAtMs: readonly number[], from: number, atMs: number): number {
  let low = from;
  let high = dueAtMs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (dueAtMs[middle]! >= atMs) high = middle;
    else low = middle + 1;
  }
  return low;
}

function toAnswer(batches: readonly Batch[], count: number): OverloadAnswer {
  const onTime: number[] = [];
  const lost: number[] = [];
  let next = 0;
  for (const { start, size } of batches) {
    while (next < start) lost.push(next++);
    for (const end = start + size; next < end; next++) onTime.push(next);
  }
  while (next < count) lost.push(next++);
  return { onTime, lost, firstBatch: onTime.slice(0, batches[0]?.size ?? 0) };
}
