/*
 * List scheduling of a queue on several instances: each batch on the one that is free first. Where everyone is met it says so; where
 * not, who is met by slots that take the earliest deadlines that they still can.
 *
 * Every instance has the same allocation, and of them count as many as the budget has cores for. Several shape classes: a batch is of the
 * class of the first that waits.
 */
import { firstLateMark } from './behind-window.js';
import { DecisionLatencies, type AllocationLatencies } from './decision-latencies.js';
import type { BatchQuestion } from './pricing.js';

export interface ScheduledQueue extends Pick<
  BatchQuestion,
  'dueAtMs' | 'classIndexes' | 'behind' | 'models' | 'maxBatchSize' | 'rowCounts'
> {
  /** What all instances may have together. */
  readonly budgetMillicores: number;
}

/** What a slot does that would be late for its first with a full batch: it takes a `smaller` one, or passes that one over (`full`). */
export type SlotFilling = 'smaller' | 'full';

/** How slots of one size and allocation were filled, or are so far. */
export interface FilledSlots {
  readonly onTime: number;
  /** Passed over. */
  readonly leftCount: number;
  readonly usedMs: number;
  /** Of the first batch; 0 without one. */
  readonly firstSize: number;
  /** Of the largest batch: with any larger limit than that it would all be the same. */
  readonly mostTaken: number;
  /** A batch was smaller than the limit and those who wait would have it: to pass its first over would not be the same. */
  readonly isCut: boolean;
}

/** What is run side by side on one allocation. */
export interface Slots {
  readonly cpuMillicores: number;
  /** When each is free, ascending. */
  readonly freeAtMs: readonly number[];
  /** Of all together, until the last deadline of the queue. */
  readonly timeMs: number;
}

/** List scheduling of a queue. */
export class ListSchedule {
  readonly #q: ScheduledQueue;
  readonly #latencies: DecisionLatencies;
  readonly #ranks: ClassRanks | null;

  /** @param latencies of the same models and limits, where the decision has looked at some already */
  constructor(question: ScheduledQueue, latencies: DecisionLatencies = new DecisionLatencies(question)) {
    this.#q = question;
    this.#latencies = latencies;
    this.#ranks = question.classIndexes === null ? null : ranksOf(question.classIndexes, question.models.length);
  }

  /** The most requests of a class that may share a batch. */
  limitOf(classIndex: number): number {
    return this.#latencies.limits[classIndex]!;
  }

  /** The batch that does most at an allocation. */
  bestSize(classIndex: number, cpuMillicores: number): number {
    return this.#latencies.on(cpuMillicores)[classIndex]!.bestSize;
  }

