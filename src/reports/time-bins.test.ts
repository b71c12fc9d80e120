import { describe, expect, it } from 'vitest';
import { binLengthSec, binned, durationText, timeUnit } from './time-bins.js';

describe('bins', () => {
  it('are seconds in a short run, and round lengths, 240 at most, in a long one', () => {
    expect([60, 240, 241, 600, 3600, 86_400, 7 * 86_400].map(binLengthSec)).toEqual([1, 1, 2, 5, 15, 600, 3600]);
    for (const seconds of [1, 500, 3600, 100_000, 604_800, 1e8]) {
      expect(seconds / binLengthSec(seconds)).toBeLessThanOrEqual(240);
    }
  });

  it('keep the mean, the least and the most', () => {
    expect(binned([1, 2, 6, 4, 5], 2)).toEqual([
      { fromSec: 0, mean: 1.5, least: 1, most: 2 },
      { fromSec: 2, mean: 5, least: 4, most: 6 },
      { fromSec: 4, mean: 5, least: 5, most: 5 },
    ]);
    expect(binned([], 5)).toEqual([]);
  });
});

describe('durations', () => {
  it('are told in the unit of their size', () => {
    expect([120, 600, 3600, 4 * 3600].map((seconds) => timeUnit(seconds).name)).toEqual(['s', 'min', 'min', 'h']);
    expect([0.5, 1, 90, 120, 600, 3600, 7200].map(durationText)).toEqual([
      '0.5 s',
      '1 s',
      '90 s',
      '2 min',
      '10 min',
      '60 min',
      '2 h',
    ]);
  });
});
