import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exactLatency, type LatencyModel } from '../domain/latency.js';
import { allocationLevels, TimePrices } from './time-price.js';

const LEVELS = [1000, 2000, 4000];

/** 100/c + 20 ms for one: 120, 70 and 45 ms on one, two and four cores. */
const ONE_AT_A_TIME = exactLatency((batchSize, cpuMillicores) => batchSize * (100_000 / cpuMillicores + 20));

/** (20 + 80·b)/c + 20 ms: two on one core take 200 ms, one takes 120. */
const BATCHING = exactLatency((batchSize, cpuMillicores) => ((20 + 80 * batchSize) * 1000) / cpuMillicores + 20);

describe('the price of an instance’s time', () => {
  const priceAt = (ratePerMs: number): number => new TimePrices().priceOf(ONE_AT_A_TIME, LEVELS, 1, ratePerMs);

  it('is nothing up to the rate of one core', () => {
    expect(priceAt(0)).toBe(0);
    expect(priceAt(1 / 120)).toBe(0);
  });

  it('is nothing up to the rate of one core at its best batch', () => {
    const prices = new TimePrices();
    // Two in 200 ms are one in 100, where one alone takes 120.
    expect(prices.priceOf(BATCHING, LEVELS, 2, 1 / 100)).toBe(0);
    expect(prices.priceOf(BATCHING, LEVELS, 2, 1 / 99)).toBeGreaterThan(0);
    expect(prices.priceOf(BATCHING, LEVELS, 1, 1 / 119)).toBeGreaterThan(0);
  });

  it('is a step on each piece of the curve, not interpolated', () => {
    // From 1/120 on one core to 1/70 on two: 1 / (1/70 − 1/120) = 168 cores per request and ms; 168/120 − 1 = 0.4
    expect(priceAt(1 / 119.9)).toBeCloseTo(0.4, 9);
    expect(priceAt(1 / 100)).toBeCloseTo(0.4, 9);
    expect(priceAt(1 / 70)).toBeCloseTo(0.4, 9);
    // To 1/45 on four: 2 / (1/45 − 1/70) = 252; 252/70 − 2 = 1.6
    expect(priceAt(1 / 69.9)).toBeCloseTo(1.6, 9);
    expect(priceAt(1 / 45)).toBeCloseTo(1.6, 9);
  });

  it('is that of the last piece beyond what can be sustained', () => {
    expect(priceAt(1)).toBeCloseTo(1.6, 9);
  });

  it('is nothing where there is one allocation only, or nothing is known yet', () => {
    expect(new TimePrices().priceOf(ONE_AT_A_TIME, [1000], 1, 1)).toBe(0);
    expect(new TimePrices().priceOf(exactLatency(() => 0), LEVELS, 8, 1)).toBe(0); // prettier-ignore
  });

  it('never falls with the rate, and is never negative, whatever a model looks like', () => {
    const latencies = fc.array(fc.double({ min: 0.1, max: 1000, noNaN: true }), { minLength: 12, maxLength: 12 });
    const rate = fc.double({ min: 0, max: 50, noNaN: true });
    fc.assert(
      fc.property(latencies, rate, rate, (latenciesMs, one, other) => {
        const model = exactLatency((size, millicores) => latenciesMs[(size - 1) * 3 + LEVELS.indexOf(millicores)]!);
        const prices = new TimePrices();
        const lower = prices.priceOf(model, LEVELS, 4, Math.min(one, other));
        expect(lower).toBeGreaterThanOrEqual(0);
        expect(prices.priceOf(model, LEVELS, 4, Math.max(one, other))).toBeGreaterThanOrEqual(lower - 1e-9);
      }),
    );
  });
});

