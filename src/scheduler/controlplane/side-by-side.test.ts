import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { powerCurve } from '../perf-model/power-curve.js';
import { bestSideBySide, sideBySide, type SideBySideQuestion } from './side-by-side.js';

/** 40·b/c + 10/c + 2·b + 5 ms. */
const CURVE = powerCurve({
  latencyMs: (batchSize, cpuMillicores) => ((40 * batchSize + 10) * 1000) / cpuMillicores + 2 * batchSize + 5,
  maxBatchSize: 4,
  allocations: Array.from({ length: 16 }, (_, index) => 1000 * (index + 1)),
  idleMillicores: 0,
});

function question(fields: Partial<SideBySideQuestion> = {}): SideBySideQuestion {
  return {
    curve: CURVE,
    ratePerMs: 0.05,
    interference: 0,
    budgetMillicores: 16_000,
    otherMillicores: 0,
    ...fields,
  };
}

describe('instances side by side', () => {
  it('without interference each has its share to do, at the cores of the power curve', () => {
    // A core does 4 in 40·4 + 10 + 2·4 + 5 = 183 ms: 0.0219/ms. Of 0.04/ms each of four does 0.01, on 0.4575 cores.
    const four = sideBySide(question({ ratePerMs: 0.04 }), 4);
    expect(four.cores).toBeCloseTo((0.04 * 183) / 4, 6);
    expect(four.busyBesideMillicores).toBeCloseTo((3 * 1000 * 0.01 * 183) / 4, 3);
    expect(sideBySide(question({ ratePerMs: 0.04 }), 1).cores).toBeGreaterThan(four.cores);
  });

  it('with it each does its share as much more slowly as the others keep cores busy', () => {
    // x = (1 + φ·x/3)·ρ·183/4 for two on the curve's first piece: with ρ = 0.01 and φ = 0.6, x = 0.4575/(1 − 0.2·0.4575)
    const two = sideBySide(question({ ratePerMs: 0.02, interference: 0.6 }), 2);
    expect(two.cores).toBeCloseTo((2 * 0.4575) / (1 - 0.2 * 0.4575), 2);
  });

  it('are not enough where their slowdown asks for more than there is', () => {
    const few = sideBySide(question({ ratePerMs: 0.04, budgetMillicores: 2000, interference: 0 }), 2);
    expect(few.load).toBeLessThanOrEqual(1);
    const slowed = sideBySide(question({ ratePerMs: 0.04, budgetMillicores: 2000, interference: 0.9 }), 2);
    expect(slowed).toMatchObject({ cores: 2 });
    // 0.04 of 2·0.0219, and 1 + 0.9/3 times as slow
    expect(slowed.load).toBeCloseTo((0.04 / (2 * (4 / 183))) * 1.3, 6);
  });

  it('cost more the more they slow each other down', () => {
    const [rates, slowdowns] = [
      fc.double({ min: 1e-4, max: 0.2, noNaN: true }),
      fc.double({ min: 0, max: 2, noNaN: true }),
    ];
    fc.assert(
      fc.property(rates, slowdowns, fc.integer({ min: 1, max: 8 }), (ratePerMs, interference, count) => {
        const less = sideBySide(question({ ratePerMs, interference }), count);
        const more = sideBySide(question({ ratePerMs, interference: interference + 0.1 }), count);
        expect(more.cores).toBeGreaterThanOrEqual(less.cores - 0.01);
        expect(more.load).toBeGreaterThanOrEqual(less.load);
      }),
    );
  });
});

describe('how many are used at once', () => {
  it('is all where nothing slows them down', () => {
    for (const ratePerMs of [0.001, 0.02, 0.1, 0.3])
      expect(bestSideBySide(question({ ratePerMs }), 4, 0).count).toBe(4);
  });

  it('is one where neighbours cost more than they save, and changes at one interference from all to few', () => {
    const counts = Array.from(
      { length: 31 },
      (_, step) => bestSideBySide(question({ interference: step / 10 }), 2, 0).count,
    );
    expect(counts[0]).toBe(2);
    expect(counts.at(-1)).toBe(1);
    expect(counts.indexOf(1)).toBe(counts.lastIndexOf(2) + 1);
  });

  it('is kept until another number is better by something', () => {
    const countAt = (interference: number, previous: number): number =>
      bestSideBySide(question({ interference }), 2, previous).count;
    const steps = Array.from({ length: 301 }, (_, step) => step / 100);
    const leavesTwo = steps.find((interference) => countAt(interference, 2) === 1)!;
    const leavesOne = steps.findLast((interference) => countAt(interference, 1) === 2)!;
    expect(leavesTwo).toBeGreaterThan(leavesOne);
  });

  it('is what does most where none can do it all', () => {
    const overloaded = question({ ratePerMs: 1 });
    const loads = [1, 2, 3, 4].map((count) => sideBySide(overloaded, count).load);
    const { count, load } = bestSideBySide(overloaded, 4, 0);
    expect(load).toBe(Math.min(...loads));
    expect(count).toBe(loads.indexOf(load) + 1);
  });
});
