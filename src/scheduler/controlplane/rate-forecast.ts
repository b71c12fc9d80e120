/*
 * How far the arrivals of the last moments say something about those of the next. Poisson arrivals have no memory, and
 * following their ups and downs only costs CPU; a burst has one.
 *
 * Arrivals are counted in bins of 50 ms. What the rate of the next 400 ms deviates from the mean is regressed on what the
 * rates of the last 100 ms, of the 200 ms before and of the 400 ms before those do (least squares over about the last minute,
 * a ridge against chance). Where arrivals have no memory the coefficients are about 0 and so is the correction. One lag of
 * 350 ms, closed bins only, was what we had: it saw a burst a third of a second late (bursts: 3.1 % violations against
 * 1.9 % at the same CPU).
 *
 * How much of such a deviation the whole next second shows is regressed too, and it counts only as far as that bears it out. Load
 * generators that send each second's requests at once are forecast perfectly 400 ms ahead, and not at all a second: there is
 * nothing in it to prepare for, as budgets outlast it (authors: a third more CPU).
 *
 * Deviations are from the mean of the ten seconds before, not of the minute: else a lasting change of the rate would look
 * like one long burst, and the noise of the next minute would be followed (a flash crowd: 11 % more CPU).
 */

const BIN_MS = 50;
/** Bins of each lag, the latest first: 100, 200 and 400 ms. */
const LAG_BINS = [2, 4, 8] as const;
const LAGS = LAG_BINS.length;
const LAG_SPAN = LAG_BINS.reduce((sum, bins) => sum + bins, 0);
/** What is forecast: 400 ms, about a batch and the wait for it; and the second that has to bear it out. */
const HORIZON_BINS = 8;
const LONG_HORIZON_BINS = 20;
/** A state that lasts for about a second, like a burst, deviates over a second a third to a half as much as over 400 ms. */
const BORNE_OUT_FACTOR = 3;
/** Ten seconds. */
const MEAN_BINS = 200;
/** Weights of past observations fall to 1/e in a minute: 150 horizons, so chance makes a coefficient of about 0.1. */
const KEPT_PER_BIN = 1 - BIN_MS / 60_000;
/** Ridge, as a share of each lag's own variance. */
const RIDGE = 0.1;
/** Nothing is forecast before so much was seen: 9 s. */
const LEAST_BINS = 180;

/** Of rings over more bins than the mean's, a power of two: places are found by masking. */
const RING_SIZE = 256;

export class RateForecast {
  /** Arrivals before each bin, so that any bins are counted by a difference; by the bin's place. */
  readonly #arrivedBefore = new Float64Array(RING_SIZE);
  /** Mean rate of the ten seconds up to each bin's end, by the bin's place. */
  readonly #meansPerSec = new Float64Array(RING_SIZE);
  /** Bins closed so far; the next one's place is this modulo the ring. */
  #closed = 0;
  #binEndAtMs: number | null = null;
  #open = 0;

  /** Normal equations: Σ x·xᵀ row by row, and Σ x·y. */
  readonly #moments = new Float64Array(LAGS * LAGS);
  readonly #products = new Float64Array(LAGS);
  readonly #coefficients = new Float64Array(LAGS);
  /** Of the whole second on what was forecast: Σ p² and Σ p·y. */
  #forecastSquares = 0;
  #forecastProducts = 0;
  readonly #deviations = new Float64Array(LAGS);
  readonly #system = new Float64Array(LAGS * (LAGS + 1));

  observeArrival(nowMs: number): void {
    this.#advance(nowMs);
    this.#open += 1;
  }

