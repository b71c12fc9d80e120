/*
 * The schedule that a plan (c, b) stands for: the worker takes the earliest-due request and the next of its class, b in
 * all at most, until the queue is empty. Made once per decision, then replayed at many (c, b).
 *
 * Two facts make a replay cheap. The earliest-due member is the head, so only the head's deadline binds a batch. And a
 * batch always takes the earliest requests that its class has left, so the k-th request of a class is a head exactly
 * when k is a multiple of b, whatever other classes do: no skipping is simulated.
 */
import type { LatencyModel } from '../domain/latency.js';
import type { QueuedWork } from '../domain/queue-snapshot.js';

export class EdfSchedule {
  readonly #models: readonly LatencyModel[];
  readonly #dueAtMs: Float64Array;
  /** Null when all are of one class. */
  readonly #classes: ClassColumns | null;

  /**
   * @param queue in EDF order
   * @param models by class index; non-increasing in the allocation
   */
  constructor(queue: readonly QueuedWork[], models: readonly LatencyModel[]) {
    const headClass = queue[0]?.classIndex ?? 0;
    let isOneClass = true;
    this.#dueAtMs = new Float64Array(queue.length);
    for (let index = 0; index < queue.length; index++) {
      const { dueAtMs, classIndex } = queue[index]!;
      this.#dueAtMs[index] = dueAtMs;
      if (classIndex !== headClass) isOneClass = false;
    }
    this.#models = isOneClass ? models.slice(headClass, headClass + 1) : models;
    this.#classes = isOneClass ? null : classColumns(queue, models.length);
  }

  /**
   * Position of the first request that would finish after its deadline, −1 when none would. Non-decreasing lateness in
   * `freeAtMs`, non-increasing in `cpuMillicores`; not monotone in `batchSize`.
   * @param freeAtMs when the worker can start the first batch
   */
  firstLate(freeAtMs: number, cpuMillicores: number, batchSize: number): number {
    return this.#classes === null
      ? this.#firstLateOfOneClass(freeAtMs, cpuMillicores, batchSize)
      : this.#firstLateOfMany(this.#classes, freeAtMs, cpuMillicores, batchSize);
  }

  /** Batches are consecutive: O(n / b), two latencies. */
  #firstLateOfOneClass(freeAtMs: number, cpuMillicores: number, batchSize: number): number {
    const count = this.#dueAtMs.length;
    if (count === 0) return -1;
    const model = this.#models[0]!;
    let finishAtMs = freeAtMs;
    let head = 0;
    if (count >= batchSize) {
      const fullLatencyMs = model.plannedLatencyMs(batchSize, cpuMillicores);
      for (; head + batchSize <= count; head += batchSize) {
        finishAtMs += fullLatencyMs;
        if (finishAtMs > this.#dueAtMs[head]!) return head;
      }
    }
    if (head === count) return -1;
    finishAtMs += model.plannedLatencyMs(count - head, cpuMillicores);
    return finishAtMs > this.#dueAtMs[head]! ? head : -1;
  }

  /** O(n), at most two latencies a class. */
  #firstLateOfMany(classes: ClassColumns, freeAtMs: number, cpuMillicores: number, batchSize: number): number {
    const { classOf, rankInClass, classSizes } = classes;
    const fullLatencyMs = new Float64Array(this.#models.length).fill(Number.NaN);
    let finishAtMs = freeAtMs;
    for (let index = 0; index < this.#dueAtMs.length; index++) {
      const rank = rankInClass[index]!;
      if (rank % batchSize !== 0) continue;
      const classIndex = classOf[index]!;
      const remaining = classSizes[classIndex]! - rank;
      let latencyMs = remaining < batchSize ? Number.NaN : fullLatencyMs[classIndex]!;
      if (Number.isNaN(latencyMs)) {
        latencyMs = this.#models[classIndex]!.plannedLatencyMs(Math.min(remaining, batchSize), cpuMillicores);
        if (remaining >= batchSize) fullLatencyMs[classIndex] = latencyMs;
      }
      finishAtMs += latencyMs;
      if (finishAtMs > this.#dueAtMs[index]!) return index;
    }
    return -1;
  }
}

/** One entry a request, in EDF order; `classSizes` one a class. */
interface ClassColumns {
  readonly classOf: Int32Array;
  /** Requests of the same class before it. */
  readonly rankInClass: Int32Array;
  readonly classSizes: Int32Array;
}

function classColumns(queue: readonly QueuedWork[], classCount: number): ClassColumns {
  const classOf = new Int32Array(queue.length);
  const rankInClass = new Int32Array(queue.length);
  const classSizes = new Int32Array(classCount);
  for (let index = 0; index < queue.length; index++) {
    const { classIndex } = queue[index]!;
    classOf[index] = classIndex;
    rankInClass[index] = classSizes[classIndex]!++;
  }
  return { classOf, rankInClass, classSizes };
}