  /**
   * The place of the first that would be late, −1 where none would: each batch on the instance that is free first, the largest
   * prefix that meets its head, up to the batch that does most; or, where that fails, up to the largest. Behind the window it is the
   * place of a mark.
   * @param taken so many of the head's class are gone   @param freeAtMs of each instance; so many of them as the cores are for count
   */
  firstLate(taken: number, freeAtMs: readonly number[], cpuMillicores: number): number {
    if (taken >= this.#q.dueAtMs.length) return -1;
    const on = this.#latencies.on(cpuMillicores);
    const { limits } = this.#latencies;
    const free = this.#sideBySide(freeAtMs, cpuMillicores);
    const bestSizes = on.map(({ bestSize }) => bestSize);
    const late = this.#listSchedule(taken, [...free], on, bestSizes);
    const isMet = late === -1 || bestSizes.every((size, index) => size === limits[index]);
    const lateInWindow = isMet ? late : this.#listSchedule(taken, [...free], on, limits);
    return lateInWindow === -1 ? this.#firstLateBehind(taken, free, on) : lateInWindow;
  }

  /** Whether there is time for those behind the window. */
  meetsBehind(freeAtMs: readonly number[], cpuMillicores: number): boolean {
    const free = this.#sideBySide(freeAtMs, cpuMillicores);
    return this.#firstLateBehind(0, free, this.#latencies.on(cpuMillicores)) === -1;
  }

  /** As many side by side as are free, from their mean instant on. */
  #firstLateBehind(taken: number, free: readonly number[], on: readonly AllocationLatencies[]): number {
    const freeAtMs = free.reduce((sum, each) => sum + each, 0) / free.length;
    return firstLateMark(this.#q, taken, freeAtMs, (classIndex) => {
      const latencies = on[classIndex]!;
      return latencies.predictedMs(latencies.bestSize) / (latencies.bestSize * free.length);
    });
  }

  /**
   * Runs the whole queue, whoever is late: each batch on the instance that is free first, the largest prefix that meets its head, up to the
   * batch that does most; one alone where none does.
   * @param onBatch told of each, the instances as they are free after it; the list is the same one each time
   * @returns when each instance is free in the end, of as many as the cores are for
   */
  runAll(
    freeAtMs: readonly number[],
    cpuMillicores: number,
    onBatch: (
      batch: { readonly head: number; readonly size: number; readonly endAtMs: number },
      free: readonly number[],
    ) => void,
  ): readonly number[] {
    const { dueAtMs } = this.#q;
    const on = this.#latencies.on(cpuMillicores);
    const free = this.#sideBySide(freeAtMs, cpuMillicores);
    const walk = new QueueWalk(dueAtMs.length, this.#ranks, 0);
    for (let head = walk.head(); head !== -1; head = walk.head()) {
      const latencies = on[walk.classOf(head)]!;
      const slot = leastOf(free);
      let size = walk.matesOf(head, latencies.bestSize);
      while (size > 1 && free[slot]! + latencies.predictedMs(size) > dueAtMs[head]!) size -= 1;
      free[slot]! += latencies.predictedMs(size);
      onBatch({ head, size, endAtMs: free[slot]! }, free);
      walk.take(head, size);
    }
    return free;
  }

  #listSchedule(
    taken: number,
    free: number[],
    on: readonly AllocationLatencies[],
    sizeLimits: readonly number[],
  ): number {
    const { dueAtMs } = this.#q;
    const walk = new QueueWalk(dueAtMs.length, this.#ranks, taken);
    for (let head = walk.head(); head !== -1; head = walk.head()) {
      const classIndex = walk.classOf(head);
      const latencies = on[classIndex]!;
      const slot = leastOf(free);
      const startAtMs = free[slot]!;
      let size = walk.matesOf(head, sizeLimits[classIndex]!);
      while (size > 0 && startAtMs + latencies.predictedMs(size) > dueAtMs[head]!) size -= 1;
      if (size === 0) return head;
      free[slot] = startAtMs + latencies.predictedMs(size);
      walk.take(head, size);
    }
    return -1;
  }

  /** Slots in order of finish take the earliest that they can still meet. @returns places of those who are passed over */
  leftBy(slots: Slots, batchSize: number, cautionDeviations: number, filling: SlotFilling): readonly number[] {
    const left: number[] = [];
    this.fillSlots(slots, batchSize, cautionDeviations, filling, goesOn, left);
    return left;
  }

  /** Whether batches of up to some size leave nobody. */
  leavesNobody(slots: Slots, sizeLimit: number, cautionDeviations: number): boolean {
    for (let size = sizeLimit; size >= 1;) {
      const { leftCount, mostTaken } = this.fillSlots(slots, size, cautionDeviations, 'smaller', isSomebodyLeft);
      if (leftCount === 0) return true;
      size = Math.min(size, mostTaken) - 1;
    }
    return false;
  }

  /** As many as the budget has cores for. */
  slotsOn(freeAtMs: readonly number[], cpuMillicores: number): Slots {
    const free = this.#sideBySide(freeAtMs, cpuMillicores);
    return { cpuMillicores, freeAtMs: free, timeMs: timeUntil(this.#q.dueAtMs.at(-1)!, free) };
  }

  /**
   * Slots in order of finish take the earliest that they can still meet; whoever is passed over is left.
   * @param isEnough asked whenever somebody is left, with what is returned: whether it need not be gone on with
   * @param left is given the places of those passed over
   */
  fillSlots(
    { cpuMillicores, freeAtMs }: Slots,
    batchSize: number,
    cautionDeviations: number,
    filling: SlotFilling,
    isEnough: (soFar: FilledSlots) => boolean = goesOn,
    left: number[] | null = null,
  ): FilledSlots {
    const { dueAtMs } = this.#q;
    const on = this.#latencies.on(cpuMillicores);
    const cautious = on.map((latencies) => latencies.cautious(cautionDeviations));
    const free = freeAtMs.slice();
    const soFar = { onTime: 0, leftCount: 0, usedMs: 0, firstSize: 0, mostTaken: 0, isCut: false };
    const walk = new QueueWalk(dueAtMs.length, this.#ranks, 0);
    for (let head = walk.head(); head !== -1; head = walk.head()) {
      const classIndex = walk.classOf(head);
      const slot = leastOf(free);
      const most = walk.matesOf(head, Math.min(batchSize, this.limitOf(classIndex)));
      const fitting = cautious[classIndex]!.mostWithin(dueAtMs[head]! - free[slot]!, most);
      const size = filling === 'full' && fitting < most ? 0 : fitting;
      if (size === 0) {
        left?.push(head);
        soFar.leftCount += 1;
        walk.take(head, 1);
        if (isEnough(soFar)) return soFar;
      } else {
        if (size < most) soFar.isCut = true;
        if (size > soFar.mostTaken) soFar.mostTaken = size;
        const typicalMs = on[classIndex]!.predictedMs(size);
        if (soFar.onTime === 0) soFar.firstSize = size;
        free[slot]! += typicalMs;
        soFar.usedMs += typicalMs;
        soFar.onTime += size;
        walk.take(head, size);
      }
    }
    return soFar;
  }

  /** Ascending, of as many as the budget has cores for. */
  #sideBySide(freeAtMs: readonly number[], cpuMillicores: number): number[] {
    const count = Math.max(1, Math.min(freeAtMs.length, Math.floor(this.#q.budgetMillicores / cpuMillicores)));
    const free = freeAtMs.slice();
    // Few, and mostly in order.
    for (let index = 1; index < free.length; index++) {
      const each = free[index]!;
      let place = index;
      for (; place > 0 && free[place - 1]! > each; place--) free[place] = free[place - 1]!;
      free[place] = each;
    }
    return free.length > count ? free.slice(0, count) : free;
  }
}

/** Where each place of a queue of several classes is among those of its class. */
interface ClassRanks {
  readonly classIndexes: readonly number[];
  readonly ranks: Int32Array;
  /** By class index. */
  readonly counts: Int32Array;
}

function ranksOf(classIndexes: readonly number[], classCount: number): ClassRanks {
  const counts = new Int32Array(classCount);
  const ranks = Int32Array.from(classIndexes, (classIndex) => counts[classIndex]!++);
  return { classIndexes, ranks, counts };
}

/**
 * Goes through a queue batch by batch: each takes the first that is left and the next of its class. So of each class the earliest are
 * gone, as many as were taken of it.
 */
class QueueWalk {
  readonly #count: number;
  /** Null where all are of one class. */
  readonly #ranks: ClassRanks | null;
  /** By class index. */
  readonly #taken: Int32Array | null;
  #head = 0;

  constructor(count: number, ranks: ClassRanks | null, taken: number) {
    this.#count = count;
    this.#ranks = ranks;
    this.#taken = ranks === null ? null : new Int32Array(ranks.counts.length);
    if (taken > 0) this.take(0, taken);
  }

  /** −1 when nobody is left. */
  head(): number {
    if (this.#ranks !== null) {
      const { classIndexes, ranks } = this.#ranks;
      while (this.#head < this.#count && ranks[this.#head]! < this.#taken![classIndexes[this.#head]!]!) this.#head += 1;
    }
    return this.#head < this.#count ? this.#head : -1;
  }

  classOf(place: number): number {
    return this.#ranks === null ? 0 : this.#ranks.classIndexes[place]!;
  }

  /** How many of its class are left from here on, at most so many. */
  matesOf(head: number, limit: number): number {
    const left =
      this.#ranks === null ? this.#count - head : this.#ranks.counts[this.classOf(head)]! - this.#ranks.ranks[head]!;
    return Math.min(limit, left);
  }

  /** It, the first that is left of its class, and the next of it. */
  take(head: number, size: number): void {
    if (this.#ranks === null) this.#head = head + size;
    else this.#taken![this.classOf(head)]! += size;
  }
}

function goesOn(): boolean {
  return false;
}

function isSomebodyLeft(): boolean {
  return true;
}

/** Of all slots together; nothing bounds it where there are none. */
function timeUntil(atMs: number, freeAtMs: readonly number[]): number {
  let sumMs = freeAtMs.length === 0 ? Infinity : 0;
  for (const each of freeAtMs) sumMs += Math.max(0, atMs - each);
  return sumMs;
}

function leastOf(values: readonly number[]): number {
  let least = 0;
  for (let index = 1; index < values.length; index++) if (values[index]! < values[least]!) least = index;
  return least;
}
