/*
 * A queue by deadline, and the list schedule of it on instances that are all alike: each batch on the instance that is free first. The
 * shorter form of what the scheduler does (`scheduler/controlplane/list-schedule.ts`), on latencies that stand still and one shape
 * class, a hundred times as fast.
 */
import type { LatencyRow } from './pod-machine.js';

export interface Waiting {
  readonly sequence: number;
  readonly dueAtMs: number;
}

export interface ListedBatch {
  /** Place of its first. */
  readonly head: number;
  readonly size: number;
  readonly endAtMs: number;
}

/** Ascending by (deadline, sequence). */
export class ListedQueue<Item extends Waiting> {
  readonly items: Item[] = [];

  get length(): number {
    return this.items.length;
  }

  add(item: Item): void {
    let [low, high] = [0, this.items.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.items[middle]!, item)) low = middle + 1;
      else high = middle;
    }
    this.items.splice(low, 0, item);
  }

  takeFirst(count: number): Item[] {
    return this.items.splice(0, count);
  }

  /** @param places ascending */
  takeAt(places: readonly number[]): Item[] {
    const taken: Item[] = [];
    let [kept, next] = [0, 0];
    for (let place = 0; place < this.items.length; place++) {
      const item = this.items[place]!;
      if (places[next] === place) {
        taken.push(item);
        next += 1;
      } else this.items[kept++] = item;
    }
    this.items.length = kept;
    return taken;
  }

  /**
   * Runs the whole queue, whoever is late: each batch is the largest prefix that meets its head, up to the one that does most; one alone
   * where none does.
   * @param freeAtMs of each instance, ascending; changed to when each is free in the end, in another order
   * @param onBatch told of each; false ends it
   */
  run(row: LatencyRow, freeAtMs: Float64Array, onBatch: (batch: ListedBatch) => boolean): void {
    const { typicalMs, bestSize } = row;
    for (let head = 0; head < this.items.length;) {
      const startAtMs = freeAtMs[0]!;
      const leftMs = this.items[head]!.dueAtMs - startAtMs;
      let size = Math.min(bestSize, this.items.length - head);
      while (size > 1 && typicalMs[size]! > leftMs) size -= 1;
      const endAtMs = startAtMs + typicalMs[size]!;
      replaceLeast(freeAtMs, endAtMs);
      if (!onBatch({ head, size, endAtMs })) return;
      head += size;
    }
  }

  /** Whether the list schedule meets everyone. */
  isMet(row: LatencyRow, freeAtMs: Float64Array): boolean {
    let isMet = true;
    this.run(row, Float64Array.from(freeAtMs), ({ head, endAtMs }) => {
      isMet = endAtMs <= this.items[head]!.dueAtMs;
      return isMet;
    });
    return isMet;
  }

  /**
   * Whom to give up so that the others are met: slots of one size, each with the earliest that it can still meet; of all sizes the one
   * that leaves the fewest, then the one that is done soonest.
   * @returns places, ascending
   */
  leftOver(row: LatencyRow, freeAtMs: Float64Array): readonly number[] {
    let best: readonly number[] = [];
    let bestCost = Infinity;
    for (let limit = row.typicalMs.length - 1; limit >= 1; limit--) {
      const free = Float64Array.from(freeAtMs);
      const { left, usedMs, mostTaken } = this.#fill(row, free, limit);
      const cost = left.length + usedMs * 1e-9;
      if (cost < bestCost) [best, bestCost] = [left, cost];
      if (mostTaken < limit) limit = Math.max(1, mostTaken);
    }
    return best;
  }

  #fill(
    { typicalMs }: LatencyRow,
    free: Float64Array,
    limit: number,
  ): { readonly left: readonly number[]; readonly usedMs: number; readonly mostTaken: number } {
    const left: number[] = [];
    let [usedMs, mostTaken] = [0, 0];
    for (let head = 0; head < this.items.length;) {
      const leftMs = this.items[head]!.dueAtMs - free[0]!;
      let size = Math.min(limit, this.items.length - head);
      while (size > 0 && typicalMs[size]! > leftMs) size -= 1;
      if (size === 0) {
        left.push(head);
        head += 1;
        continue;
      }
      replaceLeast(free, free[0]! + typicalMs[size]!);
      usedMs += typicalMs[size]!;
      mostTaken = Math.max(mostTaken, size);
      head += size;
    }
    return { left, usedMs, mostTaken };
  }
}

function isBefore(a: Waiting, b: Waiting): boolean {
  return a.dueAtMs < b.dueAtMs || (a.dueAtMs === b.dueAtMs && a.sequence < b.sequence);
}

/** Of a heap whose first is the least, which what is ascending is too: O(log n) of as many instances as there are pods. */
function replaceLeast(heap: Float64Array, value: number): void {
  let place = 0;
  for (let child = 1; child < heap.length; child = 2 * place + 1) {
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child += 1;
    if (heap[child]! >= value) break;
    heap[place] = heap[child]!;
    place = child;
  }
  heap[place] = value;
}
