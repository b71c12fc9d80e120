import { describe, expect, it } from 'vitest';
import { logAxis, logTicks, readable } from './svg-axis.js';

describe('the axes of a plot', () => {
  it('labels 1, 2 and 5 of each decade, and only decades where those are too many', () => {
    expect(logTicks(3, 60)).toEqual([5, 10, 20, 50]);
    expect(logTicks(0.1, 1000)).toEqual([0.1, 1, 10, 100, 1000]);
  });

  it('leaves out labels that would touch, but never the largest', () => {
    const axis = logAxis(1, 16, 1, 0, 100);
    // 1, 2, 3, 4, 16 lie at 0, 25, 39.6, 50, 100.
    expect(readable([1, 2, 3, 4, 16], axis, 20)).toEqual([1, 2, 4, 16]);
  });
});