describe('a curve that is kept', () => {
  /** Slower on one core by one factor, on more by another. */
  function drifting() {
    const factors = { one: 1, more: 1 };
    const model = exactLatency(
      (_, millicores) => (100_000 / millicores + 20) * (millicores === 1000 ? factors.one : factors.more),
    );
    return { factors, model };
  }

  it('is drawn anew when the model has drifted by two per cent at its slow end', () => {
    const { factors, model } = drifting();
    const prices = new TimePrices();
    const isDear = (): boolean => prices.priceOf(model, LEVELS, 1, 1 / 121.5) > 0;
    expect(isDear()).toBe(false);
    // 120 × 1.019 = 122.3: a curve drawn now would call 1/121.5 too fast for one core.
    factors.one = 1.019;
    expect(isDear()).toBe(false);
    factors.one = 1.021;
    expect(isDear()).toBe(true);
  });

  it('is what would be drawn anew when the model has become slower or faster as a whole', () => {
    const factors = [1, 1.5, 1.515, 0.4, 0.39, 7];
    const rates = [1 / 300, 1 / 120, 1 / 100, 1 / 60, 1 / 45, 1 / 20];
    let factor = 1;
    const model = exactLatency((size, millicores) => factor * BATCHING.predictedLatencyMs(size, millicores));
    const prices = new TimePrices();
    for (const next of factors) {
      const hasMoved = next / factor > 1.02 || factor / next > 1.02;
      factor = next;
      prices.priceOf(model, LEVELS, 2, 1);
      if (!hasMoved) continue;
      for (const rate of rates)
        expect(prices.priceOf(model, LEVELS, 2, rate)).toBeCloseTo(new TimePrices().priceOf(model, LEVELS, 2, rate), 9);
    }
  });

  it('is of one model, one limit of batches and one list of allocations', () => {
    const prices = new TimePrices();
    const priceOf = (model: LatencyModel, levels: readonly number[], most: number): number =>
      prices.priceOf(model, levels, most, 1 / 100);
    const fresh: typeof priceOf = (model, levels, most) => new TimePrices().priceOf(model, levels, most, 1 / 100);
    for (const [model, levels, most] of [
      [BATCHING, LEVELS, 1],
      [BATCHING, LEVELS, 2],
      [BATCHING, [1000, 2000], 1],
      [ONE_AT_A_TIME, LEVELS, 1],
    ] as const) {
      expect(priceOf(model, levels, most)).toBe(fresh(model, levels, most));
    }
  });

  it('is of them also where its ends are the same', () => {
    const prices = new TimePrices();
    const priceOn = (levels: readonly number[]): number => prices.priceOf(ONE_AT_A_TIME, levels, 1, 1 / 100);
    expect(priceOn(LEVELS)).toBeCloseTo(0.4, 9);
    // From 1/120 on one core straight to 1/45 on four: 3 / (1/45 − 1/120) = 216; 216/120 − 1 = 0.8
    expect(priceOn([1000, 4000])).toBeCloseTo(0.8, 9);
  });
});

describe('allocations to look at', () => {
  it('are all where a step is more than five per cent', () => {
    const levels = allocationLevels({ minMillicores: 1000, maxMillicores: 1500, stepMillicores: 100 });
    expect(levels).toEqual([1000, 1100, 1200, 1300, 1400, 1500]);
  });

  it('are five per cent apart, rounded up to what can be granted', () => {
    const levels = allocationLevels({ minMillicores: 2000, maxMillicores: 3000, stepMillicores: 50 });
    // 2000, 2100, 2205, 2362.5, 2520, 2677.5, 2835, 2992.5
    expect(levels).toEqual([2000, 2100, 2250, 2400, 2550, 2700, 2850, 3000]);
  });

  it('end with the largest, also where that is no whole number of steps', () => {
    expect(allocationLevels({ minMillicores: 1000, maxMillicores: 1230, stepMillicores: 100 })).toEqual([
      1000, 1100, 1200, 1230,
    ]);
    expect(allocationLevels({ minMillicores: 700, maxMillicores: 700, stepMillicores: 100 })).toEqual([700]);
  });

  it('begin with a core, or all there is: less is no cheaper, and throttled', () => {
    expect(allocationLevels({ minMillicores: 200, maxMillicores: 1300, stepMillicores: 100 })).toEqual([
      1000, 1100, 1200, 1300,
    ]);
    expect(allocationLevels({ minMillicores: 200, maxMillicores: 750, stepMillicores: 100 })).toEqual([750]);
  });

  it('are few, ascending and grantable for any limits', () => {
    const limits = fc.record({
      minMillicores: fc.integer({ min: 50, max: 4000 }),
      extraMillicores: fc.integer({ min: 0, max: 60_000 }),
      stepMillicores: fc.integer({ min: 1, max: 2000 }),
    });
    fc.assert(
      fc.property(limits, ({ minMillicores, extraMillicores, stepMillicores }) => {
        const maxMillicores = minMillicores + extraMillicores;
        const levels = allocationLevels({ minMillicores, maxMillicores, stepMillicores });
        expect(levels[0]).toBeGreaterThanOrEqual(Math.min(maxMillicores, Math.max(minMillicores, 1000)));
        expect(levels[0]).toBeLessThan(Math.max(minMillicores, 1000) + stepMillicores);
        expect(levels.at(-1)).toBe(maxMillicores);
        levels.slice(0, -1).forEach((level, index) => {
          expect((level - minMillicores) % stepMillicores).toBe(0);
          const next = levels[index + 1]!;
          expect(next).toBeGreaterThan(level);
          // No more than a step beyond 1.05 times it: nothing worth looking at is passed over.
          expect(next).toBeLessThanOrEqual(Math.max(level * 1.05, level + stepMillicores) + stepMillicores);
        });
        // ln(64 050 / 50) / ln 1.05 = 147
        expect(levels.length).toBeLessThanOrEqual(150);
      }),
    );
  });
});
