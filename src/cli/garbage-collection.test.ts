import { describe, expect, it } from 'vitest';
import { oldGrowthPercent } from './garbage-collection.js';

const MIB = 2 ** 20;

describe('the growth of the old generation', () => {
  it('is as many bytes whatever lives, and left to V8 where those are little beside it', () => {
    expect(oldGrowthPercent(32 * MIB)).toBe(200);
    expect(oldGrowthPercent(64 * MIB)).toBe(100);
    expect(oldGrowthPercent(128 * MIB)).toBe(50);
    expect(oldGrowthPercent(200 * MIB)).toBe(0);
  });
});
