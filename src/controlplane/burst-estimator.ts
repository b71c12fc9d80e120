/*
 * How far the rate of the last moment says something about the next one. Poisson arrivals have no memory, and following their
 * ups and downs only costs CPU; a burst has one.
 *
 * Arrivals are counted in bins of 350 ms, about what a batch takes. The correlation of each bin with the one before, over
 * the last minute, is what of a deviation is expected to last; 0 unless it is significant.
 */

const BIN_MS = 350;
/** A minute: at 20 arrivals a second the correlation of 171 bins has a standard error of 0.08. */
const BINS = 171;
const MIN_BINS = 20;
/** Standard errors, 1/√n, that a correlation must exceed to be believed. */
const SIGNIFICANT = 2;

export class BurstEstimator {
  readonly #counts = new Float64Array(BINS);
  #filled = 0;
  #next = 0;
  #binEndAtMs: number | null = null;
  #open = 0;
  /** Made when asked for after a bin has closed. */
  #persistence = 0;
  #isStale = false;

  observeArrival(nowMs: number): void {
    this.#advance(nowMs);
    this.#open += 1;
  }

  /**
   * What to expect of the next moment: the steady rate, and what of the last bin's deviation from it lasts.
   * @param steadyRatePerSec mean over many bins
   */
  expectedRatePerSec(nowMs: number, steadyRatePerSec: number): number {
    this.#advance(nowMs);
    if (this.#isStale) {
      this.#persistence = this.#correlation();
      this.#isStale = false;
    }
    if (this.#persistence === 0) return steadyRatePerSec;
    const lastCount = this.#counts[(this.#next + BINS - 1) % BINS]!;
    const lastRatePerSec = (lastCount * 1000) / BIN_MS;
    return Math.max(0, steadyRatePerSec + this.#persistence * (lastRatePerSec - steadyRatePerSec));
  }

  #advance(nowMs: number): void {
    this.#binEndAtMs ??= nowMs + BIN_MS;
    if (nowMs < this.#binEndAtMs) return;
    // After a long silence only the last minute's bins matter.
    const passed = Math.floor((nowMs - this.#binEndAtMs) / BIN_MS) + 1;
    for (let bin = 0; bin < Math.min(passed, BINS); bin++) {
      this.#counts[this.#next] = this.#open;
      this.#open = 0;
      this.#next = (this.#next + 1) % BINS;
      this.#filled = Math.min(BINS, this.#filled + 1);
    }
    this.#binEndAtMs += passed * BIN_MS;
    this.#isStale = true;
  }

  /** Of neighbouring bins; in 0 … 1. */
  #correlation(): number {
    const count = this.#filled;
    if (count < MIN_BINS) return 0;
    let mean = 0;
    const oldest = (this.#next + BINS - count) % BINS;
    for (let i = 0, at = oldest; i < count; i++, at = at === BINS - 1 ? 0 : at + 1) mean += this.#counts[at]! / count;
    let variance = 0;
    let covariance = 0;
    let before = 0;
    for (let i = 0, at = oldest; i < count; i++, at = at === BINS - 1 ? 0 : at + 1) {
      const deviation = this.#counts[at]! - mean;
      variance += deviation * deviation;
      if (i > 0) covariance += deviation * before;
      before = deviation;
    }
    const correlation = variance === 0 ? 0 : covariance / variance;
    return correlation > SIGNIFICANT / Math.sqrt(count) ? correlation : 0;
  }
}
