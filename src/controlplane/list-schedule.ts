/*
 * List scheduling of a queue on several instances: each batch on the one that is free first. Where everyone is met it says so; where
 * not, who is met by slots that take the earliest deadlines that they still can.
 *
 * Every instance has the same allocation, and of them count as many as the budget has cores for. Several shape classes: a batch is of the
 * class of the first that waits.
 */
import { requestsPerBatch } from '../domain/request.js';
import type { BatchQuestion } from './pricing.js';

/** Standard deviations of the logarithm between the typical and the planned latency. */
export const PLANNED_DEVIATIONS = 2.33;

export interface ScheduledQueue extends Pick<
  BatchQuestion,
  'dueAtMs' | 'classIndexes' | 'models' | 'maxBatchSize' | 'rowCounts'
> {
  /** What all instances may have together. */
  readonly budgetMillicores: number;
}

/** List scheduling of a queue. */
export class ListSchedule {
  readonly #q: ScheduledQueue;
  readonly #limits: readonly number[];

  constructor(question: ScheduledQueue) {
    this.#q = question;
    this.#limits = question.models.map((_, classIndex) =>
      requestsPerBatch(question.maxBatchSize, question.rowCounts?.[classIndex]),
    );
  }

  /** The most requests of a class that may share a batch. */
  limitOf(classIndex: number): number {
    return this.#limits[classIndex]!;
  }

  /** The batch that does most at an allocation. */
  bestSize(classIndex: number, cpuMillicores: number): number {
    const model = this.#q.models[classIndex]!;
    let [best, bestRatePerMs] = [1, 0];
    for (let size = 1; size <= this.#limits[classIndex]!; size++) {
      const ratePerMs = size / model.predictedLatencyMs(size, cpuMillicores);
      if (ratePerMs > bestRatePerMs * (1 + 1e-9)) [best, bestRatePerMs] = [size, ratePerMs];
    }
    return best;
  }

  /**
   * The place of the first that would be late, −1 where none would: each batch on the instance that is free first, the largest
   * prefix that meets its head, up to the batch that does most; or, where that fails, up to the largest.
   * @param taken so many of the head's class are gone   @param freeAtMs of each instance; so many of them as the cores are for count
   */
  firstLate(taken: number, freeAtMs: readonly number[], cpuMillicores: number): number {
    if (taken >= this.#q.dueAtMs.length) return -1;
    const sideBySide = Math.max(1, Math.min(freeAtMs.length, Math.floor(this.#q.budgetMillicores / cpuMillicores)));
    const free = [...freeAtMs].sort((a, b) => a - b).slice(0, sideBySide);
    const bestSizes = this.#q.models.map((_, classIndex) => this.bestSize(classIndex, cpuMillicores));
    const late = this.#listSchedule(taken, [...free], cpuMillicores, bestSizes);
    return late === -1 || bestSizes.every((size, index) => size === this.#limits[index])
      ? late
      : this.#listSchedule(taken, free, cpuMillicores, this.#limits);
  }

  #listSchedule(taken: number, free: number[], cpuMillicores: number, sizeLimits: readonly number[]): number {
    const { dueAtMs, models } = this.#q;
    const walk = new QueueWalk(this.#q, taken);
    for (let head = walk.head(); head !== -1; head = walk.head()) {
      const classIndex = walk.classOf(head);
      const model = models[classIndex]!;
      const slot = leastOf(free);
      const startAtMs = free[slot]!;
      const mates = walk.matesOf(head, sizeLimits[classIndex]!);
      let size = mates;
      while (size > 0 && startAtMs + model.predictedLatencyMs(size, cpuMillicores) > dueAtMs[head]!) size -= 1;
      if (size === 0) return head;
      free[slot] = startAtMs + model.predictedLatencyMs(size, cpuMillicores);
      walk.take(head, size);
    }
    return -1;
  }

  /** Slots in order of finish take the earliest that they can still meet; whoever is passed over is left. */
  fillSlots(
    freeAtMs: readonly number[],
    cpuMillicores: number,
    batchSize: number,
    cautionDeviations: number,
  ): {
    readonly onTime: number;
    readonly usedMs: number;
    readonly firstSize: number;
    readonly left: readonly number[];
  } {
    const { dueAtMs, models, budgetMillicores } = this.#q;
    const sideBySide = Math.max(1, Math.min(freeAtMs.length, Math.floor(budgetMillicores / cpuMillicores)));
    const free = [...freeAtMs].sort((a, b) => a - b).slice(0, sideBySide);
    const walk = new QueueWalk(this.#q, 0);
    const left: number[] = [];
    let [onTime, usedMs, firstSize] = [0, 0, 0];
    for (let head = walk.head(); head !== -1; head = walk.head()) {
      const classIndex = walk.classOf(head);
      const model = models[classIndex]!;
      const slot = leastOf(free);
      const size = walk.matesOf(head, Math.min(batchSize, this.#limits[classIndex]!));
      const typicalMs = model.predictedLatencyMs(size, cpuMillicores);
      const plannedMs = model.plannedLatencyMs(size, cpuMillicores);
      const cautiousMs = typicalMs * (plannedMs / typicalMs) ** (cautionDeviations / PLANNED_DEVIATIONS);
      if (free[slot]! + cautiousMs > dueAtMs[head]!) {
        left.push(head);
        walk.take(head, 1);
        continue;
      }
      if (onTime === 0) firstSize = size;
      free[slot]! += typicalMs;
      usedMs += typicalMs;
      onTime += size;
      walk.take(head, size);
    }
    return { onTime, usedMs, firstSize, left };
  }
}

/** Goes through a queue batch by batch: each takes the first that is left and the next of its class. */
class QueueWalk {
  readonly #classIndexes: readonly number[] | null;
  readonly #count: number;
  /** Of several classes: who is gone. */
  readonly #isGone: Uint8Array | null;
  #head = 0;

  constructor({ dueAtMs, classIndexes }: ScheduledQueue, taken: number) {
    this.#classIndexes = classIndexes;
    this.#count = dueAtMs.length;
    this.#isGone = classIndexes === null ? null : new Uint8Array(dueAtMs.length);
    this.take(0, taken);
  }

  /** −1 when nobody is left. */
  head(): number {
    while (this.#head < this.#count && this.#isGone?.[this.#head] === 1) this.#head += 1;
    return this.#head < this.#count ? this.#head : -1;
  }

  classOf(place: number): number {
    return this.#classIndexes?.[place] ?? 0;
  }

  /** How many of its class are left from here on, at most so many. */
  matesOf(head: number, limit: number): number {
    if (this.#isGone === null) return Math.min(limit, this.#count - head);
    let mates = 0;
    for (let place = head; place < this.#count && mates < limit; place++) {
      if (this.#isGone[place] === 0 && this.classOf(place) === this.classOf(head)) mates += 1;
    }
    return mates;
  }

  /** It and the next of its class. */
  take(head: number, size: number): void {
    if (this.#isGone === null) {
      this.#head = head + size;
      return;
    }
    for (let place = head, left = size; left > 0 && place < this.#count; place++) {
      if (this.#isGone[place] === 1 || this.classOf(place) !== this.classOf(head)) continue;
      this.#isGone[place] = 1;
      left -= 1;
    }
  }
}

function leastOf(values: readonly number[]): number {
  let least = 0;
  for (let index = 1; index < values.length; index++) if (values[index]! < values[least]!) least = index;
  return least;
}
