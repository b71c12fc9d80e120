import type { Clock } from '../clock/clock.js';
import { EarliestTimer } from '../clock/earliest-timer.js';
import { EdfQueue } from './edf-queue.js';
import { mayBeLate, type QueueEntry } from './queue-entry.js';

/** A late answer may still be of use for so long. */
const MOST_LATE_MS = 500;

/**
 * Fires for each request whose batch has not ended by `MOST_LATE_MS` after its deadline: of a worker that hangs, stands still or
 * needs far longer than was thought, nobody waits for more. One live timer; a request that may be late is not watched.
 */
export class OverdueRuns {
  readonly #running = new EdfQueue<QueueEntry['request']>();
  readonly #clock: Clock;
  readonly #onOverdue: (sequence: number, nowMs: number) => void;
  readonly #timer: EarliestTimer;

  /** `onOverdue` gives the request its outcome, and so ends its watch. */
  constructor(clock: Clock, onOverdue: (sequence: number, nowMs: number) => void) {
    this.#clock = clock;
    this.#onOverdue = onOverdue;
    this.#timer = new EarliestTimer(clock, () => this.#tellOverdue());
  }

  begin({ request }: QueueEntry): void {
    if (mayBeLate(request)) return;
    this.#running.push(request);
    this.#timer.armBy(request.dueAtMs + MOST_LATE_MS);
  }

  end({ request }: QueueEntry): void {
    if (!mayBeLate(request)) this.#running.remove(request);
  }

  stop(): void {
    this.#timer.cancel();
  }

  #tellOverdue(): void {
    const nowMs = this.#clock.nowMs();
    for (let next = this.#running.peek(); next !== undefined; next = this.#running.peek()) {
      const tellAtMs = next.dueAtMs + MOST_LATE_MS;
      if (tellAtMs > nowMs) {
        this.#timer.armBy(tellAtMs);
        return;
      }
      this.#onOverdue(next.sequence, nowMs);
    }
  }
}
