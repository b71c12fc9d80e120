import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { priceOfLosses, type LossQuestion } from './loss-price.js';

/** The rate that one instance is asked to keep up with, without the safety on top: requests per ms. */
const SAFETY = 1.15;

/** 10 + 30·n ms; whoever comes in the last 40 ms of a run is met all the same, of the others the more are lost the longer it is. */
const question: LossQuestion = {
  runMs: (batchSize) => 10 + 30 * batchSize,
  maxBatchSize: 4,
  ratePerMs: 1 / 35,
  instanceCount: 1,
  lostBy: (runMs) => 0.00005 * Math.max(0, runMs - 40) ** 2,
};

const at = (ratePerMs: number, instanceCount = 1): number =>
  priceOfLosses({ ...question, ratePerMs: ratePerMs / SAFETY, instanceCount });

describe('the price of time by what is lost for want of it', () => {
  it('is nothing while requests that run alone keep up', () => {
    // One takes 40 ms, and loses nobody.
    expect(at(1 / 40)).toBe(0);
    expect(at(0)).toBe(0);
  });

  it('is what a longer batch loses more for the time that it saves', () => {
    // Two take 35 ms each and lose 0.0225 each: that much in 5 ms. Three take 33.3 and lose 0.06.
    expect(at(1 / 39)).toBeCloseTo(0.0045, 9);
    expect(at(1 / 35)).toBeCloseTo(0.0045, 9);
    expect(at(1 / 34.9)).toBeCloseTo(0.0225, 9);
    expect(at(3 / 100)).toBeCloseTo(0.0225, 9);
  });

  it('is what the time of one could still do, where some have to be given up', () => {
    // Four would take 32.5 ms each and lose 0.10: to give up one in forty costs less.
    expect(at(1 / 33)).toBeCloseTo(0.94 / (100 / 3), 9);
    expect(at(10)).toBeCloseTo(0.94 / (100 / 3), 9);
  });

  it('counts all instances', () => {
    expect(at(3 / 39, 3)).toBeCloseTo(0.0045, 9);
    expect(at(3 / 40, 3)).toBe(0);
  });

  it('is nothing where no time saved would save anyone', () => {
    expect(priceOfLosses({ ...question, ratePerMs: 1, lostBy: () => 5 })).toBe(0);
  });

  it('is the multiplier of the least mean loss, found by trying all mixtures of two', () => {
    const sizes = fc.array(
      fc.record({ longer: fc.integer({ min: 1, max: 60 }), lost: fc.integer({ min: 0, max: 40 }) }),
      {
        minLength: 1,
        maxLength: 8,
      },
    );
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 80 }), (steps, mostMs) => {
        const tookMs: number[] = [];
        for (const { longer } of steps) tookMs.push((tookMs.at(-1) ?? 0) + longer);
        const lost = new Map(steps.map((step, index) => [tookMs[index]!, step.lost / 30]));
        const price = priceOfLosses({
          runMs: (batchSize) => tookMs[batchSize - 1]!,
          maxBatchSize: steps.length,
          ratePerMs: 1 / mostMs / SAFETY,
          instanceCount: 1,
          lostBy: (runMs) => lost.get(runMs)!,
        });
        expect(price).toBeGreaterThanOrEqual(0);
        const points = [
          { timeMs: 0, lost: 1 },
          ...tookMs.map((took, index) => ({ timeMs: took / (index + 1), lost: lost.get(took)! / (index + 1) })),
        ];
        // Strong duality: with the price on time, the cheapest point is worth what the best mixture within the time loses.
        const dual = Math.min(...points.map(({ timeMs, lost: its }) => its + price * (timeMs - mostMs)));
        expect(dual).toBeCloseTo(leastLoss(points, mostMs), 7);
      }),
    );
  });
});

/** By trying each point, and each pair that together takes exactly the time. */
function leastLoss(points: readonly { readonly timeMs: number; readonly lost: number }[], mostMs: number): number {
  let least = Infinity;
  for (const one of points) {
    if (one.timeMs <= mostMs) least = Math.min(least, one.lost);
    for (const other of points) {
      if (!(one.timeMs <= mostMs && other.timeMs > mostMs)) continue;
      const share = (mostMs - one.timeMs) / (other.timeMs - one.timeMs);
      least = Math.min(least, (1 - share) * one.lost + share * other.lost);
    }
  }
  return least;
}
