import { describe, expect, it } from 'vitest';
import { linearTicks, logAxis, logTicks, readable } from './svg-axis.js';

describe('the axes of a plot', () => {
  it('labels 1, 2 and 5 of each decade, and only decades where those are too many', () => {
    expect(logTicks(3, 60)).toEqual([5, 10, 20, 50]);
    expect(logTicks(0.1, 1000)).toEqual([0.1, 1, 10, 100, 1000]);
  });

  it('labels an axis from zero with round steps up to the value that covers everything', () => {
    expect(linearTicks(41)).toEqual([0, 10, 20, 30, 40, 50]);
    expect(linearTicks(0.3)).toEqual([0, 0.1, 0.2, 0.3]);
    expect(linearTicks(7)).toEqual([0, 2, 4, 6, 8]);
  });

  it('leaves out labels that would touch, but never the largest', () => {
    const axis = logAxis(1, 16, 1, 0, 100);
    // 1, 2, 3, 4, 16 lie at 0, 25, 39.6, 50, 100.
    expect(readable([1, 2, 3, 4, 16], axis, 20)).toEqual([1, 2, 4, 16]);
  });
});
