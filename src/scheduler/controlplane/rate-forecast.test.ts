import { describe, expect, it } from 'vitest';
import { Prng } from '../random/prng.js';
import { RateForecast } from './rate-forecast.js';

/** Poisson arrivals at a rate that may change with time. */
function feed(
  forecast: RateForecast,
  fromMs: number,
  toMs: number,
  ratePerSec: (atMs: number) => number,
  seed = 1,
): void {
  const prng = new Prng(seed);
  for (let atMs = fromMs; atMs < toMs; atMs += prng.exponential(1000 / ratePerSec(atMs))) forecast.observeArrival(atMs);
}

describe('what the last moments say of the next', () => {
  it('is next to nothing where arrivals have no memory', () => {
    const corrections = Array.from({ length: 40 }, (_, run) => {
      const forecast = new RateForecast();
      feed(forecast, 0, 120_000, () => 20, run + 1);
      return forecast.expectedRatePerSec(120_000, 20) - 20;
    });
    const meanSquare = corrections.reduce((sum, each) => sum + each * each, 0) / corrections.length;
    // The rate of the last 100 ms alone scatters by √(20/0.1) = 14 a second.
    expect(Math.sqrt(meanSquare)).toBeLessThan(3);
  });

  it('is a good deal where the rate stays high or low for seconds, and soon after a change', () => {
    const burst = (atMs: number): number => (Math.floor(atMs / 2000) % 2 === 0 ? 40 : 4);
    const meanExpected = (intoStateMs: number, state: 'high' | 'low'): number => {
      const expected = Array.from({ length: 40 }, (_, run) => {
        const forecast = new RateForecast();
        const nowMs = 120_000 + (state === 'high' ? 0 : 2000) + intoStateMs;
        feed(forecast, 0, nowMs, burst, run + 1);
        return forecast.expectedRatePerSec(nowMs, 22);
      });
      return expected.reduce((sum, each) => sum + each, 0) / expected.length;
    };
    expect(meanExpected(1000, 'high')).toBeGreaterThan(32);
    expect(meanExpected(400, 'high')).toBeGreaterThan(25);
    expect(meanExpected(1000, 'low')).toBeLessThan(14);
  });

  it('does not take a lasting change of the rate for a burst', () => {
    const forecast = new RateForecast();
    feed(forecast, 0, 100_000, () => 8);
    feed(forecast, 100_000, 160_000, () => 24);
    feed(forecast, 160_000, 180_000, () => 8);
    expect(Math.abs(forecast.expectedRatePerSec(180_000, 8) - 8)).toBeLessThan(4);
  });

  it('does not prepare for what is over before anybody has to be served: each second its requests at once', () => {
    const forecast = new RateForecast();
    const expected: number[] = [];
    for (let second = 0; second < 120; second++) {
      for (let i = 0; i < 20; i++) forecast.observeArrival(1000 * second + i);
      if (second > 60)
        for (const ms of [100, 500, 900]) expected.push(forecast.expectedRatePerSec(1000 * second + ms, 20));
    }
    for (const ratePerSec of expected) expect(Math.abs(ratePerSec - 20)).toBeLessThan(4);
  });

  it('does not judge before it has seen nine seconds, and survives silence', () => {
    const forecast = new RateForecast();
    feed(forecast, 0, 3000, (atMs) => (atMs < 1500 ? 1 : 100));
    expect(forecast.expectedRatePerSec(3000, 20)).toBe(20);
    expect(forecast.expectedRatePerSec(10_000_000, 0)).toBe(0);
    feed(forecast, 10_000_000, 10_020_000, () => 10);
    expect(forecast.expectedRatePerSec(10_020_000, 10)).toBeGreaterThanOrEqual(0);
  });
});
