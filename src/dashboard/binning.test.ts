import { describe, expect, it } from 'vitest';
import { binsOver, forEachBin, indexAt, quantileOf, sortedValues, stepBins } from './binning.js';
import { Columns } from './columns.js';

describe('bins', () => {
  it('are found by any instant within them, the right half too', () => {
    const beginnings = [0, 0.5, 1];
    expect([0, 0.2, 0.4, 0.5, 0.99, 7].map((x) => indexAt(beginnings, x))).toEqual([0, 0, 0, 1, 1, 2]);
    expect(indexAt(beginnings, -0.1)).toBeNull();
    expect(indexAt([], 1)).toBeNull();
  });

  it('begin at multiples of a round length and cover the range', () => {
    // 60 s in at most 60: 1 s each, and one more because the first begins before the range.
    expect(binsOver({ fromMs: 1_234_567, toMs: 1_294_567 }, 60)).toEqual({
      startMs: 1_234_000,
      binMs: 1000,
      count: 61,
    });
    // 10 s in at most 300 is 33.3 ms each: the next round length is 50 ms.
    expect(binsOver({ fromMs: 0, toMs: 10_000 }, 300)).toEqual({ startMs: 0, binMs: 50, count: 200 });
  });

  it('stay where they are while the range moves within one', () => {
    const starts = [0, 300, 700, 999].map((ms) => binsOver({ fromMs: ms, toMs: ms + 60_000 }, 60).startMs);
    expect(starts).toEqual([0, 0, 0, 0]);
  });

  it('are whole hours where the range is days', () => {
    const days = 7 * 86_400_000;
    expect(binsOver({ fromMs: 0, toMs: days }, 60).binMs).toBe(3 * 3_600_000);
  });
});

describe('a value that holds until the next one', () => {
  const bins = { startMs: 100, binMs: 100, count: 3 };

  it('is weighted by how long it was in force, from before the range too', () => {
    // 100 … 200: 2 for 50 ms, 6 for 50 ms → 4. 200 … 300: 6. 300 … 400: 6 for 25 ms, 0 for 75 ms → 1.5.
    const { mean, least, most } = stepBins(Float64Array.of(10, 150, 325), Float64Array.of(2, 6, 0), bins, 1000);
    expect(mean).toEqual([4, 6, 1.5]);
    expect(least).toEqual([2, 6, 0]);
    expect(most).toEqual([6, 6, 6]);
  });

  it('is unknown before its first row and from the end of what is known', () => {
    // Known from 150 to 230: the second bin counts its first 30 ms only.
    const { mean } = stepBins(Float64Array.of(150, 210), Float64Array.of(3, 9), bins, 230);
    expect(mean).toEqual([3, (3 * 10 + 9 * 20) / 30, null]);
  });

  it('takes the last of several at one instant', () => {
    const { mean, most } = stepBins(Float64Array.of(100, 100, 100), Float64Array.of(8, 5, 4), bins, 400);
    expect(mean).toEqual([4, 4, 4]);
    expect(most).toEqual([4, 4, 4]);
  });

  it('leaves a gap where it is not a number', () => {
    const { mean } = stepBins(Float64Array.of(0, 200), Float64Array.of(NaN, 1), bins, 400);
    expect(mean).toEqual([null, 1, 1]);
  });
});

describe('rows by bin', () => {
  it('are each in one, ends excluded', () => {
    const table = new Columns(['atMs'], 10);
    for (const atMs of [50, 100, 199, 200, 399, 400]) table.push({ atMs });
    const found: number[][] = [];
    forEachBin(table, { startMs: 100, binMs: 100, count: 3 }, 399, (_, from, to) => found.push([from, to]));
    // 399 is not before the end of what is known.
    expect(found).toEqual([
      [1, 3],
      [3, 4],
      [4, 4],
    ]);
  });
});

describe('quantiles', () => {
  it('are nearest ranks, without the values that are missing', () => {
    const sorted = sortedValues(Float64Array.of(9, 40, NaN, 10, 30, 20, 9), 1, 6);
    expect([...sorted]).toEqual([10, 20, 30, 40]);
    // Ranks ⌈0.5·4⌉ = 2 and ⌈0.99·4⌉ = 4.
    expect(quantileOf(sorted, 0)).toBe(10);
    expect(quantileOf(sorted, 0.5)).toBe(20);
    expect(quantileOf(sorted, 0.99)).toBe(40);
    expect(quantileOf(new Float64Array(0), 0.5)).toBeNull();
  });
});
