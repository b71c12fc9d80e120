import { describe, expect, it } from 'vitest';
import { logNormal } from '../random/normal.js';
import { Prng } from '../random/prng.js';
import { busyFraction, InterferenceEstimate, slowdownBeside } from './interference.js';

const SCATTER = 0.07;

/** Batches beside anything from nothing to all, which take (1 + φ·f) times what is expected alone, and scatter. */
function feed(estimate: InterferenceEstimate, prng: Prng, batches: number, truth: number, most = 1): void {
  for (let batch = 0; batch < batches; batch++) {
    const fraction = most * prng.uniform();
    estimate.observe(fraction, (1 + truth * fraction) * logNormal(prng, SCATTER));
  }
}

describe('the slowdown beside busy neighbours', () => {
  it('rises with what is busy, up to three cores', () => {
    expect([0, 750, 1500, 3000, 9000].map(busyFraction)).toEqual([0, 0.25, 0.5, 1, 1]);
    expect(busyFraction(-1)).toBe(0);
    expect(slowdownBeside(0.6, 1500)).toBeCloseTo(1.3, 12);
    expect(slowdownBeside(0, 3000)).toBe(1);
  });
});

describe('an estimate of interference', () => {
  it('is none while nothing is known, and stays so where there is none', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const estimate = new InterferenceEstimate(null);
      feed(estimate, new Prng(seed), 3000, 0);
      expect([seed, estimate.coefficient]).toEqual([seed, 0]);
    }
  });

  it.each([0.3, 0.6, 0.9])('finds %f within sixty batches, and closely in the long run', (truth) => {
    for (let seed = 1; seed <= 20; seed++) {
      const estimate = new InterferenceEstimate(null);
      feed(estimate, new Prng(seed), 60, truth);
      expect(estimate.coefficient).toBeGreaterThan(0);
      feed(estimate, new Prng(seed + 100), 300, truth);
      expect(Math.abs(estimate.coefficient - truth)).toBeLessThan(0.15);
    }
  });

  it('begins with what was measured, and follows what batches show instead', () => {
    const estimate = new InterferenceEstimate(0.8);
    expect(estimate.coefficient).toBe(0.8);
    feed(estimate, new Prng(1), 400, 0.2);
    expect(Math.abs(estimate.coefficient - 0.2)).toBeLessThan(0.1);
  });

  it('is not moved by the speed of the machine, nor by much by stalls', () => {
    const estimate = new InterferenceEstimate(0.4);
    const prng = new Prng(3);
    for (let batch = 0; batch < 600; batch++) {
      const fraction = prng.uniform();
      const stall = batch % 50 === 0 ? 8 : 1;
      estimate.observe(fraction, stall * 1.3 * (1 + 0.4 * fraction) * logNormal(prng, SCATTER));
    }
    expect(Math.abs(estimate.coefficient - 0.4)).toBeLessThan(0.15);
  });

  it('stays within bounds whatever batches take', () => {
    const estimate = new InterferenceEstimate(0);
    for (let batch = 0; batch < 2000; batch++) estimate.observe(batch % 2, batch % 2 === 0 ? 1 : 40);
    expect(estimate.coefficient).toBeLessThanOrEqual(3);
    for (let batch = 0; batch < 2000; batch++) estimate.observe(batch % 2, batch % 2 === 0 ? 1 : 0.2);
    expect(estimate.coefficient).toBe(0);
  });

  it('of the profile fades as well while every batch runs alone: it may have been wrong', () => {
    const estimate = new InterferenceEstimate(0.9);
    feed(estimate, new Prng(8), 32_000, 0, 0);
    expect(estimate.coefficient).toBeCloseTo(0.9 * Math.exp(-2), 2);
  });

  it('is untested after some hundreds of batches alone, until some ran beside others', () => {
    const estimate = new InterferenceEstimate(2.8);
    const runs = (batches: number, fraction: number): boolean[] =>
      Array.from({ length: batches }, () => {
        estimate.observe(fraction, 1);
        return estimate.isUntested;
      });
    expect(runs(300, 0).lastIndexOf(false)).toBe(298);
    expect(runs(12, 1 / 3)).toEqual([...new Array<boolean>(11).fill(true), false]);
    // Measured beside somebody else's load, on a machine where neighbours cost nothing: a few tests show it.
    for (let test = 0; test < 12; test++) runs(300, 0).concat(runs(12, 1 / 3));
    expect(estimate.coefficient).toBeLessThan(0.5);
  });

  it('fades while every batch runs alone', () => {
    const estimate = new InterferenceEstimate(null);
    feed(estimate, new Prng(5), 300, 0.9);
    feed(estimate, new Prng(6), 400, 0, 0);
    const soon = estimate.coefficient;
    expect(soon).toBeGreaterThan(0.75);
    // Of 1 − 1/16,000 each, two e-folds
    feed(estimate, new Prng(7), 32_000, 0, 0);
    expect(estimate.coefficient).toBeCloseTo(soon * Math.exp(-2), 2);
  });
});
