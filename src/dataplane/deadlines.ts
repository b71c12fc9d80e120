import type { Clock, Timer } from '../clock/clock.js';
import { EdfQueue, type Queueable } from './edf-queue.js';

/**
 * Fires for each watched request when its deadline passes, with one live timer: a request is told within a timer's
 * lateness of its deadline even while the model runs, and nothing polls.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #onDue: (sequence: number, nowMs: number) => void;
  readonly #watched = new EdfQueue<Queueable>();
  #timer: Timer | null = null;
  #timerAtMs = Infinity;

  constructor(clock: Clock, onDue: (sequence: number, nowMs: number) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  watch(request: Queueable): void {
    this.#watched.push(request);
    this.#arm();
  }

  forget(sequence: number): void {
    this.#watched.remove(sequence);
  }

  /** Nothing is watched any more. */
  stop(): void {
    this.#timer?.cancel();
  }

  /** A timer that is too early finds nothing due and arms itself again: cheaper than re-arming at every removal. */
  #arm(): void {
    const head = this.#watched.peek();
    if (head === undefined || head.dueAtMs >= this.#timerAtMs) return;
    this.#timer?.cancel();
    this.#timerAtMs = head.dueAtMs;
    this.#timer = this.#clock.schedule(head.dueAtMs, () => this.#fire());
  }

  #fire(): void {
    this.#timer = null;
    this.#timerAtMs = Infinity;
    const nowMs = this.#clock.nowMs();
    for (let head = this.#watched.peek(); head !== undefined && head.dueAtMs <= nowMs; head = this.#watched.peek()) {
      this.#watched.pop();
      this.#onDue(head.sequence, nowMs);
    }
    this.#arm();
  }
}
