import { describe, expect, it } from 'vitest';
import { DecayingHistogram } from './decaying-histogram.js';

const HOUR_MS = 3_600_000;

/** Buckets from 0, 1, 3, 7, 15 on. */
function doubling(): DecayingHistogram {
  return new DecayingHistogram({ firstBucketSize: 1, ratio: 2, maxValue: 15, halfLifeMs: HOUR_MS });
}

describe('a decaying histogram', () => {
  it('is 0 where there are no samples', () => {
    expect(doubling().quantile(0.9)).toBe(0);
  });

  it('answers with the end of the bucket, and with the start of the last one', () => {
    const endOf = (value: number): number => {
      const histogram = doubling();
      histogram.add(value, 1, 0);
      return histogram.quantile(0.9);
    };
    expect([0, 0.9, 1, 2.9, 3, 14.9, 15, 1000].map(endOf)).toEqual([1, 1, 3, 3, 7, 15, 15, 15]);
  });

  it('finds the quantile by weight', () => {
    const histogram = doubling();
    histogram.add(0, 9, 0);
    histogram.add(4, 1, 0);
    expect(histogram.quantile(0.9)).toBe(1);
    histogram.add(4, 0.01, 0);
    expect(histogram.quantile(0.9)).toBe(7);
  });

  it('lets a sample count half after each half-life', () => {
    const histogram = doubling();
    histogram.add(4, 4, 0);
    // Two hours later the first counts 1 of 2, one ms more and it counts less.
    histogram.add(0, 1, 2 * HOUR_MS);
    expect(histogram.quantile(0.5)).toBe(1);
    expect(histogram.quantile(0.51)).toBe(7);
    histogram.add(0, 3, 2 * HOUR_MS);
    expect(histogram.quantile(0.8)).toBe(1);
    expect(histogram.quantile(0.81)).toBe(7);
  });

  it('has the 176 buckets of 5 % that a recommender uses: one core is in the one that ends at 1.016', () => {
    const histogram = new DecayingHistogram({
      firstBucketSize: 0.01,
      ratio: 1.05,
      maxValue: 1000,
      halfLifeMs: HOUR_MS,
    });
    histogram.add(1, 1, 0);
    // 0.01 · (1.05³⁷ − 1) / 0.05.
    expect(histogram.quantile(0.9)).toBeCloseTo(1.01628, 5);
  });
});
