import { slopeFrom, type PowerCurve } from '../../scheduler/perf-model/power-curve.js';

/*
 * The least core-seconds at which work can be done within its windows, if it could be divided and interrupted at will: a
 * lower bound for every policy that answers these requests in time, on the same latencies.
 *
 * A batch that ends in time lies inside the window of each member, and at every instant the cores held are at least
 * P̂(rate of work) (power-curve.ts). So the bound is the least ∫ P̂(rate(t)) dt over all fluid schedules. One schedule is
 * best for every convex P̂ at once (Yao, Demers & Shenker, "A scheduling model for reduced CPU energy", 1995), and nothing
 * but its amounts of work above each rate is needed. For P̂ with vertices r₀ = 0 < r₁ < … and slopes s₀ < s₁ < … after them
 *
 *     ∫ P̂(rate) dt = P̂(0)·T + s₀·W + Σ_{k ≥ 1} (s_k − s_{k−1}) · (W − F(r_k))
 *
 * where W is all work and F(r) the most that a machine of rate r can do within the windows. Fluid EDF that gives up
 * work at its deadline does that most, whatever the windows: of two pieces that can be done now, any later instant that
 * could do the one due earlier could do the other too. Nothing is discretised.
 *
 * What is left undone is summed, not W − F, so nothing cancels. A remainder of less than a nanosecond's work is rounding
 * and counts as done, which can only lower the bound.
 */

/** Columns, one entry a request, in any order. */
export interface WindowedWork {
  /** From when it can be worked on: fully received. Finite. */
  readonly releaseAtMs: Float64Array;
  /** Until when it has to be done. At or before its release: cannot be done. */
  readonly dueAtMs: Float64Array;
  /** Requests × service-time multiplier, > 0: a request of a batch that took m times its table latency is work m. */
  readonly work: Float64Array;
}

export type FluidBound =
  | { readonly kind: 'feasible'; readonly coreSeconds: number }
  /**
   * Not even the top rate does all; `unmetWork` is unavoidable, in requests × multiplier. `coreSeconds` is the least at which
   * all the rest is done.
   */
  | {
      readonly kind: 'infeasible';
      readonly unmetWork: number;
      readonly coreSeconds: number;
      readonly reason: string;
    };

/**
 * Doubles of ms are 5e-10 apart after an hour; a nanosecond is far above that and below what any clock resolves. Long busy
 * periods do not add such errors up, because each addition to the clock carries what it lost over to the next (Kahan).
 */
const ROUNDING_MS = 1e-6;

/**
 * Exact for any windows. One pass over the requests a vertex of the curve, each O(n log n), but only over busy periods in
 * which the rate before left something undone; none once all is done.
 *
 * @param durationMs T, how long the idle cores are held. A shorter one than the windows' span keeps this a bound on what
 *   is spent within T, provided that all is done by then.
 */
export function fluidBound(curve: PowerCurve, work: WindowedWork, durationMs: number): FluidBound {
  if (!(durationMs >= 0)) throw new RangeError(`duration must be ≥ 0 ms, got ${durationMs}`);
  const machine = new FluidEdf(work);
  const last = curve.ratesPerMs.length - 1;
  let coreMs = curve.idleCores * durationMs;
  let slope = 0;
  // W − F(0) = W: the first vertex adds s₀·W.
  let unmetWork = machine.totalWork;
  for (let vertex = 0; unmetWork > 0; vertex++) {
    const ratePerMs = curve.ratesPerMs[vertex]!;
    if (vertex > 0) unmetWork = machine.unmetWork(ratePerMs);
    if (vertex === last) {
      if (unmetWork === 0) return feasible(coreMs);
      // What is never done was counted at the slope of every vertex before this one: that is the last slope in all.
      const doneCoreMs = coreMs - slope * unmetWork;
      return { ...infeasible(unmetWork, machine.totalWork, ratePerMs), coreSeconds: doneCoreMs / 1000 };
    }
    const slopeBefore = slope;
    slope = slopeFrom(curve, vertex);
    coreMs += (slope - slopeBefore) * unmetWork;
  }
  return feasible(coreMs);
}

function feasible(coreMs: number): FluidBound {
  return { kind: 'feasible', coreSeconds: coreMs / 1000 };
}

