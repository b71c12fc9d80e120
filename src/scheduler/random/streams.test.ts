import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fnv1a, stream } from './streams.js';

const firstDraws = (seed: number, purpose: string): number[] => {
  const prng = stream(seed, purpose);
  return Array.from({ length: 4 }, () => prng.uint32());
};

describe('stream', () => {
  it('is the same for the same seed and purpose', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.string(), (seed, purpose) => {
        expect(firstDraws(seed, purpose)).toEqual(firstDraws(seed, purpose));
      }),
    );
  });

  it('differs between purposes of a seed and between seeds of a purpose', () => {
    const purposes = ['', 'a', 'b', 'ab', 'ba', 'network', 'arrivals', 'service noise', 'service noise 2'];
    const seeds = [0, 1, 2, 3, -1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];
    const all = seeds.flatMap((seed) => purposes.map((purpose) => firstDraws(seed, purpose).join()));
    expect(new Set(all).size).toBe(seeds.length * purposes.length);
  });

  it('gives unrelated numbers for neighbouring seeds and for other purposes', () => {
    const draws = (purpose: string) => Array.from({ length: 20_000 }, (_, seed) => stream(seed, purpose).uniform());
    const correlation = (a: readonly number[], b: readonly number[]): number =>
      // Of uniforms, whose variance is 1/12.
      (12 * a.reduce((sum, value, i) => sum + (value - 0.5) * (b[i]! - 0.5), 0)) / a.length;
    const [network, noise] = [draws('network'), draws('noise')];
    // Standard error 1/√20 000 = 0.007; four of it.
    expect(Math.abs(correlation(network, noise))).toBeLessThan(0.028);
    expect(Math.abs(correlation(network.slice(1), network))).toBeLessThan(0.028);
  });

  it('refuses a seed that is not a safe integer', () => {
    expect(() => stream(0.5, 'network')).toThrow(RangeError);
  });
});

describe('fnv1a', () => {
  it("gives the authors' test vectors", () => {
    expect([fnv1a(''), fnv1a('a'), fnv1a('foobar')]).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
  });
});
