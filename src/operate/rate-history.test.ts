import { describe, expect, it } from 'vitest';
import { Prng } from '../scheduler/random/prng.js';
import { normalQuantile } from './normal-quantile.js';
import { RateHistory } from './rate-history.js';

function history(counts: readonly number[]): { readonly of: RateHistory; readonly nowMs: number } {
  const of = new RateHistory();
  counts.forEach((count, index) => of.observe(1000 * (index + 1), count, 1000));
  return { of, nowMs: 1000 * counts.length };
}

function seconds(count: number, value: (second: number) => number): number[] {
  return Array.from({ length: count }, (_, index) => value(index));
}

describe('the rate of arrivals', () => {
  it('is that of the minute while nothing changes beyond chance', () => {
    const { of, nowMs } = history(seconds(60, (second) => (second % 2 === 0 ? 18 : 22)));
    expect(of.ratePerSec(nowMs)).toBe(20);
  });

  it('is that of the last second where it has jumped', () => {
    const { of, nowMs } = history([...seconds(59, () => 20), 120]);
    expect(of.ratePerSec(nowMs)).toBe(120);
  });

  it('is that of the last ten seconds where it has changed since', () => {
    const { of, nowMs } = history([...seconds(50, () => 20), ...seconds(10, () => 45)]);
    expect(of.ratePerSec(nowMs)).toBe(45);
  });

  it('falls as fast', () => {
    const { of, nowMs } = history([...seconds(57, () => 100), 0, 0, 0]);
    expect(of.ratePerSec(nowMs)).toBe(0);
  });

  it('is 0 before the first', () => {
    expect(new RateHistory().ratePerSec(5000)).toBe(0);
  });
});

describe('its spread', () => {
  it('of random arrivals is about 1, however long one jump of the rate', () => {
    const prng = new Prng(7);
    const poisson = (mean: number): number => {
      let count = 0;
      for (let at = prng.exponential(1 / mean); at < 1; at += prng.exponential(1 / mean)) count += 1;
      return count;
    };
    const { of } = history([...seconds(30, () => poisson(40)), ...seconds(30, () => poisson(160))]);
    expect(of.dispersion()).toBeGreaterThanOrEqual(1);
    expect(of.dispersion()).toBeLessThan(2.5);
  });

  it('of bursts is more, within bounds', () => {
    const { of } = history(seconds(60, (second) => (second % 2 === 0 ? 0 : 60)));
    expect(of.dispersion()).toBe(16);
  });
});

describe('a rise', () => {
  it('is the slope of a ramp', () => {
    const { of, nowMs } = history(seconds(60, (second) => 100 + 5 * second));
    expect(of.risePerSec2(nowMs)).toBeCloseTo(5, 6);
  });

  it('is not one jump, nor noise, nor a fall', () => {
    const jump = history([...seconds(45, () => 20), ...seconds(15, () => 200)]);
    expect(jump.of.risePerSec2(jump.nowMs)).toBeLessThan(1e-9);
    const noise = history(seconds(60, (second) => 50 + ((second * 37) % 11)));
    expect(noise.of.risePerSec2(noise.nowMs)).toBe(0);
    const fall = history(seconds(60, (second) => 400 - 5 * second));
    expect(fall.of.risePerSec2(fall.nowMs)).toBe(0);
  });
});

it.each([
  [0.5, 0],
  [0.95, 1.644854],
  [0.99, 2.326348],
  [0.999, 3.090232],
])('a normal variable is below z with probability %s: %s', (probability, z) => {
  expect(normalQuantile(probability)).toBeCloseTo(z, 5);
});
