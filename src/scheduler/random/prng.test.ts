import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng, xoshiro128ss } from './prng.js';

const draws = <T>(count: number, draw: () => T): T[] => Array.from({ length: count }, draw);
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('xoshiro128**', () => {
  it("gives the authors' reference outputs for the state 1, 2, 3, 4", () => {
    const state = Uint32Array.of(1, 2, 3, 4);
    // The first by hand: rotl(2·5, 7)·9 = 10·128·9 = 11520.
    expect(draws(10, () => xoshiro128ss(state))).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
  });
});

describe('Prng', () => {
  it('repeats itself from its seed, whatever mix of draws is asked for', () => {
    const sequence = (seed: number) => {
      const prng = new Prng(seed);
      return draws(50, () => [prng.uint32(), prng.uniform(), prng.int(7), prng.exponential(3)]);
    };
    expect(sequence(8713)).toEqual(sequence(8713));
    expect(sequence(8713)).not.toEqual(sequence(8714));
  });

  it('draws these numbers from seed 1; a change would change every stored run', () => {
    const prng = new Prng(1);
    expect([prng.uint32(), prng.int(1000), prng.uniform(), prng.exponential()]).toMatchInlineSnapshot(`
      [
        2442144158,
        751,
        0.8893939367683266,
        0.4705824180198359,
      ]
    `);
  });

  it('uses every bit of the seed: sign and upper half too', () => {
    const seeds = [0, 1, -1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 52, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
    expect(new Set(seeds.map((seed) => new Prng(seed).uniform())).size).toBe(seeds.length);
  });

  it('refuses a seed that is not a safe integer', () => {
    for (const seed of [0.5, NaN, Infinity, 2 ** 53]) expect(() => new Prng(seed)).toThrow(RangeError);
  });

  it('keeps every draw inside its range', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.integer({ min: 1, max: 2 ** 31 }), (seed, limit) => {
        const prng = new Prng(seed);
        for (const value of draws(20, () => prng.int(limit))) {
          expect(Number.isInteger(value) && value >= 0 && value < limit).toBe(true);
        }
        for (const value of draws(20, () => prng.uniform())) expect(value >= 0 && value < 1).toBe(true);
        for (const value of draws(20, () => prng.exponential(2))) expect(value >= 0).toBe(true);
      }),
    );
  });

  it('refuses to draw from nothing, from fractions and from more than 2^32 integers', () => {
    for (const limit of [0, -1, 1.5, NaN, 2 ** 32 + 1]) expect(() => new Prng(1).int(limit)).toThrow(RangeError);
    expect(new Prng(1).int(2 ** 32)).toBe(new Prng(1).uint32());
  });

  it('draws integers evenly', () => {
    const prng = new Prng(5);
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 60_000; i++) counts[prng.int(6)]!++;
    // Expected 10 000 each, standard deviation √(60 000 · 1/6 · 5/6) = 91; chi-squared with 5 degrees exceeds 20.5 once in 1000.
    const chiSquared = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    expect(chiSquared).toBeLessThan(20.5);
  });

  it('draws uniforms with mean 1/2 and variance 1/12', () => {
    const prng = new Prng(6);
    const values = draws(100_000, () => prng.uniform());
    // Standard error of the mean √(1/12/100 000) = 0.0009, of the variance √(1/180/100 000) = 0.00024; four of each.
    expect(Math.abs(mean(values) - 1 / 2)).toBeLessThan(0.0037);
    expect(Math.abs(mean(values.map((value) => (value - 1 / 2) ** 2)) - 1 / 12)).toBeLessThan(0.001);
  });

  it('draws exponentials that follow 1 − e^(−x/mean) everywhere', () => {
    const prng = new Prng(7);
    const sorted = draws(100_000, () => prng.exponential(4)).sort((a, b) => a - b);
    const distances = sorted.map((value, i) => Math.abs(1 - Math.exp(-value / 4) - (i + 0.5) / sorted.length));
    // Kolmogorov-Smirnov: exceeded once in 1000 at 1.95/√100 000 = 0.0062.
    expect(Math.max(...distances.filter((_, i) => i % 10 === 0))).toBeLessThan(0.0062);
  });
});
