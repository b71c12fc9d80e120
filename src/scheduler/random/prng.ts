/**
 * The one source of randomness: seeded, and bit-for-bit repeatable on every machine and JavaScript engine. It uses only
 * 32-bit integer operations and exact double arithmetic; `Math.log` and its like may differ in the last bit between
 * engines, so nothing here calls them.
 *
 * Generator: xoshiro128** 1.1 (Blackman & Vigna, "Scrambled linear pseudorandom number generators", 2018), period
 * 2^128 − 1. Not for secrets.
 */
export class Prng {
  readonly #state: Uint32Array;

  /** @param seed any safe integer; all 53 bits count, and different seeds give unrelated sequences. */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`seed must be a safe integer, got ${seed}`);
    this.#state = stateFromSeed(seed);
  }

  /** Uniform over the integers 0 … 2^32 − 1. */
  uint32(): number {
    return xoshiro128ss(this.#state);
  }

  /** Uniform in [0, 1), in steps of 2^-53. */
  uniform(): number {
    // 27 + 26 random bits make the 53-bit significand.
    return ((this.uint32() >>> 5) * 2 ** 26 + (this.uint32() >>> 6)) / 2 ** 53;
  }

  /** Uniform over the integers 0 … limit − 1, without modulo bias. @param limit integer in 1 … 2^32 */
  int(limit: number): number {
    if (!Number.isInteger(limit) || limit < 1 || limit > 2 ** 32) {
      throw new RangeError(`limit must be an integer in 1 … 2^32, got ${limit}`);
    }
    // The largest multiple of `limit` that fits; draws beyond it would favour small results.
    const acceptedBelow = 2 ** 32 - (2 ** 32 % limit);
    let draw = this.uint32();
    while (draw >= acceptedBelow) draw = this.uint32();
    return draw % limit;
  }

  /**
   * Exponentially distributed with the given mean, ≥ 0: the gap between two Poisson arrivals.
   *
   * Von Neumann's method ("Various techniques used in connection with random digits", 1951), which needs comparisons
   * only. Draw a run of falling uniforms; given its first member x, its length is odd with probability e^-x, which makes
   * x the fractional part of an exponential. An even run means the value passed this whole unit (probability e^-1).
   */
  exponential(mean = 1): number {
    for (let whole = 0; ; whole++) {
      const first = this.uniform();
      let isOdd = true;
      for (let last = first, next = this.uniform(); next < last; last = next, next = this.uniform()) isOdd = !isOdd;
      if (isOdd) return mean * (whole + first);
    }
  }
}

/** One step of xoshiro128**: advances `state` (four words, not all zero) and returns an unsigned 32-bit integer. */
export function xoshiro128ss(state: Uint32Array): number {
  const s0 = state[0]!;
  const s1 = state[1]!;
  const s2 = state[2]! ^ s0;
  const s3 = state[3]! ^ s1;
  state[0] = s0 ^ s3;
  state[1] = s1 ^ s2;
  state[2] = s2 ^ (s1 << 9);
  state[3] = rotateLeft(s3, 11);
  return Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
}

function rotateLeft(word: number, count: number): number {
  return (word << count) | (word >>> (32 - count));
}

/** Four words from four different counters; `mix` is a bijection, so at most one of them is zero. */
function stateFromSeed(seed: number): Uint32Array {
  const low = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  const start = low ^ mix(high);
  // 0x9e3779b9 = 2^32 / golden ratio: the counter step of SplitMix (Steele, Lea & Flood, 2014).
  return Uint32Array.from([1, 2, 3, 4], (i) => mix(start + Math.imul(i, 0x9e3779b9)));
}

/** MurmurHash3's 32-bit finaliser (Appleby): every input bit flips each output bit about half of the time. */
function mix(word: number): number {
  let x = word >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
