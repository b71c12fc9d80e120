import type { Clock, Timer } from '../scheduler/clock/clock.js';

/*
 * The live clock: `performance.now()`, and timers that keep the promise of `Clock.schedule` – never before the instant,
 * never inside the call.
 *
 * Node's `setTimeout` counts whole milliseconds from the event loop's cached time and so may fire up to about 2 ms
 * before a fractional deadline. Delays are therefore rounded up, and a timer that still comes early is armed again for
 * the rest; the price is being about 1 ms late. Spinning on `setImmediate` for the last millisecond would be exact, but
 * it would take the CPU that the model is to have.
 */

/** Longest delay that `setTimeout` takes; above 2^31 − 1 ms (24.8 days) it would fire at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

export interface SystemClockOptions {
  /** Whether a pending timer alone keeps the process running; true by default. */
  readonly keepsProcessAlive?: boolean;
  /** Monotonic time source, ms; tests hand in their own. */
  readonly readNowMs?: () => number;
}

export class SystemClock implements Clock {
  private readonly keepsProcessAlive: boolean;
  private readonly readNowMs: () => number;

  constructor(options: SystemClockOptions = {}) {
    this.keepsProcessAlive = options.keepsProcessAlive ?? true;
    this.readNowMs = options.readNowMs ?? (() => performance.now());
  }

  nowMs(): number {
    return this.readNowMs();
  }

  /** @param atMs any number; the past and now fire as soon as the event loop is reached, +Infinity never */
  schedule(atMs: number, fire: () => void): Timer {
    if (Number.isNaN(atMs)) throw new RangeError('a timer needs an instant; got NaN');
    let stop: () => void;
    const arm = (): void => {
      const remainingMs = atMs - this.readNowMs();
      if (remainingMs <= 0) {
        const immediate = setImmediate(fire);
        if (!this.keepsProcessAlive) immediate.unref();
        stop = () => clearImmediate(immediate);
        return;
      }
      const timeout = setTimeout(fireOrRearm, Math.min(Math.ceil(remainingMs), LONGEST_DELAY_MS));
      if (!this.keepsProcessAlive) timeout.unref();
      stop = () => clearTimeout(timeout);
    };
    const fireOrRearm = (): void => {
      if (this.readNowMs() >= atMs) fire();
      else arm();
    };
    arm();
    return { cancel: () => stop() };
  }

  whenSettled(act: () => void): void {
    const immediate = setImmediate(act);
    if (!this.keepsProcessAlive) immediate.unref();
  }
}
