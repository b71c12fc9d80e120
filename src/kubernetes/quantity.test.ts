import { describe, expect, it } from 'vitest';
import { cpuQuantity, millicoresOf } from './quantity.js';

describe('CPU quantities', () => {
  it.each([
    ['1500m', 1500],
    ['1.5', 1500],
    ['2', 2000],
    [2, 2000],
    ['.1', 100],
    ['0.29', 290],
    ['1k', 1_000_000],
    ['100u', 1],
    ['250000000n', 250],
    ['1e3m', null],
    ['2e0', 2000],
    ['15e-1', 1500],
    ['', null],
    [undefined, null],
    ['-1', null],
    ['1Gi', null],
    ['NaN', null],
  ])('%s is %s millicores', (text, millicores) => {
    expect(millicoresOf(text)).toBe(millicores);
  });

  it('are written as the API server writes them back', () => {
    expect([0, 100, 1000, 1500].map(cpuQuantity)).toEqual(['0', '100m', '1', '1500m']);
    for (let millicores = 1; millicores < 5000; millicores += 37) {
      expect(millicoresOf(cpuQuantity(millicores))).toBe(millicores);
    }
  });
});
