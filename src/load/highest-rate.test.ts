import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { highestRate, type RateFound } from './highest-rate.js';

/** A server that keeps up with any rate to its capacity, and then misses half. */
function search(capacityPerSec: number, fromRatePerSec: number, mostRatePerSec = 10_000): Promise<RateFound> {
  return highestRate({
    fromRatePerSec,
    mostRatePerSec,
    mostViolations: 0.01,
    resolution: 0.05,
    tryRate: (ratePerSec) => Promise.resolve(ratePerSec <= capacityPerSec ? 0.01 : 0.5),
  });
}

describe('the highest rate', () => {
  it('is doubled until it fails, then narrowed by geometric means', async () => {
    const { trials, sustainedPerSec, failedPerSec } = await search(30, 10);
    // 10, 20 | 40 | √800 = 28.3 | √(40 · 28.3) = 33.6 | √(28.3 · 33.6) = 30.8 | √(28.3 · 30.8) = 29.5 | 30.8 / 29.5 < 1.05
    expect(trials.map(({ ratePerSec }) => Number(ratePerSec.toFixed(1)))).toEqual([10, 20, 40, 28.3, 33.6, 30.8, 29.5]);
    expect(sustainedPerSec).toBeCloseTo(29.5, 1);
    expect(failedPerSec).toBeCloseTo(30.8, 1);
  });

  it('brackets the capacity within the resolution, wherever it begins', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.double({ min: 0.5, max: 4000, noNaN: true }),
        fc.double({ min: 0.2, max: 5000, noNaN: true }),
        async (capacity, from) => {
          const { sustainedPerSec, failedPerSec, trials } = await search(capacity, from);
          expect(sustainedPerSec!).toBeLessThanOrEqual(capacity);
          expect(failedPerSec!).toBeGreaterThan(capacity);
          expect(failedPerSec! / sustainedPerSec!).toBeLessThanOrEqual(1.05);
          expect(trials.length).toBeLessThan(40);
        },
      ),
    );
  });

  it('ends where it is told to, with what is known by then', async () => {
    let left = 3;
    const found = await highestRate({
      ...{ fromRatePerSec: 10, mostRatePerSec: 1000, mostViolations: 0.01, resolution: 0.05 },
      tryRate: (ratePerSec) => Promise.resolve(left-- === 0 ? null : Number(ratePerSec > 30)),
    });
    // 10 and 20 are sustained, 40 is not; the fourth is not tried.
    expect(found).toMatchObject({ sustainedPerSec: 20, failedPerSec: 40, isCutShort: true });
    expect(found.trials).toHaveLength(3);
  });

  it('ends at the most that is to be tried, and gives up below a tenth of a request a second', async () => {
    expect(await search(1e9, 10, 50)).toMatchObject({ sustainedPerSec: 50, failedPerSec: null });
    expect(await search(0, 1)).toMatchObject({ sustainedPerSec: null });
  });
});
