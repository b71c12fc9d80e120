import { describe, expect, it } from 'vitest';
import { slopeOf } from '../../bench/harness/slope.js';
import { Prng } from '../../src/scheduler/random/prng.js';

const MINUTE_MS = 60_000;

describe('slopeOf', () => {
  it('is exact for a line: 1 MiB a minute is 60 an hour', () => {
    const samples = Array.from({ length: 30 }, (_, i) => ({ atMs: i * MINUTE_MS, value: 100 + i }));
    const { perHour, halfWidth } = slopeOf(samples);
    expect(perHour).toBeCloseTo(60, 6);
    expect(halfWidth).toBeCloseTo(0, 6);
  });

  it('is 0 ± 0 for what does not change', () => {
    const samples = Array.from({ length: 10 }, (_, i) => ({ atMs: i * MINUTE_MS, value: 7 }));
    expect(slopeOf(samples)).toEqual({ perHour: 0, halfWidth: 0 });
  });

  it('has an interval that holds the truth about 95 times in 100', () => {
    const prng = new Prng(1);
    const held = Array.from({ length: 400 }, () => {
      const samples = Array.from({ length: 100 }, (_, i) => ({
        atMs: i * MINUTE_MS,
        value: (5 * i) / 60 + prng.uniform() + prng.uniform() + prng.uniform(),
      }));
      const { perHour, halfWidth } = slopeOf(samples);
      return Math.abs(perHour - 5) <= halfWidth;
    });
    // Binomial: 380 of 400 expected, standard deviation 4.4; five of them either way.
    const holds = held.filter(Boolean).length;
    expect(holds).toBeGreaterThan(358);
    expect(holds).toBeLessThan(400);
  });

  it('asks for enough samples', () => {
    expect(() => slopeOf([{ atMs: 0, value: 1 }])).toThrow('a slope takes 10 samples, got 1');
  });
});
