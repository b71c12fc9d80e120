import { describe, expect, it } from 'vitest';
import { decades, niceTop, timeStep } from './axis.js';

describe('an axis', () => {
  it('ends at a round number that is not less, and wastes less than half', () => {
    expect([0.07, 1, 1.2, 7.9, 8.1, 16, 450].map(niceTop)).toEqual([0.08, 1, 1.5, 8, 10, 20, 500]);
    for (let value = 0.001; value < 1e6; value *= 1.07) {
      expect(niceTop(value)).toBeGreaterThanOrEqual(value * 0.999);
      expect(niceTop(value)).toBeLessThanOrEqual(value * 1.5001);
    }
  });

  it('ends at 1 when there is nothing to show', () => {
    expect([0, -3, NaN].map(niceTop)).toEqual([1, 1, 1]);
  });

  it('has round steps of time', () => {
    expect([0.004, 0.3, 7, 45, 3000, 9000].map(timeStep)).toEqual([0.01, 0.5, 10, 60, 3600, 10_800]);
  });

  it('has a tick at each power of ten', () => {
    expect(decades(10).map((tick) => Number(tick.toPrecision(6)))).toEqual([0.01, 0.1, 1, 10]);
  });
});
