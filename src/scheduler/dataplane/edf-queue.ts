/*
 * The queue: earliest deadline first. Second stage of the data plane, between admission and batcher.
 *
 * Order is total: (dueAtMs, priority, sequence). Priority has Triton's meaning, a lower number goes first; numbers are
 * compared as given, so what an absent priority means is decided before a request gets here.
 *
 * A sorted list, cut into blocks: a member is found by bisection, among blocks and then inside one, and to insert or
 * remove it moves at most a block. So the first k in order, which each batch and each plan asks for, are copies of what stands
 * there already; mostly the queue is one block. Rejected: a binary heap with a map from
 * member to place, which has to find the order anew at every look (a quarter of a simulated run; with 100 000 queued a push
 * and a pop take about the same), and one sorted array, where inserting among 100 000 moves half of them
 * (`bench/queue.bench.ts`).
 *
 * Invariants: blocks, one after another, are in order; none is empty, or it is the only one.
 */

/** What the queue needs to know of its members; none of it may change while they are queued. */
export interface Queueable {
  readonly dueAtMs: number;
  readonly priority: number;
  /** Unique. */
  readonly sequence: number;
  readonly byteCount: number;
}

/** A full block is halved. Between 32 and 128 it makes little difference. */
const BLOCK_LIMIT = 64;

/** Negative when `a` is served before `b`; 0 only for one and the same member. */
export function compareByDeadline(a: Queueable, b: Queueable): number {
  if (a.dueAtMs !== b.dueAtMs) return a.dueAtMs < b.dueAtMs ? -1 : 1;
  return a.priority - b.priority || a.sequence - b.sequence;
}

export class EdfQueue<T extends Queueable> {
  private readonly blocks: T[][] = [[]];
  private count = 0;
  private byteTotal = 0;

  get size(): number {
    return this.count;
  }

  /** Sum of the members' `byteCount`. */
  get totalBytes(): number {
    return this.byteTotal;
  }

  /** A member that is queued already, or a deadline that is not a number, is a broken invariant. */
  push(item: T): void {
    if (Number.isNaN(item.dueAtMs)) throw new RangeError(`request ${item.sequence} has no deadline`);
    const blockIndex = this.blockIndexOf(item);
    const block = this.blocks[blockIndex]!;
    const place = placeOf(item, block);
    if (block[place]?.sequence === item.sequence) throw new Error(`request ${item.sequence} is queued already`);
    insertAt(block, place, item);
    if (block.length === BLOCK_LIMIT) this.blocks.splice(blockIndex + 1, 0, block.splice(BLOCK_LIMIT >> 1));
    this.count += 1;
    this.byteTotal += item.byteCount;
  }

  /** The earliest deadline; O(1). */
  peek(): T | undefined {
    return this.blocks[0]![0];
  }

  pop(): T | undefined {
    const head = this.peek();
    if (head !== undefined) this.takeOut(0, 0);
    return head;
  }

  /** False where it is not queued: it left, or runs already. */
  remove(item: T): boolean {
    const blockIndex = this.blockIndexOf(item);
    const block = this.blocks[blockIndex]!;
    const place = placeOf(item, block);
    if (block[place]?.sequence !== item.sequence) return false;
    this.takeOut(blockIndex, place);
    return true;
  }

  /** The first k ≥ 0 in order, or all where there are fewer; O(k) whatever is queued behind them. */
  firstInOrder(count: number): T[] {
    const first = this.blocks[0]!.slice(0, count);
    for (let index = 1; index < this.blocks.length && first.length < count; index++) {
      first.push(...this.blocks[index]!.slice(0, count - first.length));
    }
    return first;
  }

  /**
   * Members from a place on, with their places: each at most a fraction of its place behind the one before, and the last of all.
   * Looks at each block's length: 2 µs with 100 000 queued.
   */
  marksFrom(first: number, fraction: number): { readonly place: number; readonly item: T }[] {
    const marks: { readonly place: number; readonly item: T }[] = [];
    const last = this.count - 1;
    if (last < first) return marks;
    let place = first;
    let before = 0;
    for (const block of this.blocks) {
      while (place < before + block.length) {
        marks.push({ place, item: block[place - before]! });
        if (place >= last) return marks;
        place = Math.min(last, place + Math.max(1, Math.floor(place * fraction)));
      }
      before += block.length;
    }
    return marks;
  }

  /** Those at the places from `first` up to, and without, `end`. */
  between(first: number, end: number): T[] {
    const found: T[] = [];
    let before = 0;
    for (const block of this.blocks) {
      if (before >= end) break;
      if (before + block.length > first) found.push(...block.slice(Math.max(0, first - before), end - before));
      before += block.length;
    }
    return found;
  }

  /** Everything, in order, as an array of its own; O(n). */
  toSortedArray(): T[] {
    return this.firstInOrder(this.count);
  }

  /** The last block that begins before the item: if the item is anywhere, then there. */
  private blockIndexOf(item: T): number {
    let low = 0;
    let high = this.blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (compareByDeadline(this.blocks[middle]![0]!, item) <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private takeOut(blockIndex: number, place: number): void {
    const block = this.blocks[blockIndex]!;
    this.count -= 1;
    this.byteTotal -= block[place]!.byteCount;
    removeAt(block, place);
    if (block.length === 0 && this.blocks.length > 1) this.blocks.splice(blockIndex, 1);
  }
}

/** Index of the first member that is not before the item. */
function placeOf(item: Queueable, block: readonly Queueable[]): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareByDeadline(block[middle]!, item) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Plain loops: with `splice`, which makes an array of what it took out, a simulated run was a seventh slower.

function insertAt<T>(block: T[], place: number, item: T): void {
  block.push(item);
  for (let index = block.length - 1; index > place; index--) block[index] = block[index - 1]!;
  block[place] = item;
}

function removeAt(block: unknown[], place: number): void {
  for (let index = place + 1; index < block.length; index++) block[index - 1] = block[index]!;
  block.pop();
}
