/*
 * The run's own time between two messages of the feed. Messages come ten times a second; a picture that moved only then
 * would jerk. It runs a little behind, so that what it shows has already been heard, and never goes back.
 */

/** A message's wait for its flush, and a little for the way. */
const LAG_MS = 130;
/** The feed is heard at least once a second; beyond that, time stands still until it is heard again. */
const MOST_AHEAD_MS = 1_250;

export class RunClock {
  #heardAtMs = -Infinity;
  #heardNowMs = 0;
  #shownMs = -Infinity;

  /** @param atMs by the run's clock   @param nowMs by the page's */
  hear(atMs: number, nowMs: number): void {
    this.#heardAtMs = atMs;
    this.#heardNowMs = nowMs;
  }

  /** The instant to show. */
  read(nowMs: number): number {
    const aheadMs = Math.min(MOST_AHEAD_MS, nowMs - this.#heardNowMs);
    this.#shownMs = Math.max(this.#shownMs, this.#heardAtMs + aheadMs - LAG_MS);
    return this.#shownMs;
  }
}
