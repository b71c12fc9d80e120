import { describe, expect, it } from 'vitest';
import { FailedLoads } from './failed-loads.js';

/** Looks until one is tried again, which is not among them. */
function looksWaited(loads: FailedLoads, stamp = 'a'): number {
  for (let looks = 0; looks < 1000; looks++) if (loads.mayTry('m', stamp)) return looks;
  return Infinity;
}

describe('files that could not be loaded', () => {
  it('are tried again after 1, 2, 4 … looks, at most 64, for ever', () => {
    const loads = new FailedLoads();
    const waits = Array.from({ length: 9 }, () => {
      loads.fail('m', 'a');
      return looksWaited(loads);
    });
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 64, 64]);
  });

  it('are tried at once when they have changed, were loaded meanwhile, or are there again', () => {
    const loads = new FailedLoads();
    loads.fail('m', 'a');
    loads.fail('m', 'a');
    expect(looksWaited(loads, 'b')).toBe(0);
    loads.fail('m', 'b');
    expect(looksWaited(loads, 'b')).toBe(1);
    loads.fail('m', 'b');
    loads.forget('m');
    expect(looksWaited(loads, 'b')).toBe(0);
    loads.fail('m', 'b');
    loads.keepOnly(new Set(['m']));
    expect(loads.mayTry('m', 'b')).toBe(false);
    loads.keepOnly(new Set());
    expect(loads.mayTry('m', 'b')).toBe(true);
  });
});