function infeasible(
  unmetWork: number,
  totalWork: number,
  ratePerMs: number,
): Omit<Extract<FluidBound, { kind: 'infeasible' }>, 'coreSeconds'> {
  const short = (value: number): number => Number(value.toPrecision(4));
  const reason =
    `${short(unmetWork)} of ${short(totalWork)} requests' work cannot be done by the deadlines ` +
    `even at ${short(ratePerMs * 1000)} a second`;
  return { kind: 'infeasible', unmetWork, reason };
}

/**
 * F(r): the most work that a machine of one rate does within the windows, requests × multiplier. It bounds what any
 * policy of that top rate has answered in time. O(n log n).
 */
export function fluidEdfWork(ratePerMs: number, work: WindowedWork): number {
  const machine = new FluidEdf(work);
  return machine.totalWork - machine.unmetWork(ratePerMs);
}

/**
 * An upper bound on how many requests any policy can answer in time at a top rate: the lesser of two relaxations, with
 * preemption and fluid batches in both.
 *
 * - Every request as short as the shortest: exact if all work is equal (`equalJobsOnTime`).
 * - The shortest requests first, as many as F(r) has room for. Better where multipliers differ and much has to be lost.
 *
 * O(n log n).
 */
export function unitJobsOnTime(ratePerMs: number, work: WindowedWork): number {
  if (!(ratePerMs > 0)) return 0;
  const ascendingWork = Float64Array.from(work.work).sort();
  const shortest = ascendingWork[0];
  if (shortest === undefined) return 0;

  const machine = new FluidEdf(work);
  const roomFor = machine.totalWork * (1 + 1e-12) - machine.unmetWork(ratePerMs);
  let fitting = 0;
  for (let sum = ascendingWork[0]!; sum <= roomFor && fitting < ascendingWork.length; sum += ascendingWork[fitting]!) {
    fitting++;
  }
  return Math.min(fitting, equalJobsOnTime(sortWindows(work), shortest / ratePerMs));
}

/** The windows in both orders that EDF needs: arrays by release, and arrays by rank in (deadline, release, index). */
interface SortedWindows {
  readonly releaseAtMs: Float64Array;
  readonly rank: Int32Array;
  readonly dueAtMsByRank: Float64Array;
  readonly workByRank: Float64Array;
  readonly totalWork: number;
}

function sortWindows({ releaseAtMs, dueAtMs, work }: WindowedWork): SortedWindows {
  const count = work.length;
  if (releaseAtMs.length !== count || dueAtMs.length !== count) {
    throw new RangeError(`columns differ: ${releaseAtMs.length} releases, ${dueAtMs.length} deadlines, ${count} works`);
  }
  let totalWork = 0;
  for (let index = 0; index < count; index++) {
    const [release, due, amount] = [releaseAtMs[index]!, dueAtMs[index]!, work[index]!];
    if (!Number.isFinite(release) || Number.isNaN(due) || !(amount > 0 && Number.isFinite(amount))) {
      throw new RangeError(`request ${index}: work ${amount} from ${release} to ${due} ms`);
    }
    totalWork += amount;
  }
  const byRelease = Int32Array.from(work, (_, index) => index);
  byRelease.sort((a, b) => releaseAtMs[a]! - releaseAtMs[b]! || a - b);
  // Positions in release order, so that ties in the deadline go to the earlier release. Infinity − Infinity is NaN.
  const byDue = Int32Array.from(work, (_, position) => position);
  byDue.sort((a, b) => {
    const [dueA, dueB] = [dueAtMs[byRelease[a]!]!, dueAtMs[byRelease[b]!]!];
    return dueA === dueB ? a - b : dueA - dueB;
  });
  const rank = new Int32Array(count);
  byDue.forEach((position, at) => (rank[position] = at));
  return {
    releaseAtMs: Float64Array.from(byRelease, (index) => releaseAtMs[index]!),
    rank,
    dueAtMsByRank: Float64Array.from(byDue, (position) => dueAtMs[byRelease[position]!]!),
    workByRank: Float64Array.from(byDue, (position) => work[byRelease[position]!]!),
    totalWork,
  };
}

