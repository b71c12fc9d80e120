import type { Clock, Timer } from './clock.js';

/*
 * Time for tests and simulations: it moves only when told to, and everything that happens in it happens in one total
 * order, (instant, order of scheduling). The same calls therefore give the same run, always.
 *
 * Invariants: `nowMs` never decreases; a callback sees `nowMs` equal to its own instant; nothing fires inside `schedule`.
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

export class VirtualClock implements Clock {
  private currentMs: number;
  private readonly timerLatenessMs: number;
  private readonly pending = new PendingEvents();
  private nextSequence = 0;
  private isFiring = false;

  constructor(options: VirtualClockOptions = {}) {
    this.currentMs = options.startAtMs ?? 0;
    this.timerLatenessMs = options.timerLatenessMs ?? 0;
    if (!(this.timerLatenessMs >= 0)) throw new RangeError(`timerLatenessMs must be ≥ 0, not ${this.timerLatenessMs}`);
  }

  nowMs(): number {
    return this.currentMs;
  }

  /** Events that are still to fire. */
  get pendingCount(): number {
    return this.pending.count;
  }

  /** A timer of the system under test: fires `timerLatenessMs` after `atMs`, or after now if that is later. */
  schedule(atMs: number, fire: () => void): Timer {
    return this.scheduleExact(Math.max(atMs, this.currentMs) + this.timerLatenessMs, fire);
  }

  whenSettled(act: () => void): void {
    act();
  }

  /** Something the simulated world does by itself (an arrival, a batch's end): no timer is involved that could be late. */
  scheduleExact(atMs: number, fire: () => void): Timer {
    if (Number.isNaN(atMs)) throw new RangeError('an event needs an instant; got NaN');
    const event = new PendingEvent(Math.max(atMs, this.currentMs), this.nextSequence, fire, this.pending);
    this.nextSequence += 1;
    this.pending.add(event);
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
    if (this.nextAtMs() === Infinity) return false;
    const event = this.pending.takeNext();
    this.currentMs = event.atMs;
    this.isFiring = true;
    try {
      event.fire();
    } finally {
      this.isFiring = false;
    }
    return true;
  }

  /** Instant of the next event; Infinity when nothing is pending. */
  nextAtMs(): number {
    return this.pending.next?.atMs ?? Infinity;
  }

  private assertOutsideEvents(): void {
    if (this.isFiring) throw new Error('time cannot be advanced from inside an event; schedule another one instead');
  }
}

class PendingEvent implements Timer {
  readonly atMs: number;
  readonly sequence: number;
  readonly fire: () => void;
  private readonly among: PendingEvents;
  /** Neither fired nor cancelled. */
  isPending = true;

  constructor(atMs: number, sequence: number, fire: () => void, among: PendingEvents) {
    this.atMs = atMs;
    this.sequence = sequence;
    this.fire = fire;
    this.among = among;
  }

  cancel(): void {
    if (this.isPending) this.among.remove(this);
  }
}

/** A full block is halved. Larger ones move more at each change, smaller ones are more; measured with 3 to 100 000 events. */
const BLOCK_LIMIT = 64;

/**
 * What is still to fire: a sorted list, latest first, cut into blocks of which none is empty unless it is the only one.
 * The next event is the very last, most new ones belong near it, and a cancelled one is found by bisection and gone.
 *
 * Rejected: a binary heap, which cannot find what is cancelled and has to mark it, and to sweep when the marked outnumber
 * the rest. With the few events that most runs have pending it made a simulated run a seventh slower; it gains, up to
 * twice as fast, only where thousands are pending and most of them are cancelled.
 */
class PendingEvents {
  private readonly blocks: PendingEvent[][] = [[]];
  count = 0;

  get next(): PendingEvent | undefined {
    const block = this.blocks[this.blocks.length - 1]!;
    return block[block.length - 1];
  }

  takeNext(): PendingEvent {
    const block = this.blocks[this.blocks.length - 1]!;
    const event = block.pop()!;
    if (block.length === 0 && this.blocks.length > 1) this.blocks.pop();
    event.isPending = false;
    this.count -= 1;
    return event;
  }

  add(event: PendingEvent): void {
    const blockIndex = this.blockIndexOf(event);
    const block = this.blocks[blockIndex]!;
    const place = placeOf(event, block);
    block.push(event);
    for (let index = block.length - 1; index > place; index--) block[index] = block[index - 1]!;
    block[place] = event;
    if (block.length === BLOCK_LIMIT) this.blocks.splice(blockIndex + 1, 0, block.splice(BLOCK_LIMIT >> 1));
    this.count += 1;
  }

  remove(event: PendingEvent): void {
    const blockIndex = this.blockIndexOf(event);
    const block = this.blocks[blockIndex]!;
    for (let index = placeOf(event, block) + 1; index < block.length; index++) block[index - 1] = block[index]!;
    block.pop();
    if (block.length === 0 && this.blocks.length > 1) this.blocks.splice(blockIndex, 1);
    event.isPending = false;
    this.count -= 1;
  }

  /** The last block that does not begin before the event: if the event is anywhere, then there. */
  private blockIndexOf(event: PendingEvent): number {
    let low = 0;
    let high = this.blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (isBefore(this.blocks[middle]![0]!, event)) high = middle - 1;
      else low = middle;
    }
    return low;
  }
}

/** Where it stands in the block, or would: behind all that are later. */
function placeOf(event: PendingEvent, block: readonly PendingEvent[]): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(event, block[middle]!)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isBefore(a: PendingEvent, b: PendingEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
