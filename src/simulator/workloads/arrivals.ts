import type { Prng } from '../../scheduler/random/prng.js';

/*
 * When requests are sent. Every kind is open-loop: nobody waits for an answer before sending again, so an overloaded
 * server is not spared. Rates may be fractional.
 */

export type ArrivalSpec =
  | ConstantArrivals
  | PoissonArrivals
  | FrontLoadedArrivals
  | MmppArrivals
  | DiurnalArrivals
  | FlashCrowdArrivals
  | ListedRateArrivals;

/** Evenly spaced; the first after half a gap. */
export interface ConstantArrivals {
  readonly kind: 'constant';
  readonly ratePerSec: number;
}

/** Many independent senders: exponential gaps. */
export interface PoissonArrivals {
  readonly kind: 'poisson';
  readonly ratePerSec: number;
}

/**
 * The paper's load generator: at the start of each second n sends are begun, each after its own delay of Exp(mean 1/n s).
 * Delays do not add up, so half of a second's sends leave within 0.7/n s and the last is expected at H_n/n s (0.18 s for
 * n = 20); a few leave in the next second. With a fractional rate n alternates between the whole numbers around it.
 */
export interface FrontLoadedArrivals {
  readonly kind: 'front-loaded';
  readonly ratePerSec: number;
}

/**
 * Markov-modulated in kind: Poisson at a high and a low rate in turn, each for a uniform dwell time. Which comes first is
 * drawn, so that short runs too have the mean rate on average.
 */
export interface MmppArrivals {
  readonly kind: 'mmpp';
  /** Long-run mean. */
  readonly ratePerSec: number;
  /** The two rates have the ratio of these; not both 0. As time is shared evenly, their mean counts as `ratePerSec`. */
  readonly highFactor: number;
  readonly lowFactor: number;
  /** Least and most, > 0. */
  readonly dwellSec: readonly [number, number];
}

/** A day: the rate is a sinusoid that starts at its minimum. */
export interface DiurnalArrivals {
  readonly kind: 'diurnal';
  readonly minRatePerSec: number;
  readonly maxRatePerSec: number;
  readonly periodSec: number;
}

/** A rate that climbs in a straight line from `atSec` on, stays, and falls back in a straight line. */
export interface FlashCrowdArrivals {
  readonly kind: 'flash-crowd';
  readonly ratePerSec: number;
  readonly peakRatePerSec: number;
  readonly atSec: number;
  readonly rampSec: number;
  readonly holdSec: number;
  readonly decaySec: number;
}

/** A recorded rate for each second, Poisson within it. */
export interface ListedRateArrivals {
  readonly kind: 'rates';
  readonly ratesPerSec: readonly number[];
  /** After the list: true for the list again, false for silence. */
  readonly repeat: boolean;
}

/** Send instants in [0, durationMs), ascending. The same for the same generator, always. @param durationMs ≥ 0 */
export function sendInstants(spec: ArrivalSpec, durationMs: number, prng: Prng): Float64Array {
  assertAtLeastZero(durationMs, 'durationMs');
  switch (spec.kind) {
    case 'constant':
      return constant(spec, durationMs);
    case 'poisson':
      return poisson(spec, durationMs, prng);
    case 'front-loaded':
      return frontLoaded(spec, durationMs, prng);
    case 'mmpp':
      return mmpp(spec, durationMs, prng);
    case 'diurnal':
      return diurnal(spec, durationMs, prng);
    case 'flash-crowd':
      return flashCrowd(spec, durationMs, prng);
    case 'rates':
      return listedRates(spec, durationMs, prng);
  }
}

function constant({ ratePerSec }: ConstantArrivals, durationMs: number): Float64Array {
  assertAtLeastZero(ratePerSec, 'ratePerSec');
  const instants: number[] = [];
  // With a rate of 0 the first instant is Infinity.
  for (let atMs = 500 / ratePerSec; atMs < durationMs; atMs = ((instants.length + 0.5) * 1000) / ratePerSec) {
    instants.push(atMs);
  }
  return Float64Array.from(instants);
}

function poisson({ ratePerSec }: PoissonArrivals, durationMs: number, prng: Prng): Float64Array {
  assertAtLeastZero(ratePerSec, 'ratePerSec');
  const instants: number[] = [];
  addPoisson(instants, 0, durationMs, ratePerSec, prng);
  return Float64Array.from(instants);
}

function frontLoaded({ ratePerSec }: FrontLoadedArrivals, durationMs: number, prng: Prng): Float64Array {
  assertAtLeastZero(ratePerSec, 'ratePerSec');
  const instants: number[] = [];
  for (let second = 0; second * 1000 < durationMs; second += 1) {
    const count = Math.floor(ratePerSec * (second + 1)) - Math.floor(ratePerSec * second);
    for (let send = 0; send < count; send += 1) {
      const atMs = second * 1000 + prng.exponential(1000 / count);
      if (atMs < durationMs) instants.push(atMs);
    }
  }
  return Float64Array.from(instants).sort();
}