/**
 * Fluid EDF that gives up work at its deadline, at one rate after the other, ascending.
 *
 * A busy period in which everything was done is left out of later passes. That is exact. The instants at which EDF is
 * busy at a higher rate are among those at a lower one (add the requests in order of deadline: each runs in what its
 * forerunners leave idle, of which there is no less, and needs no more of it), so the requests of a busy period never meet
 * those of another again; and what a rate does in time, a higher one does.
 */
class FluidEdf {
  readonly totalWork: number;
  readonly #dueAtMsByRank: Float64Array;
  readonly #workByRank: Float64Array;
  /** By release; only the first `#count` are still of interest. */
  readonly #releaseAtMs: Float64Array;
  readonly #rank: Int32Array;
  #count: number;
  /** The first request, by release, after the busy period that was run last. */
  #next = 0;
  #lastRatePerMs = 0;
  /** Released and undone, a binary heap of ranks, and what is left of each. */
  readonly #heap: Int32Array;
  #heapSize = 0;
  readonly #leftByRank: Float64Array;

  constructor(work: WindowedWork) {
    const sorted = sortWindows(work);
    this.totalWork = sorted.totalWork;
    this.#dueAtMsByRank = sorted.dueAtMsByRank;
    this.#workByRank = sorted.workByRank;
    this.#releaseAtMs = sorted.releaseAtMs;
    this.#rank = sorted.rank;
    this.#count = work.work.length;
    this.#heap = new Int32Array(this.#count);
    this.#leftByRank = new Float64Array(this.#count);
  }

  /** W − F(r) ≥ 0. @param ratePerMs not below that of the call before */
  unmetWork(ratePerMs: number): number {
    if (!(ratePerMs >= this.#lastRatePerMs)) {
      throw new RangeError(`rates must ascend, got ${ratePerMs} after ${this.#lastRatePerMs} per ms`);
    }
    this.#lastRatePerMs = ratePerMs;
    if (ratePerMs === 0) return this.totalWork;
    let total = 0;
    let kept = 0;
    for (let first = 0; first < this.#count; first = this.#next) {
      const unmet = this.#runBusyPeriod(first, ratePerMs);
      if (unmet === 0) continue;
      total += unmet;
      this.#releaseAtMs.copyWithin(kept, first, this.#next);
      this.#rank.copyWithin(kept, first, this.#next);
      kept += this.#next - first;
    }
    this.#count = kept;
    return total;
  }

  /** From the release of request `first` until nothing is pending; gives what was not done. */
  #runBusyPeriod(first: number, ratePerMs: number): number {
    const releaseAtMs = this.#releaseAtMs;
    const count = this.#count;
    const rounding = ratePerMs * ROUNDING_MS;
    let unmet = 0;
    let next = first;
    let nowMs = releaseAtMs[first]!;
    let carriedMs = 0;
    do {
      while (next < count && releaseAtMs[next]! <= nowMs) this.#push(this.#rank[next++]!);
      const head = this.#heap[0]!;
      const left = this.#leftByRank[head]!;
      const dueAtMs = this.#dueAtMsByRank[head]!;
      const arrivalAtMs = next < count ? releaseAtMs[next]! : Number.POSITIVE_INFINITY;
      const tookMs = left / ratePerMs + carriedMs;
      const endAtMs = nowMs + tookMs;
      if (endAtMs <= dueAtMs && endAtMs <= arrivalAtMs) {
        this.#pop();
        carriedMs = tookMs - (endAtMs - nowMs);
        nowMs = endAtMs;
        continue;
      }
      const untilAtMs = Math.max(nowMs, Math.min(dueAtMs, arrivalAtMs));
      const undone = left - ratePerMs * (untilAtMs - nowMs - carriedMs);
      carriedMs = 0;
      nowMs = untilAtMs;
      if (dueAtMs <= arrivalAtMs) {
        this.#pop();
        if (undone > rounding) unmet += undone;
      } else {
        this.#leftByRank[head] = undone;
      }
    } while (this.#heapSize > 0 || (next < count && releaseAtMs[next]! <= nowMs));
    this.#next = next;
    return unmet;
  }

  #push(rank: number): void {
    this.#leftByRank[rank] = this.#workByRank[rank]!;
    const heap = this.#heap;
    let at = this.#heapSize++;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (heap[parent]! < rank) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = rank;
  }

  #pop(): void {
    const heap = this.#heap;
    const size = --this.#heapSize;
    const moved = heap[size]!;
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! > moved) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = moved;
  }
}

