import { normalCdf, standardNormal } from '../../scheduler/random/normal.js';
import { Prng } from '../../scheduler/random/prng.js';

/*
 * 4G bandwidth as the paper's trace has it, as much and as many of it as wanted: its one log lasts ten minutes, and a
 * policy tuned on ten minutes knows them by heart.
 *
 * A Gaussian copula. A stationary standard normal process has the log's memory; Φ and the log's quantile function turn
 * each of its values into a bandwidth with the log's distribution. Source of every target below: the statistics of
 * report_bus_0001.log of the Ghent 4G/LTE logs (607 seconds of HTTP download in a bus, 2015-12-16).
 */

export interface LteOptions {
  /** Length of the series, integer ≥ 0. */
  readonly seconds: number;
  /** Multiplies the bandwidth, > 0; 1 by default, a mean of 3450 bytes/ms. Does not move the levels of fades. */
  readonly meanScale?: number;
  /** Outages over and above those of the log; none by default. */
  readonly fades?: DeepFades;
}

/** Spells during which bandwidth is at most a level: a tunnel, a lift, a full cell. */
export interface DeepFades {
  /** Mean number that begin in a minute, ≥ 0; at random (Poisson). Where two overlap, the deeper one counts. */
  readonly perMinute: number;
  /** Whole seconds ≥ 1, least and most; uniform. */
  readonly durationSec: readonly [number, number];
  /** Level, least and most; uniform, one for each fade. */
  readonly bytesPerMs: readonly [number, number];
}

/**
 * Quantiles of the bandwidth: [probability, bytes/ms], linear between them. Published: 0, 1, 5, 50, 95 and 100 %. The
 * other five were fitted so that the mean is 3450, the coefficient of variation 0.375, and the logarithm has mean 8.063
 * and standard deviation 0.435, all as published (these knots: 3450.0, 0.3750, 8.0630, 0.4358), with slopes over the
 * normal score that change as little as possible.
 */
const QUANTILES: readonly (readonly [number, number])[] = [
  [0, 432],
  [0.01, 886],
  [0.05, 1328],
  [0.1, 1834],
  [0.25, 2621],
  [0.5, 3355],
  [0.75, 4200],
  [0.9, 5222],
  [0.95, 5801],
  [0.99, 6455],
  [1, 6999],
];

/*
 * The process: three independent parts of variance 1, weighted to variance 1. Published autocorrelation at lags 1, 2, 3,
 * 5, 10, 30 s: 0.746 0.630 0.520 0.436 0.155 0.063. It falls slowly to 5 s and steeply to 10 s, which no sum of AR(1)
 * processes does (every such sum is convex; the best misses by 0.04); the moving average, whose autocorrelation falls in
 * a straight line to 0 at its length, does. Fitted for the least largest miss after the quantile function, which costs
 * about 0.004: 0.743 0.615 0.536 0.420 0.171 0.068.
 */

/** Shares of the variance; their sum is 1. */
const FAST_SHARE = 0.33;
const WINDOW_SHARE = 0.5;
const SLOW_SHARE = 0.17;
/** AR(1): correlation of one second with the next. Forgets within 1 s … */
const FAST_PERSISTENCE = 0.38;
/** … and within half a minute. */
const SLOW_PERSISTENCE = 0.97;
/** Moving average over this many seconds. */
const WINDOW_SEC = 11;

/**
 * Bandwidth in bytes/ms (1 MB/s of 10^6 bytes is 1000), one value a second. A longer series begins with the shorter one;
 * fades have draws of their own, so that the same generator gives the same series underneath with and without them.
 */