function mmpp(spec: MmppArrivals, durationMs: number, prng: Prng): Float64Array {
  const { ratePerSec, highFactor, lowFactor } = spec;
  const [minDwellSec, maxDwellSec] = spec.dwellSec;
  assertAtLeastZero(ratePerSec, 'ratePerSec');
  assertAtLeastZero(highFactor, 'highFactor');
  assertAtLeastZero(lowFactor, 'lowFactor');
  assertAtLeastZero(maxDwellSec, 'dwellSec');
  if (!(minDwellSec > 0 && maxDwellSec >= minDwellSec)) {
    throw new RangeError(`dwellSec must be 0 < least ≤ most, got ${minDwellSec} … ${maxDwellSec}`);
  }
  if (highFactor + lowFactor === 0)
    throw new RangeError('highFactor and lowFactor are both 0; then no rate has a mean');
  const baseRatePerSec = ratePerSec / ((highFactor + lowFactor) / 2);
  const instants: number[] = [];
  let isHigh = prng.int(2) === 1;
  for (let startMs = 0; startMs < durationMs; isHigh = !isHigh) {
    const dwellMs = 1000 * (minDwellSec + (maxDwellSec - minDwellSec) * prng.uniform());
    const endMs = Math.min(durationMs, startMs + dwellMs);
    addPoisson(instants, startMs, endMs, baseRatePerSec * (isHigh ? highFactor : lowFactor), prng);
    startMs = endMs;
  }
  return Float64Array.from(instants);
}

function diurnal(spec: DiurnalArrivals, durationMs: number, prng: Prng): Float64Array {
  const { minRatePerSec, maxRatePerSec, periodSec } = spec;
  assertAtLeastZero(minRatePerSec, 'minRatePerSec');
  assertAtLeastZero(maxRatePerSec, 'maxRatePerSec');
  if (maxRatePerSec < minRatePerSec) {
    throw new RangeError(`maxRatePerSec ${maxRatePerSec} is below minRatePerSec ${minRatePerSec}`);
  }
  if (!(periodSec > 0)) throw new RangeError(`periodSec must be > 0, got ${periodSec}`);
  const middle = (minRatePerSec + maxRatePerSec) / 2;
  const amplitude = (maxRatePerSec - minRatePerSec) / 2;
  // Engines may differ in the last bit of a cosine: once in 10^15 candidates that would decide differently.
  const rateAt = (atSec: number): number => middle - amplitude * Math.cos((2 * Math.PI * atSec) / periodSec);
  return thinned(rateAt, maxRatePerSec, durationMs, prng);
}

function flashCrowd(spec: FlashCrowdArrivals, durationMs: number, prng: Prng): Float64Array {
  const { ratePerSec, peakRatePerSec, atSec, rampSec, holdSec, decaySec } = spec;
  for (const name of ['ratePerSec', 'peakRatePerSec', 'atSec', 'rampSec', 'holdSec', 'decaySec'] as const) {
    assertAtLeastZero(spec[name], name);
  }
  const holdAtSec = atSec + rampSec;
  const decayAtSec = holdAtSec + holdSec;
  const overAtSec = decayAtSec + decaySec;
  const rise = peakRatePerSec - ratePerSec;
  const rateAt = (nowSec: number): number => {
    if (nowSec < atSec || nowSec >= overAtSec) return ratePerSec;
    if (nowSec < holdAtSec) return ratePerSec + (rise * (nowSec - atSec)) / rampSec;
    return nowSec < decayAtSec ? peakRatePerSec : ratePerSec + (rise * (overAtSec - nowSec)) / decaySec;
  };
  return thinned(rateAt, Math.max(ratePerSec, peakRatePerSec), durationMs, prng);
}

function listedRates({ ratesPerSec, repeat }: ListedRateArrivals, durationMs: number, prng: Prng): Float64Array {
  if (ratesPerSec.length === 0) throw new RangeError('ratesPerSec is empty; give at least one rate');
  for (const rate of ratesPerSec) assertAtLeastZero(rate, 'ratesPerSec');
  const instants: number[] = [];
  const endMs = repeat ? durationMs : Math.min(durationMs, ratesPerSec.length * 1000);
  for (let second = 0; second * 1000 < endMs; second += 1) {
    const ratePerSec = ratesPerSec[second % ratesPerSec.length]!;
    addPoisson(instants, second * 1000, Math.min(endMs, (second + 1) * 1000), ratePerSec, prng);
  }
  return Float64Array.from(instants);
}

/**
 * Adds a Poisson process at one rate over [startMs, endMs). Pieces in a row make one process: exponential gaps have no
 * memory, so each piece may begin its first gap at its own start.
 */
function addPoisson(instants: number[], startMs: number, endMs: number, ratePerSec: number, prng: Prng): void {
  if (ratePerSec === 0) return;
  const meanGapMs = 1000 / ratePerSec;
  for (let atMs = startMs + prng.exponential(meanGapMs); atMs < endMs; atMs += prng.exponential(meanGapMs)) {
    instants.push(atMs);
  }
}

/**
 * A Poisson process whose rate varies, by thinning (Lewis & Shedler, 1979): candidates at the highest rate, each kept
 * with probability rate/highest. @param rateAt requests/s at an instant in seconds, ≤ `maxRatePerSec`
 */
function thinned(
  rateAt: (atSec: number) => number,
  maxRatePerSec: number,
  durationMs: number,
  prng: Prng,
): Float64Array {
  const candidates: number[] = [];
  addPoisson(candidates, 0, durationMs, maxRatePerSec, prng);
  return Float64Array.from(candidates.filter((atMs) => prng.uniform() * maxRatePerSec < rateAt(atMs / 1000)));
}

function assertAtLeastZero(value: number, name: string): void {
  if (!(value >= 0 && value < Infinity)) throw new RangeError(`${name} must be finite and ≥ 0, got ${value}`);
}