/**
 * The most jobs of one length that a machine with preemption can end in time: each is taken at its release if it fits with
 * all that were taken before, else never.
 *
 * No other choice has more. Jobs fit together if and only if no interval holds more work, in windows inside it, than its
 * length. Say k does not fit: some [a, b] holds too much, of jobs A, k among them. Take a choice that has k; of those before
 * it only ones that were taken, by induction; and of those after it m that are due by b. It lacks at least m + 1 of A. Let
 * it have m + 1 of those in place of k and of the m. Then intervals that end by b hold only jobs that were taken, and those
 * fit. Of the intervals that end later, those that begin after the release of k gain nothing, all of A being released by
 * then; the others gain m + 1 at most, and lose as many.
 */
function equalJobsOnTime({ releaseAtMs, rank, dueAtMsByRank }: SortedWindows, lengthMs: number): number {
  const pending = new PendingJobs(dueAtMsByRank);
  let taken = 0;
  let nowMs = Number.NEGATIVE_INFINITY;
  let carriedMs = 0;
  for (let position = 0; position < rank.length; position++) {
    const arrivalAtMs = releaseAtMs[position]!;
    while (nowMs < arrivalAtMs && pending.totalMs > 0) {
      const head = pending.first();
      const tookMs = pending.leftMs(head) + carriedMs;
      const endAtMs = nowMs + tookMs;
      if (endAtMs > arrivalAtMs) {
        pending.set(head, Math.max(0, tookMs - (arrivalAtMs - nowMs)));
        break;
      }
      pending.set(head, 0);
      carriedMs = tookMs - (endAtMs - nowMs);
      nowMs = endAtMs;
    }
    // What a job that ended just now carries over is kept: the next one may begin at this very instant.
    if (nowMs !== arrivalAtMs) carriedMs = 0;
    nowMs = arrivalAtMs;
    pending.set(rank[position]!, lengthMs);
    if (pending.latestStartAtMs >= nowMs - ROUNDING_MS) taken++;
    else pending.set(rank[position]!, 0);
  }
  return taken;
}

/**
 * What is left of each pending job, in a tree over all jobs by deadline. For a part of the jobs a node holds what is left
 * of it and the latest instant from which EDF, uninterrupted, ends all of it in time. Every operation is O(log n).
 */
class PendingJobs {
  readonly #dueAtMs: Float64Array;
  /** Leaves from `#leaves` on; node i has the children 2i and 2i + 1, the root is 1. */
  readonly #leaves: number;
  readonly #leftMs: Float64Array;
  readonly #latestStartAtMs: Float64Array;

  constructor(dueAtMsByRank: Float64Array) {
    this.#dueAtMs = dueAtMsByRank;
    this.#leaves = 2 ** Math.ceil(Math.log2(Math.max(2, dueAtMsByRank.length)));
    this.#leftMs = new Float64Array(2 * this.#leaves);
    this.#latestStartAtMs = new Float64Array(2 * this.#leaves).fill(Number.POSITIVE_INFINITY);
  }

  get totalMs(): number {
    return this.#leftMs[1]!;
  }

  get latestStartAtMs(): number {
    return this.#latestStartAtMs[1]!;
  }

  leftMs(rank: number): number {
    return this.#leftMs[this.#leaves + rank]!;
  }

  /** The rank of the pending job that is due first; there must be one. */
  first(): number {
    let node = 1;
    while (node < this.#leaves) node = this.#leftMs[2 * node]! > 0 ? 2 * node : 2 * node + 1;
    return node - this.#leaves;
  }

  /** 0 takes the job out. */
  set(rank: number, leftMs: number): void {
    const sums = this.#leftMs;
    const latest = this.#latestStartAtMs;
    let node = this.#leaves + rank;
    sums[node] = leftMs;
    latest[node] = leftMs > 0 ? this.#dueAtMs[rank]! - leftMs : Number.POSITIVE_INFINITY;
    for (node >>>= 1; node > 0; node >>>= 1) {
      const [left, right] = [2 * node, 2 * node + 1];
      sums[node] = sums[left]! + sums[right]!;
      latest[node] = Math.min(latest[left]!, latest[right]! - sums[left]!);
    }
  }
}
