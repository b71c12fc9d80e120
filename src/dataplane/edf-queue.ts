/*
 * The queue: earliest deadline first. Second stage of the data plane, between admission and batcher.
 *
 * Order is total: (dueAtMs, priority, sequence). Priority has Triton's meaning, a lower number goes first; numbers are
 * compared as given, so what an absent priority means is decided before a request gets here.
 *
 * A binary heap whose entries know their place, plus a map from sequence to entry: O(log n) push, pop and removal of any
 * member (a client that leaves, a request that is shed). A sorted array would give the batcher its order for free, but
 * inserting moves half of it: at 100 000 queued that costs more than all else a request needs (`bench/queue.bench.ts`).
 * Walking the first k in order instead explores the heap from its root, O(k log k), and changes nothing.
 *
 * Invariants: each sequence is queued at most once; `entry.index` is where the entry stands; no parent is after its child.
 */

/** What the queue needs to know of its members. */
export interface Queueable {
  readonly dueAtMs: number;
  readonly priority: number;
  /** Unique. */
  readonly sequence: number;
  readonly byteCount: number;
}

interface Entry<T> {
  readonly item: T;
  index: number;
}

/** Negative when `a` is served before `b`; 0 only for one and the same member. */
export function compareByDeadline(a: Queueable, b: Queueable): number {
  if (a.dueAtMs !== b.dueAtMs) return a.dueAtMs < b.dueAtMs ? -1 : 1;
  return a.priority - b.priority || a.sequence - b.sequence;
}

export class EdfQueue<T extends Queueable> {
  private readonly heap: Entry<T>[] = [];
  private readonly entries = new Map<number, Entry<T>>();
  private byteTotal = 0;
  /** Counts changes, so that a walk can tell that its queue moved under it. */
  private changeCount = 0;

  get size(): number {
    return this.heap.length;
  }

  /** Sum of the members' `byteCount`. */
  get totalBytes(): number {
    return this.byteTotal;
  }

  has(sequence: number): boolean {
    return this.entries.has(sequence);
  }

  /** O(log n). A sequence that is queued already, or a deadline that is not a number, is a broken invariant. */
  push(item: T): void {
    if (Number.isNaN(item.dueAtMs)) throw new RangeError(`request ${item.sequence} has no deadline`);
    if (this.entries.has(item.sequence)) throw new Error(`request ${item.sequence} is queued already`);
    const entry = { item, index: this.heap.length };
    this.entries.set(item.sequence, entry);
    this.heap.push(entry);
    this.siftUp(entry);
    this.byteTotal += item.byteCount;
    this.changeCount += 1;
  }

  /** The earliest deadline; O(1). */
  peek(): T | undefined {
    return this.heap[0]?.item;
  }

  /** O(log n). */
  pop(): T | undefined {
    const head = this.heap[0];
    if (head !== undefined) this.takeOut(head);
    return head?.item;
  }

  /** O(log n). Undefined where it is not queued: it left, or runs already. */
  remove(sequence: number): T | undefined {
    const entry = this.entries.get(sequence);
    if (entry !== undefined) this.takeOut(entry);
    return entry?.item;
  }

  /** The first k in order, or all where there are fewer; O(k log k) whatever is queued behind them. */
  firstInOrder(count: number): T[] {
    const first: T[] = [];
    if (count <= 0) return first;
    for (const item of this.inOrder()) {
      first.push(item);
      if (first.length >= count) break;
    }
    return first;
  }

  /**
   * Walks in order without disturbing the queue; the first k cost O(k log k). The queue must not change during a walk.
   *
   * The next in order is always a child of one already given: `frontier` is a heap of the heap indices not yet given
   * whose parents were.
   */
  *inOrder(): Generator<T, void, undefined> {
    const changeCountAtStart = this.changeCount;
    const frontier: number[] = [];
    if (this.heap.length > 0) frontier.push(0);
    while (frontier.length > 0) {
      const index = this.popFrontier(frontier);
      yield this.heap[index]!.item;
      if (this.changeCount !== changeCountAtStart) throw new Error('the queue changed while it was walked');
      if (2 * index + 1 < this.heap.length) this.pushFrontier(frontier, 2 * index + 1);
      if (2 * index + 2 < this.heap.length) this.pushFrontier(frontier, 2 * index + 2);
    }
  }

  /** Everything, in order, as an array of its own; O(n log n). */
  toSortedArray(): T[] {
    return this.heap.map((entry) => entry.item).sort(compareByDeadline);
  }

  private takeOut(entry: Entry<T>): void {
    this.entries.delete(entry.item.sequence);
    this.byteTotal -= entry.item.byteCount;
    this.changeCount += 1;
    const last = this.heap.pop()!;
    if (last === entry) return;
    last.index = entry.index;
    this.heap[last.index] = last;
    this.siftUp(last);
    this.siftDown(last);
  }

  private siftUp(moving: Entry<T>): void {
    const { heap } = this;
    let index = moving.index;
    while (index > 0) {
      const parent = heap[(index - 1) >> 1]!;
      if (compareByDeadline(parent.item, moving.item) < 0) break;
      heap[index] = parent;
      parent.index = index;
      index = (index - 1) >> 1;
    }
    heap[index] = moving;
    moving.index = index;
  }

  private siftDown(moving: Entry<T>): void {
    const { heap } = this;
    const firstLeaf = heap.length >> 1;
    let index = moving.index;
    while (index < firstLeaf) {
      let childIndex = 2 * index + 1;
      let child = heap[childIndex]!;
      const sibling = heap[childIndex + 1];
      if (sibling !== undefined && compareByDeadline(sibling.item, child.item) < 0) {
        childIndex += 1;
        child = sibling;
      }
      if (compareByDeadline(moving.item, child.item) < 0) break;
      heap[index] = child;
      child.index = index;
      index = childIndex;
    }
    heap[index] = moving;
    moving.index = index;
  }

  private isBefore(a: number, b: number): boolean {
    return compareByDeadline(this.heap[a]!.item, this.heap[b]!.item) < 0;
  }

  private pushFrontier(frontier: number[], added: number): void {
    let slot = frontier.length;
    frontier.push(added);
    while (slot > 0) {
      const parentSlot = (slot - 1) >> 1;
      if (!this.isBefore(added, frontier[parentSlot]!)) break;
      frontier[slot] = frontier[parentSlot]!;
      slot = parentSlot;
    }
    frontier[slot] = added;
  }

  private popFrontier(frontier: number[]): number {
    const first = frontier[0]!;
    const last = frontier.pop()!;
    if (frontier.length === 0) return first;
    const firstLeaf = frontier.length >> 1;
    let slot = 0;
    while (slot < firstLeaf) {
      let childSlot = 2 * slot + 1;
      if (childSlot + 1 < frontier.length && this.isBefore(frontier[childSlot + 1]!, frontier[childSlot]!)) {
        childSlot += 1;
      }
      if (!this.isBefore(frontier[childSlot]!, last)) break;
      frontier[slot] = frontier[childSlot]!;
      slot = childSlot;
    }
    frontier[slot] = last;
    return first;
  }
}
