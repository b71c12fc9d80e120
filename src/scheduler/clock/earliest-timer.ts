import type { Clock, Timer } from './clock.js';

/**
 * One timer for many moments: it fires at the earliest that it was armed for since it fired last. One that is too early
 * finds nothing to do and is armed again, which is cheaper than a timer for each moment that mostly never comes.
 */
export class EarliestTimer {
  readonly #clock: Clock;
  readonly #onFire: () => void;
  #timer: Timer | null = null;
  #atMs = Infinity;

  constructor(clock: Clock, onFire: () => void) {
    this.#clock = clock;
    this.#onFire = onFire;
  }

  armBy(atMs: number): void {
    if (atMs >= this.#atMs) return;
    this.#timer?.cancel();
    this.#atMs = atMs;
    this.#timer = this.#clock.schedule(atMs, this.#fire);
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#atMs = Infinity;
  }

  readonly #fire = (): void => {
    this.#timer = null;
    this.#atMs = Infinity;
    this.#onFire();
  };
}