  /**
   * Rate to expect of the next 400 ms: the steady one and the correction; ≥ 0.
   * @param steadyRatePerSec what to expect where the last moments say nothing
   */
  expectedRatePerSec(nowMs: number, steadyRatePerSec: number): number {
    this.#advance(nowMs);
    if (this.#closed < LEAST_BINS) return steadyRatePerSec;
    // The open bin belongs to the latest lag: what has just come is what counts most.
    const openMs = BIN_MS - (this.#binEndAtMs! - nowMs);
    this.#lagDeviations(this.#closed, this.#meansPerSec[this.#place(this.#closed - 1)]!, this.#open, openMs);
    if (this.#forecastSquares === 0) return steadyRatePerSec;
    const borneOut = (BORNE_OUT_FACTOR * this.#forecastProducts) / this.#forecastSquares;
    const trust = Math.min(1, Math.max(0, borneOut));
    return Math.max(0, steadyRatePerSec + trust * this.#forecastDeviation());
  }

  /** Deviation of the next 400 ms, by the lags as they are now in `#deviations`. */
  #forecastDeviation(): number {
    let deviation = 0;
    for (let lag = 0; lag < LAGS; lag++) deviation += this.#coefficients[lag]! * this.#deviations[lag]!;
    return deviation;
  }

  #place(bin: number): number {
    return bin & (RING_SIZE - 1);
  }

  /** Of closed bins. */
  #countOf(firstBin: number, endBin: number): number {
    return this.#arrivedBefore[this.#place(endBin)]! - this.#arrivedBefore[this.#place(firstBin)]!;
  }

  #advance(nowMs: number): void {
    this.#binEndAtMs ??= nowMs + BIN_MS;
    // After ten silent seconds every bin is empty: the rest of a silence adds nothing.
    const skipped = Math.floor((nowMs - this.#binEndAtMs) / BIN_MS) - MEAN_BINS;
    for (let bin = 0; nowMs >= this.#binEndAtMs; bin++) {
      this.#close();
      this.#binEndAtMs += BIN_MS;
      if (bin === MEAN_BINS && skipped > 0) this.#binEndAtMs += skipped * BIN_MS;
    }
  }

  #close(): void {
    const place = this.#place(this.#closed);
    const arrived = this.#arrivedBefore[place]! + this.#open;
    this.#open = 0;
    this.#closed += 1;
    this.#arrivedBefore[this.#place(this.#closed)] = arrived;
    const bins = Math.min(this.#closed, MEAN_BINS);
    this.#meansPerSec[place] = (this.#countOf(this.#closed - bins, this.#closed) * 1000) / (bins * BIN_MS);
    if (this.#closed >= LAG_SPAN + LONG_HORIZON_BINS) this.#learn();
  }

  /** The second that has just ended, its first 400 ms, and what had been seen at its beginning. */
  #learn(): void {
    const beginning = this.#closed - LONG_HORIZON_BINS;
    const meanPerSec = this.#meansPerSec[this.#place(beginning - 1)]!;
    const deviationOver = (bins: number): number =>
      (this.#countOf(beginning, beginning + bins) * 1000) / (bins * BIN_MS) - meanPerSec;
    const target = deviationOver(HORIZON_BINS);
    this.#lagDeviations(beginning, meanPerSec, 0, 0);
    const forecast = this.#forecastDeviation();
    this.#forecastSquares = this.#forecastSquares * KEPT_PER_BIN + forecast * forecast;
    this.#forecastProducts = this.#forecastProducts * KEPT_PER_BIN + forecast * deviationOver(LONG_HORIZON_BINS);
    for (let row = 0; row < LAGS; row++) {
      const deviation = this.#deviations[row]!;
      for (let column = 0; column < LAGS; column++) {
        const at = row * LAGS + column;
        this.#moments[at] = this.#moments[at]! * KEPT_PER_BIN + deviation * this.#deviations[column]!;
      }
      this.#products[row] = this.#products[row]! * KEPT_PER_BIN + deviation * target;
    }
    // Coefficients change little within a horizon.
    if (this.#closed % HORIZON_BINS === 0) this.#solve();
  }

  /** Rates of the lags that end before a bin, less a mean; the latest lag with what the open bin has so far. */
  #lagDeviations(endBin: number, meanPerSec: number, openCount: number, openMs: number): void {
    let end = endBin;
    for (let lag = 0; lag < LAGS; lag++) {
      const bins = LAG_BINS[lag]!;
      const count = this.#countOf(end - bins, end) + (lag === 0 ? openCount : 0);
      const spanMs = bins * BIN_MS + (lag === 0 ? openMs : 0);
      this.#deviations[lag] = (count * 1000) / spanMs - meanPerSec;
      end -= bins;
    }
  }

  /** Gaussian elimination; the ridge keeps every pivot positive where anything has deviated. */
  #solve(): void {
    const width = LAGS + 1;
    const system = this.#system;
    for (let row = 0; row < LAGS; row++) {
      for (let column = 0; column < LAGS; column++) system[row * width + column] = this.#moments[row * LAGS + column]!;
      system[row * width + row] = system[row * width + row]! * (1 + RIDGE) + Number.MIN_VALUE;
      system[row * width + LAGS] = this.#products[row]!;
    }
    for (let pivot = 0; pivot < LAGS; pivot++) {
      for (let row = pivot + 1; row < LAGS; row++) {
        const factor = system[row * width + pivot]! / system[pivot * width + pivot]!;
        for (let column = pivot; column < width; column++) {
          system[row * width + column] = system[row * width + column]! - factor * system[pivot * width + column]!;
        }
      }
    }
    for (let row = LAGS - 1; row >= 0; row--) {
      let rest = system[row * width + LAGS]!;
      for (let column = row + 1; column < LAGS; column++) {
        rest -= system[row * width + column]! * this.#coefficients[column]!;
      }
      const coefficient = rest / system[row * width + row]!;
      this.#coefficients[row] = Number.isFinite(coefficient) ? coefficient : 0;
    }
  }
}
