import type { Clock } from '../clock/clock.js';
import { EarliestTimer } from '../clock/earliest-timer.js';
import { compareByDeadline, EdfQueue, type Queueable } from './edf-queue.js';
import { MOST_AT_ONCE } from './pieces.js';
import { mayBeLate, type QueueEntry } from './queue-entry.js';

/**
 * Fires for each request that waits when its deadline passes, with one live timer: a request is told within a timer's
 * lateness of its deadline even while the model runs, and nothing polls.
 *
 * The queue under EDF needs no watching: of what is in it, its head is due first. Only what waits elsewhere is watched one
 * by one: set aside, to be tried, or in a queue whose key is not the deadline.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #queue: EdfQueue<QueueEntry>;
  readonly #onDue: (sequence: number, nowMs: number) => void;
  readonly #watched = new EdfQueue<Queueable>();
  /** Until an entry comes whose key is not its deadline; from then on all entries are watched one by one. */
  #isHeadDueFirst = true;
  readonly #timer: EarliestTimer;

  /** `onDue` takes the request out of the queue. */
  constructor(clock: Clock, queue: EdfQueue<QueueEntry>, onDue: (sequence: number, nowMs: number) => void) {
    this.#clock = clock;
    this.#timer = new EarliestTimer(clock, () => this.#tellDue());
    this.#queue = queue;
    this.#onDue = onDue;
  }

  /** For an entry that waits now, wherever. */
  watch(entry: QueueEntry): void {
    const { request } = entry;
    // Behind all others already and not to be refused: its deadline changes nothing.
    if (entry.isSetAside && mayBeLate(request)) return;
    if (isElsewhere(entry) || !this.#isHeadDueFirst) this.#watched.push(request);
    else if (entry.dueAtMs !== request.dueAtMs) this.#watchOneByOne();
    this.#timer.armBy(request.dueAtMs);
  }

  /** For an entry that leaves where it waits. */
  forget(entry: QueueEntry): void {
    if (isElsewhere(entry) || !this.#isHeadDueFirst) this.#watched.remove(entry.request);
  }

  /** Nothing is watched any more. */
  stop(): void {
    this.#timer.cancel();
  }

  #watchOneByOne(): void {
    this.#isHeadDueFirst = false;
    for (const { request } of this.#queue.toSortedArray()) this.#watched.push(request);
  }

  #tellDue(): void {
    const nowMs = this.#clock.nowMs();
    // Thousands may be due at the same instant.
    let next = this.#next();
    for (let told = 0; told < MOST_AT_ONCE && next !== undefined && next.dueAtMs <= nowMs; told++) {
      this.#watched.remove(next);
      this.#onDue(next.sequence, nowMs);
      next = this.#next();
    }
    // Of those that are due as well it fires again at once, but not inside this turn.
    if (next !== undefined) this.#timer.armBy(next.dueAtMs);
  }

  /** What is due first of all that waits. */
  #next(): Queueable | undefined {
    const watched = this.#watched.peek();
    const head = this.#isHeadDueFirst ? this.#queue.peek() : undefined;
    if (watched === undefined || head === undefined) return watched ?? head;
    return compareByDeadline(watched, head) < 0 ? watched : head;
  }
}

/** Not in the queue. */
function isElsewhere({ isSetAside, isExploring }: QueueEntry): boolean {
  return isSetAside || isExploring;
}
