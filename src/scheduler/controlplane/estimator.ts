/*
 * The estimator turns what was observed into what to expect: arrival rates λ, and the budgets that requests come with.
 * Deterministic; fed by events.
 */
import { BudgetSample } from './budget-sample.js';
import { RateForecast } from './rate-forecast.js';

/** Mean over this long: at 20 requests/s its standard deviation is 16 % of the rate; the actual queue covers bursts. */
const WINDOW_MS = 2000;
/** For what changes slowly: at 20 requests/s the minute is exact to 3 %, the ten seconds to 7 %. */
const LONG_WINDOW_MS = 60_000;
const SHORT_WINDOW_MS = 10_000;
/** The minute counts until the ten seconds differ from it by more than chance does: standard deviations of their count. */
const CHANGE_DEVIATIONS = 3;
const BUCKET_MS = 100;
/** After a start, a rate over less than this would be mostly chance. */
const MIN_OBSERVED_MS = 500;

export interface Forecast {
  /** Mean of the last two seconds. */
  readonly arrivalRatePerSec: number;
  /** Mean of the last minute, or of the last ten seconds where the rate has changed since. */
  readonly steadyRatePerSec: number;
  /** Of the next moment: the steady rate, and what is expected to last of the last moment's deviation from it. */
  readonly expectedRatePerSec: number;
  /** Of the latest requests. */
  readonly budgets: BudgetSample;
}

export class Estimator {
  readonly #recent = new WindowedRate(WINDOW_MS);
  readonly #short = new WindowedRate(SHORT_WINDOW_MS);
  readonly #long = new WindowedRate(LONG_WINDOW_MS);
  readonly #next = new RateForecast();
  readonly #budgets = new BudgetSample();

  /** @param budgetMs deadline − instant received */
  observeArrival(nowMs: number, budgetMs: number): void {
    this.#recent.observeArrival(nowMs);
    this.#short.observeArrival(nowMs);
    this.#long.observeArrival(nowMs);
    this.#next.observeArrival(nowMs);
    this.#budgets.observe(budgetMs);
  }

  forecast(nowMs: number): Forecast {
    const steadyRatePerSec = this.#steadyRatePerSec(nowMs);
    return {
      arrivalRatePerSec: this.#recent.ratePerSec(nowMs),
      steadyRatePerSec,
      expectedRatePerSec: this.#next.expectedRatePerSec(nowMs, steadyRatePerSec),
      budgets: this.#budgets,
    };
  }

  #steadyRatePerSec(nowMs: number): number {
    const longPerSec = this.#long.ratePerSec(nowMs);
    const shortPerSec = this.#short.ratePerSec(nowMs);
    const windowSec = SHORT_WINDOW_MS / 1000;
    const isChanged =
      Math.abs(shortPerSec - longPerSec) * windowSec > CHANGE_DEVIATIONS * Math.sqrt(longPerSec * windowSec);
    return isChanged ? shortPerSec : longPerSec;
  }
}

/** Mean arrival rate over a sliding window, in buckets. */
class WindowedRate {
  readonly #windowMs: number;
  readonly #counts: Float64Array;
  #bucket = -1;
  #firstAtMs: number | null = null;
  #total = 0;

  /** @param windowMs a multiple of the bucket */
  constructor(windowMs: number) {
    this.#windowMs = windowMs;
    this.#counts = new Float64Array(windowMs / BUCKET_MS);
  }

  observeArrival(nowMs: number): void {
    this.#advance(nowMs);
    this.#firstAtMs ??= nowMs;
    this.#counts[this.#bucket % this.#counts.length]! += 1;
    this.#total += 1;
  }

  ratePerSec(nowMs: number): number {
    if (this.#firstAtMs === null) return 0;
    this.#advance(nowMs);
    // The window ends inside the current bucket, so it covers slightly less than its length.
    const coveredMs = this.#windowMs - BUCKET_MS + (nowMs - this.#bucket * BUCKET_MS);
    const observedMs = Math.max(MIN_OBSERVED_MS, Math.min(coveredMs, nowMs - this.#firstAtMs));
    return (this.#total / observedMs) * 1000;
  }

  #advance(nowMs: number): void {
    const buckets = this.#counts.length;
    const bucket = Math.floor(nowMs / BUCKET_MS);
    if (this.#bucket < 0 || bucket - this.#bucket >= buckets) {
      this.#counts.fill(0);
      this.#total = 0;
      this.#bucket = bucket;
    }
    while (this.#bucket < bucket) {
      this.#bucket += 1;
      this.#total -= this.#counts[this.#bucket % buckets]!;
      this.#counts[this.#bucket % buckets] = 0;
    }
  }
}
