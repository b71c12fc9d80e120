/*
 * The estimator turns what was observed into what to expect: the arrival rate λ. Deterministic; fed by events.
 */

/** Mean over this long: at 20 requests/s its standard deviation is 16 % of the rate; the actual queue covers bursts. */
const WINDOW_MS = 2000;
const BUCKET_MS = 100;
const BUCKETS = WINDOW_MS / BUCKET_MS;
/** After a start, a rate over less than this would be mostly chance. */
const MIN_OBSERVED_MS = 500;

export interface Forecast {
  readonly arrivalRatePerSec: number;
}

export class Estimator {
  readonly #counts = new Float64Array(BUCKETS);
  #bucket = -1;
  #firstAtMs: number | null = null;
  #total = 0;

  observeArrival(nowMs: number): void {
    this.#advance(nowMs);
    this.#firstAtMs ??= nowMs;
    this.#counts[this.#bucket % BUCKETS]! += 1;
    this.#total += 1;
  }

  forecast(nowMs: number): Forecast {
    if (this.#firstAtMs === null) return { arrivalRatePerSec: 0 };
    this.#advance(nowMs);
    // The window ends inside the current bucket, so it covers slightly less than WINDOW_MS.
    const coveredMs = WINDOW_MS - BUCKET_MS + (nowMs - this.#bucket * BUCKET_MS);
    const observedMs = Math.max(MIN_OBSERVED_MS, Math.min(coveredMs, nowMs - this.#firstAtMs));
    return { arrivalRatePerSec: (this.#total / observedMs) * 1000 };
  }

  #advance(nowMs: number): void {
    const bucket = Math.floor(nowMs / BUCKET_MS);
    if (this.#bucket < 0 || bucket - this.#bucket >= BUCKETS) {
      this.#counts.fill(0);
      this.#total = 0;
      this.#bucket = bucket;
    }
    while (this.#bucket < bucket) {
      this.#bucket += 1;
      this.#total -= this.#counts[this.#bucket % BUCKETS]!;
      this.#counts[this.#bucket % BUCKETS] = 0;
    }
  }
}
