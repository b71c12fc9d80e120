import { describe, expect, it } from 'vitest';
import { roundTicks, ticksWithin } from './ticks.js';

describe('ticks', () => {
  it('are round, evenly spaced and enclose what is shown', () => {
    expect(roundTicks(0, 41, 5)).toEqual([0, 10, 20, 30, 40, 50]);
    expect(roundTicks(0, 16, 4)).toEqual([0, 5, 10, 15, 20]);
    expect(roundTicks(3371, 5911, 6)).toEqual([3000, 3500, 4000, 4500, 5000, 5500, 6000]);
    expect(roundTicks(0, 0.3, 3)).toEqual([0, 0.1, 0.2, 0.3]);
    expect(roundTicks(4110, 4110, 4)).toEqual([4000, 6000]);
    expect(roundTicks(0, 0, 4)).toEqual([0, 0.25]);
  });

  it('within an axis do not pass its end', () => {
    expect(ticksWithin(16, 4)).toEqual([0, 5, 10, 15]);
    expect(ticksWithin(0, 4)).toEqual([0]);
  });
});
