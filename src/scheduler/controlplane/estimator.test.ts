import { describe, expect, it } from 'vitest';
import { Estimator } from './estimator.js';

describe('the arrival rate', () => {
  it('is zero before any arrival', () => {
    expect(new Estimator().forecast(5000).arrivalRatePerSec).toBe(0);
  });

  it('is the mean over the last two seconds of a steady stream', () => {
    const estimator = new Estimator();
    for (let atMs = 0; atMs < 10_000; atMs += 50) estimator.observeArrival(atMs, 500);
    // 20 an s; the window starts on a bucket edge: 1.9 s + the part of the current bucket.
    expect(estimator.forecast(9999).arrivalRatePerSec).toBeCloseTo(20, 1);
  });

  it('forgets arrivals that left the window', () => {
    const estimator = new Estimator();
    for (let atMs = 0; atMs < 1000; atMs += 10) estimator.observeArrival(atMs, 500);
    expect(estimator.forecast(1000).arrivalRatePerSec).toBeCloseTo(100, 0);
    expect(estimator.forecast(4000).arrivalRatePerSec).toBe(0);
  });

  it('is that of the last minute in the long run, and of the last ten seconds once they differ by more than chance', () => {
    const estimator = new Estimator();
    for (let atMs = 0; atMs < 60_000; atMs += 50) estimator.observeArrival(atMs, 500);
    expect(estimator.forecast(59_999).steadyRatePerSec).toBeCloseTo(20, 0);
    for (let atMs = 60_000; atMs < 62_000; atMs += 25) estimator.observeArrival(atMs, 500);
    // 8 s of 20/s and 2 s of 40/s: 240 instead of 207, 2.3 deviations of √207
    expect(estimator.forecast(61_999).steadyRatePerSec).toBeCloseTo(20.7, 0);
    for (let atMs = 62_000; atMs < 64_000; atMs += 25) estimator.observeArrival(atMs, 500);
    // 6 s of 20/s and 4 s of 40/s: 280 instead of 213, 4.6 deviations
    const { arrivalRatePerSec, steadyRatePerSec } = estimator.forecast(63_999);
    expect(arrivalRatePerSec).toBeCloseTo(40, 0);
    expect(steadyRatePerSec).toBeCloseTo(28, 0);
  });

  it('does not take the first arrivals for a flood', () => {
    const estimator = new Estimator();
    estimator.observeArrival(0, 500);
    estimator.observeArrival(1, 500);
    expect(estimator.forecast(2).arrivalRatePerSec).toBe(2 / 0.5);
  });
});
