/** Of a whole number of these, at least. */
const WINDOW_MS = 1000;

/** How many events there were a second, over the last window that has ended. */
export class EventRate {
  #perSec = 0;
  #count = 0;
  #fromMs = -Infinity;

  get perSec(): number {
    return this.#perSec;
  }

  /** @param atMs never less than before */
  count(atMs: number): void {
    this.#count += 1;
    const elapsedMs = atMs - this.#fromMs;
    if (elapsedMs < WINDOW_MS) return;
    this.#perSec = (1000 * this.#count) / elapsedMs;
    this.#count = 0;
    this.#fromMs = atMs;
  }
}