export function lteBandwidth(prng: Prng, options: LteOptions): Float64Array {
  const { seconds, meanScale = 1, fades } = options;
  if (!Number.isInteger(seconds) || seconds < 0) throw new RangeError(`seconds must be an integer ≥ 0, got ${seconds}`);
  if (!(meanScale > 0 && meanScale < Infinity)) throw new RangeError(`meanScale must be > 0, got ${meanScale}`);
  // Drawn whether needed or not: the draws after it stay the same.
  const fadeSeed = prng.uint32();
  const bytesPerMs = new Float64Array(seconds);
  const nextScore = standardNormalProcess(prng);
  for (let second = 0; second < seconds; second += 1) {
    bytesPerMs[second] = meanScale * bytesPerMsQuantile(normalCdf(nextScore()));
  }
  if (fades !== undefined) overlayFades(bytesPerMs, fades, new Prng(fadeSeed));
  return bytesPerMs;
}

/** Stationary from its first value on: mean 0, variance 1. Each call is a second later. */
function standardNormalProcess(prng: Prng): () => number {
  const innovations = new Float64Array(WINDOW_SEC);
  // One short of full: the first call adds the last.
  for (let index = 1; index < WINDOW_SEC; index += 1) innovations[index] = standardNormal(prng);
  let oldest = 0;
  const nextFast = autoregression(prng, FAST_PERSISTENCE);
  const nextSlow = autoregression(prng, SLOW_PERSISTENCE);
  return () => {
    innovations[oldest] = standardNormal(prng);
    oldest = (oldest + 1) % WINDOW_SEC;
    // Summed afresh: a running sum would drift by its roundings.
    let sum = 0;
    for (const innovation of innovations) sum += innovation;
    return (
      Math.sqrt(FAST_SHARE) * nextFast() +
      Math.sqrt(WINDOW_SHARE / WINDOW_SEC) * sum +
      Math.sqrt(SLOW_SHARE) * nextSlow()
    );
  };
}

/** AR(1) of variance 1, begun in its stationary distribution. */
function autoregression(prng: Prng, persistence: number): () => number {
  const innovationScale = Math.sqrt(1 - persistence * persistence);
  let value = standardNormal(prng);
  return () => {
    value = persistence * value + innovationScale * standardNormal(prng);
    return value;
  };
}

function bytesPerMsQuantile(probability: number): number {
  let upper = 1;
  while (upper < QUANTILES.length - 1 && probability > QUANTILES[upper]![0]) upper += 1;
  const [fromProbability, from] = QUANTILES[upper - 1]!;
  const [toProbability, to] = QUANTILES[upper]!;
  return from + ((to - from) * (probability - fromProbability)) / (toProbability - fromProbability);
}

function overlayFades(bytesPerMs: Float64Array, fades: DeepFades, prng: Prng): void {
  const [minSec, maxSec] = fades.durationSec;
  const [minLevel, maxLevel] = fades.bytesPerMs;
  if (!(fades.perMinute >= 0 && fades.perMinute < Infinity)) {
    throw new RangeError(`fades.perMinute must be ≥ 0, got ${fades.perMinute}`);
  }
  if (!(Number.isInteger(minSec) && Number.isInteger(maxSec) && minSec >= 1 && maxSec >= minSec)) {
    throw new RangeError(`fades.durationSec must be whole seconds, 1 ≤ least ≤ most, got ${minSec} … ${maxSec}`);
  }
  if (!(minLevel >= 0 && maxLevel >= minLevel && maxLevel < Infinity)) {
    throw new RangeError(`fades.bytesPerMs must be 0 ≤ least ≤ most, got ${minLevel} … ${maxLevel}`);
  }
  if (fades.perMinute === 0) return;
  const meanGapSec = 60 / fades.perMinute;
  for (let atSec = prng.exponential(meanGapSec); atSec < bytesPerMs.length; atSec += prng.exponential(meanGapSec)) {
    const level = minLevel + (maxLevel - minLevel) * prng.uniform();
    const fromSec = Math.floor(atSec);
    const toSec = Math.min(bytesPerMs.length, fromSec + minSec + prng.int(maxSec - minSec + 1));
    for (let second = fromSec; second < toSec; second += 1) bytesPerMs[second] = Math.min(level, bytesPerMs[second]!);
  }
}
