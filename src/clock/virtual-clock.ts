import type { Clock, Timer } from './clock.js';

/*
 * Time for tests and simulations: it moves only when told to, and everything that happens in it happens in one total
 * order, (instant, order of scheduling). The same calls therefore give the same run, always.
 *
 * Invariants: `nowMs` never decreases; a callback sees `nowMs` equal to its own instant; nothing fires inside `schedule`.
 *
 * A binary heap, because runs hold few pending events but process millions. Cancelling only marks an entry (finding it
 * would need a position map that every sift has to maintain); marked entries are swept when they outnumber the rest, so a
 * caller that re-arms a far timer again and again costs O(1) memory per live timer.
 */

export interface VirtualClockOptions {
  /** First instant, ms; 0 by default. */
  readonly startAtMs?: number;
  /**
   * How late every `schedule`d timer fires, ms ≥ 0; 0 by default. Live timers are about 1 ms late: Node's have whole
   * milliseconds, and a clock that must never be early rounds up.
   */
  readonly timerLatenessMs?: number;
}

class PendingEvent implements Timer {
  readonly atMs: number;
  readonly sequence: number;
  /** Null once fired or cancelled. */
  fire: (() => void) | null;
  private readonly onCancel: () => void;

  constructor(atMs: number, sequence: number, fire: () => void, onCancel: () => void) {
    this.atMs = atMs;
    this.sequence = sequence;
    this.fire = fire;
    this.onCancel = onCancel;
  }

  cancel(): void {
    if (this.fire === null) return;
    this.fire = null;
    this.onCancel();
  }
}

/** Below this many entries a sweep saves nothing worth its bookkeeping. */
const SWEEP_MIN_ENTRIES = 64;

export class VirtualClock implements Clock {
  private currentMs: number;
  private readonly timerLatenessMs: number;
  private heap: PendingEvent[] = [];
  private cancelledCount = 0;
  private nextSequence = 0;
  private isFiring = false;
  private readonly countCancelled = (): void => {
    this.cancelledCount += 1;
    if (this.heap.length >= SWEEP_MIN_ENTRIES && this.cancelledCount * 2 > this.heap.length) this.sweep();
  };

  constructor(options: VirtualClockOptions = {}) {
    this.currentMs = options.startAtMs ?? 0;
    this.timerLatenessMs = options.timerLatenessMs ?? 0;
    if (!(this.timerLatenessMs >= 0)) throw new RangeError(`timerLatenessMs must be ≥ 0, not ${this.timerLatenessMs}`);
  }

  nowMs(): number {
    return this.currentMs;
  }

  /** Live events, cancelled ones not counted. */
  get pendingCount(): number {
    return this.heap.length - this.cancelledCount;
  }

  /** A timer of the system under test: fires `timerLatenessMs` after `atMs`, or after now if that is later. */
  schedule(atMs: number, fire: () => void): Timer {
    return this.scheduleExact(Math.max(atMs, this.currentMs) + this.timerLatenessMs, fire);
  }

  /** Something the simulated world does by itself (an arrival, a batch's end): no timer is involved that could be late. */
  scheduleExact(atMs: number, fire: () => void): Timer {
    if (Number.isNaN(atMs)) throw new RangeError('an event needs an instant; got NaN');
    const event = new PendingEvent(Math.max(atMs, this.currentMs), this.nextSequence, fire, this.countCancelled);
    this.nextSequence += 1;
    this.heap.push(event);
    siftUp(this.heap, this.heap.length - 1);
    return event;
  }

  /** Fires everything due by `atMs`, then stands at `atMs`. Going back is a broken invariant. */
  advanceTo(atMs: number): void {
    this.assertOutsideEvents();
    if (!(atMs >= this.currentMs)) throw new RangeError(`time cannot go from ${this.currentMs} ms to ${atMs} ms`);
    while (this.nextAtMs() <= atMs) this.fireNext();
    this.currentMs = atMs;
  }

  advanceBy(durationMs: number): void {
    this.advanceTo(this.currentMs + durationMs);
  }

  /**
   * Fires until nothing is pending; returns how many fired. Time stands at the last one.
   * @param limit events after which a run counts as endless and throws
   */
  runUntilIdle(limit = Infinity): number {
    let firedCount = 0;
    while (this.fireNext()) {
      firedCount += 1;
      if (firedCount >= limit && this.pendingCount > 0) {
        throw new Error(`not idle after ${firedCount} events, at ${this.currentMs} ms: ${this.pendingCount} pending`);
      }
    }
    return firedCount;
  }

  /** Fires the next event and stands at its instant; false when nothing is left (what is due at Infinity never fires). */
  fireNext(): boolean {
    this.assertOutsideEvents();
    const event = this.peekLive();
    if (event === undefined || event.atMs === Infinity) return false;
    const fire = event.fire!;
    removeHead(this.heap);
    event.fire = null;
    this.currentMs = event.atMs;
    this.isFiring = true;
    try {
      fire();
    } finally {
      this.isFiring = false;
    }
    return true;
  }

  /** Instant of the next event; Infinity when nothing is pending. */
  nextAtMs(): number {
    return this.peekLive()?.atMs ?? Infinity;
  }

  private assertOutsideEvents(): void {
    if (this.isFiring) throw new Error('time cannot be advanced from inside an event; schedule another one instead');
  }

  private peekLive(): PendingEvent | undefined {
    let head = this.heap[0];
    while (head?.fire === null) {
      removeHead(this.heap);
      this.cancelledCount -= 1;
      head = this.heap[0];
    }
    return head;
  }

  /** Drops cancelled entries. A sorted array is a heap, but so is a filtered one sifted down from its middle: O(n). */
  private sweep(): void {
    this.heap = this.heap.filter((event) => event.fire !== null);
    this.cancelledCount = 0;
    for (let index = (this.heap.length >> 1) - 1; index >= 0; index -= 1) siftDown(this.heap, index);
  }
}

function isBefore(a: PendingEvent, b: PendingEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}

function removeHead(heap: PendingEvent[]): void {
  const last = heap.pop()!;
  if (heap.length === 0) return;
  heap[0] = last;
  siftDown(heap, 0);
}

function siftUp(heap: PendingEvent[], start: number): void {
  const moving = heap[start]!;
  let index = start;
  while (index > 0) {
    const parentIndex = (index - 1) >> 1;
    const parent = heap[parentIndex]!;
    if (!isBefore(moving, parent)) break;
    heap[index] = parent;
    index = parentIndex;
  }
  heap[index] = moving;
}

function siftDown(heap: PendingEvent[], start: number): void {
  const moving = heap[start]!;
  const firstLeaf = heap.length >> 1;
  let index = start;
  while (index < firstLeaf) {
    let childIndex = 2 * index + 1;
    if (childIndex + 1 < heap.length && isBefore(heap[childIndex + 1]!, heap[childIndex]!)) childIndex += 1;
    const child = heap[childIndex]!;
    if (!isBefore(child, moving)) break;
    heap[index] = child;
    index = childIndex;
  }
  heap[index] = moving;
}
