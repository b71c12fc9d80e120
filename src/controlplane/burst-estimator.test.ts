import { describe, expect, it } from 'vitest';
import { Prng } from '../random/prng.js';
import { BurstEstimator } from './burst-estimator.js';

/** Poisson arrivals at a rate that may change with time. */
function feed(
  estimator: BurstEstimator,
  fromMs: number,
  toMs: number,
  ratePerSec: (atMs: number) => number,
  seed = 1,
): void {
  const prng = new Prng(seed);
  for (let atMs = fromMs; atMs < toMs; atMs += prng.exponential(1000 / ratePerSec(atMs)))
    estimator.observeArrival(atMs);
}

describe('what the last moment says of the next', () => {
  it('is nothing where arrivals have no memory', () => {
    const estimator = new BurstEstimator();
    feed(estimator, 0, 60_000, () => 20);
    expect(estimator.expectedRatePerSec(60_000, 20)).toBe(20);
  });

  it('is a good deal where the rate stays high or low for longer than a bin', () => {
    const estimator = new BurstEstimator();
    const burst = (atMs: number): number => (Math.floor(atMs / 2000) % 2 === 0 ? 40 : 4);
    feed(estimator, 0, 61_500, burst);
    // far into a high state, then far into a low one
    const inBurst = estimator.expectedRatePerSec(61_500, 22);
    expect(inBurst).toBeGreaterThan(27);
    feed(estimator, 61_500, 63_500, burst);
    expect(estimator.expectedRatePerSec(63_500, 22)).toBeLessThan(17);
  });

  it('does not judge before it has seen seven seconds, and survives silence', () => {
    const estimator = new BurstEstimator();
    feed(estimator, 0, 3000, (atMs) => (atMs < 1500 ? 1 : 100));
    expect(estimator.expectedRatePerSec(3000, 20)).toBe(20);
    expect(estimator.expectedRatePerSec(10_000_000, 0)).toBe(0);
  });
});
