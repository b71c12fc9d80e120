import { describe, expect, it } from 'vitest';
import { loadCarried } from './node-experiment.js';

describe('the load that is carried', () => {
  const loads = [0.5, 0.6, 0.7];

  it.each([
    // Half-way from 0.5 to 1.5 % is 1 %.
    [[0, 0.005, 0.015], 0.65],
    [[0, 0, 0.01], 0.7],
    [[0.02, 0.03, 0.04], null],
    // What comes after the first load that is not carried does not count.
    [[0, 0.02, 0], 0.55],
  ] as const)('at %j lost is %s', (lost, carried) => {
    if (carried === null) expect(loadCarried(loads, lost)).toBeNull();
    else expect(loadCarried(loads, lost)).toBeCloseTo(carried, 9);
  });
});
