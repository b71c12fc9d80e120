import { describe, expect, it } from 'vitest';
import { logNormal, normalCdf, standardNormal } from './normal.js';
import { Prng } from './prng.js';

const draws = (count: number, draw: () => number): number[] => Array.from({ length: count }, draw);
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('standardNormal', () => {
  it('follows Φ everywhere', () => {
    const prng = new Prng(11);
    const sorted = draws(100_000, () => standardNormal(prng)).sort((a, b) => a - b);
    const distances = sorted.map((value, i) => Math.abs(normalCdf(value) - (i + 0.5) / sorted.length));
    // Kolmogorov-Smirnov: exceeded once in 1000 at 1.95/√100 000 = 0.0062.
    expect(Math.max(...distances.filter((_, i) => i % 10 === 0))).toBeLessThan(0.0062);
  });

  it('has the moments 0, 1, 0 and 3', () => {
    const prng = new Prng(12);
    const values = draws(200_000, () => standardNormal(prng));
    // Variances of x, x², x³, x⁴: 1, 2, 15, 96. Four standard errors of each: 4·√(variance/200 000).
    expect(Math.abs(mean(values))).toBeLessThan(0.009);
    expect(Math.abs(mean(values.map((x) => x ** 2)) - 1)).toBeLessThan(0.0127);
    expect(Math.abs(mean(values.map((x) => x ** 3)))).toBeLessThan(0.035);
    expect(Math.abs(mean(values.map((x) => x ** 4)) - 3)).toBeLessThan(0.088);
  });

  it('draws these numbers from seed 1; a change would change every stored run', () => {
    const prng = new Prng(1);
    expect(draws(3, () => standardNormal(prng))).toMatchInlineSnapshot(`
      [
        0.5686059948349658,
        0.4536286537908403,
        0.17992244579966776,
      ]
    `);
  });
});

describe('logNormal', () => {
  it('is exactly 1, without drawing, for sigma 0', () => {
    const prng = new Prng(3);
    expect(logNormal(prng, 0)).toBe(1);
    expect(prng.uint32()).toBe(new Prng(3).uint32());
  });

  it('has median 1 and mean e^(sigma²/2)', () => {
    const prng = new Prng(4);
    const values = draws(100_000, () => logNormal(prng, 0.5)).sort((a, b) => a - b);
    // Standard error of the median 0.5·√(π/2)/√100 000 = 0.002; of the mean 0.604/√100 000 = 0.0019. Four of each.
    expect(Math.abs(values[50_000]! - 1)).toBeLessThan(0.008);
    expect(Math.abs(mean(values) - Math.exp(0.125))).toBeLessThan(0.0077);
  });

  it('refuses a sigma that is none', () => {
    for (const sigma of [-0.1, NaN, Infinity]) expect(() => logNormal(new Prng(1), sigma)).toThrow(RangeError);
  });
});

describe('normalCdf', () => {
  it.each([
    // Tables of Φ, such as Abramowitz & Stegun 26.2.
    [0, 0.5],
    [1, 0.841344746068543],
    [1.959963984540054, 0.975],
    [-2.326347874040841, 0.01],
    [3, 0.99865010196837],
    [-5, 2.86651571879e-7],
  ])('of %d is %d', (x, expected) => {
    expect(Math.abs(normalCdf(x) - expected)).toBeLessThan(1e-14);
  });

  it('rises from 0 to 1, symmetrically', () => {
    let last = 0;
    for (let x = -10; x <= 10; x += 1 / 64) {
      const share = normalCdf(x);
      // Far out its roundings, 10^-14, are larger than its steps.
      expect(share).toBeGreaterThanOrEqual(last - 1e-14);
      expect(Math.abs(share + normalCdf(-x) - 1)).toBeLessThan(1e-14);
      last = share;
    }
    expect([normalCdf(-Infinity), normalCdf(-9), normalCdf(9), normalCdf(Infinity)]).toEqual([0, 0, 1, 1]);
  });
});
