import { describe, expect, it } from 'vitest';
import { grantable, limitsWithin, wholeCores } from './allocations.js';

const FINE = { minMillicores: 200, maxMillicores: 1750, stepMillicores: 50 };

describe('grantable allocations', () => {
  it('are the next step up, within the limits', () => {
    expect([0, 200, 201, 1000, 1149, 1750, 9000].map((millicores) => grantable(millicores, FINE))).toEqual([
      200, 200, 250, 1000, 1150, 1750, 1750,
    ]);
    expect(grantable(1701, { ...FINE, stepMillicores: 400 })).toBe(1750);
  });

  it('within a share of them are the steps that fit into it, the least one always', () => {
    const largestWithin = (millicores: number): number => limitsWithin(millicores, FINE).maxMillicores;
    expect([0, 249, 250, 1001, 1749, 1750, 9000].map(largestWithin)).toEqual([200, 200, 250, 1000, 1700, 1750, 1750]);
  });

  it('have as many whole cores as fit, and the largest one where there is not one', () => {
    expect(wholeCores({ minMillicores: 1000, maxMillicores: 3500, stepMillicores: 500 })).toEqual([1000, 2000, 3000]);
    expect(wholeCores({ minMillicores: 100, maxMillicores: 700, stepMillicores: 100 })).toEqual([700]);
    // 900 + 3 · 400 is the first step that is no less than two cores.
    expect(wholeCores({ minMillicores: 900, maxMillicores: 2500, stepMillicores: 400 })).toEqual([1300, 2100]);
  });
});
