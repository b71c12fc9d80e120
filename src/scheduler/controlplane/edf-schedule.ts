/*
 * The schedule that a plan (c, b) stands for: the worker takes the earliest-due request and the next of its class, b in
 * all at most, until the queue is empty. Made once per decision, then replayed at many (c, b).
 *
 * Two facts make a replay cheap. The earliest-due member is the head, so only the head's deadline binds a batch. And a
 * batch always takes the earliest requests that its class has left, so the k-th request of a class is a head exactly
 * when k is a multiple of b, whatever other classes do: no skipping is simulated. Only heads are looked at, so nothing is
 * copied beforehand: most schedules are replayed once, to find that the plan in force still holds.
 */
import type { QueuedWork } from '../domain/queue-snapshot.js';
import { requestsPerBatch } from '../domain/request.js';
import { firstLateMark } from './behind-window.js';
import type { PlanningProblem } from './program.js';

/** How long before its deadline each request is to be finished, where that is possible: so long, and this share of the time it has left. */
export interface Margin {
  readonly ms: number;
  readonly fraction: number;
}

export const NO_MARGIN: Margin = { ms: 0, fraction: 0 };

/** The deadline, less the margin. */
export function finishByMs({ dueAtMs }: Pick<QueuedWork, 'dueAtMs'>, nowMs: number, margin: Margin): number {
  return dueAtMs - margin.ms - margin.fraction * Math.max(0, dueAtMs - nowMs);
}

export class EdfSchedule {
  readonly #problem: PlanningProblem;
  readonly #margin: Margin;
  /** Requests by class index; null when all are of one class. */
  readonly #classSizes: readonly number[] | null;

  constructor(problem: PlanningProblem, margin: Margin) {
    this.#problem = problem;
    this.#margin = margin;
    this.#classSizes = problem.models.length === 1 ? null : classSizes(problem);
  }

  /**
   * Position of the first request that would finish too late, −1 when none would. Lateness does not increase with
   * `cpuMillicores`; it is not monotone in `batchSize`. Behind the window, that of the first mark.
   */
  firstLate(cpuMillicores: number, batchSize: number): number {
    const late =
      this.#classSizes === null
        ? this.#firstLateOfOneClass(cpuMillicores, batchSize)
        : this.#firstLateOfMany(this.#classSizes, cpuMillicores, batchSize);
    return late === -1 ? this.#firstLateBehind(cpuMillicores, batchSize) : late;
  }

  #firstLateBehind(cpuMillicores: number, asked: number): number {
    const { queue, behind = [], models, nowMs } = this.#problem;
    if (behind.length === 0 || queue.length === 0) return -1;
    const mix = {
      classIndexes: queue.map(({ classIndex }) => classIndex),
      behind: behind.map((mark) => ({ place: mark.place, dueAtMs: finishByMs(mark, nowMs, this.#margin) })),
    };
    return firstLateMark(mix, 0, this.#freeAtMs(cpuMillicores), (classIndex) => {
      const size = this.#sizeOf(classIndex, asked);
      return models[classIndex]!.plannedLatencyMs(size, cpuMillicores) / size;
    });
  }

  /** Batches are consecutive: O(n / b), two latencies. */
  #firstLateOfOneClass(cpuMillicores: number, asked: number): number {
    const { queue, models } = this.#problem;
    const count = queue.length;
    if (count === 0) return -1;
    const { classIndex } = queue[0]!;
    const model = models[classIndex]!;
    const batchSize = this.#sizeOf(classIndex, asked);
    let finishAtMs = this.#freeAtMs(cpuMillicores);
    let head = 0;
    if (count >= batchSize) {
      const fullLatencyMs = model.plannedLatencyMs(batchSize, cpuMillicores);
      for (; head + batchSize <= count; head += batchSize) {
        finishAtMs += fullLatencyMs;
        if (this.#isTooLate(queue[head]!, finishAtMs)) return head;
      }
    }
    if (head === count) return -1;
    finishAtMs += model.plannedLatencyMs(count - head, cpuMillicores);
    return this.#isTooLate(queue[head]!, finishAtMs) ? head : -1;
  }

  /** O(n), at most two latencies a class. */
  #firstLateOfMany(classSizes: readonly number[], cpuMillicores: number, asked: number): number {
    const { queue, models } = this.#problem;
    const left = [...classSizes];
    const fullLatencyMs = classSizes.map(() => Number.NaN);
    const sizes = classSizes.map((_, classIndex) => this.#sizeOf(classIndex, asked));
    let finishAtMs = this.#freeAtMs(cpuMillicores);
    for (let index = 0; index < queue.length; index++) {
      const { classIndex } = queue[index]!;
      const batchSize = sizes[classIndex]!;
      const remaining = left[classIndex]!--;
      const rank = classSizes[classIndex]! - remaining;
      if (rank % batchSize !== 0) continue;
      let latencyMs = remaining < batchSize ? Number.NaN : fullLatencyMs[classIndex]!;
      if (Number.isNaN(latencyMs)) {
        latencyMs = models[classIndex]!.plannedLatencyMs(Math.min(remaining, batchSize), cpuMillicores);
        if (remaining >= batchSize) fullLatencyMs[classIndex] = latencyMs;
      }
      finishAtMs += latencyMs;
      if (this.#isTooLate(queue[index]!, finishAtMs)) return index;
    }
    return -1;
  }

  /** Requests of a class that share a batch where b are asked for: no more than their rows allow. */
  #sizeOf(classIndex: number, asked: number): number {
    const { maxBatchSize, rowCounts } = this.#problem;
    return Math.min(asked, requestsPerBatch(maxBatchSize, rowCounts?.[classIndex]));
  }

  /** When the worker can start the first batch. */
  #freeAtMs(cpuMillicores: number): number {
    return this.#problem.nowMs + this.#problem.inFlightRemainingMs(cpuMillicores);
  }

  #isTooLate(work: QueuedWork, finishAtMs: number): boolean {
    return finishAtMs > finishByMs(work, this.#problem.nowMs, this.#margin);
  }
}

/** Null when all are of one class. */
function classSizes({ queue, models }: PlanningProblem): readonly number[] | null {
  const sizes = models.map(() => 0);
  for (const { classIndex } of queue) sizes[classIndex]! += 1;
  return sizes.some((size) => size > 0 && size < queue.length) ? sizes : null;
}
