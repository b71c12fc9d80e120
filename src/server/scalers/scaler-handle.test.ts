import { describe, expect, it } from 'vitest';
import { quotaLimits } from './scaler-handle.js';

/** On two CPUs. */
function limitsOf(ceilingMillicores: number, periodUs: number, limits = {}) {
  const ceiling = { millicores: ceilingMillicores, cpus: [0, 1], limitedBy: 'the test' };
  return quotaLimits({ groupName: 'test', periodUs, ceiling, limits, onWarning: () => undefined });
}

describe('the limits of a quota', () => {
  it('go up to all cores, which are shared by weight, and down to one step', () => {
    // 100 millicores of 10 ms are 1000 µs, the least quota.
    expect(limitsOf(2000, 10_000)).toEqual({ minMillicores: 100, maxMillicores: 2000, stepMillicores: 100 });
  });

  it('keep a quarter core of an enclosing quota for the router, which it would stop too', () => {
    expect(limitsOf(1900, 10_000).maxMillicores).toBe(1650);
  });

  it('raise the floor where a short period makes one step less than the least quota', () => {
    // 1000 µs of 3000 µs are 333.3 millicores, rounded up to a step.
    expect(limitsOf(2000, 3000).minMillicores).toBe(400);
  });

  it('can be narrowed but not widened', () => {
    expect(limitsOf(2000, 10_000, { maxMillicores: 1000 }).maxMillicores).toBe(1000);
    expect(limitsOf(2000, 10_000, { maxMillicores: 4000 }).maxMillicores).toBe(2000);
  });

  it('are one point where the router’s share leaves nothing', () => {
    expect(limitsOf(300, 10_000)).toMatchObject({ minMillicores: 100, maxMillicores: 100 });
  });
});
