import type { Prng } from './prng.js';

/**
 * Standard normal: mean 0, variance 1. As repeatable as `Prng` itself: only additions, products, comparisons.
 *
 * Von Neumann's rejection ("Various techniques used in connection with random digits", 1951): e^-x · e^-(x-1)²/2 is
 * e^-x²/2 up to a constant, so an Exp(1) draw kept with probability e^-(x-1)²/2 is half a normal; and that is the
 * probability that a second Exp(1) exceeds (x-1)²/2. Keeps √(π/2e) = 76 % of its tries. A random bit gives the sign.
 * Box-Muller would need a logarithm and a sine, whose last bits are up to the engine.
 */
export function standardNormal(prng: Prng): number {
  for (;;) {
    const x = prng.exponential();
    const beyondOne = x - 1;
    if (2 * prng.exponential() >= beyondOne * beyondOne) return prng.uint32() >= 2 ** 31 ? x : -x;
  }
}

/**
 * Log-normal with median 1: e^(sigma · N), mean e^(sigma²/2). For factors on a latency.
 *
 * `Math.exp` may differ between engines; V8's is its own port of fdlibm, in software, hence the same on every platform
 * that Node runs on.
 * @param sigma standard deviation of the logarithm, ≥ 0; with 0 the answer is exactly 1 and nothing is drawn
 */
export function logNormal(prng: Prng, sigma: number): number {
  if (!(sigma >= 0 && sigma < Infinity)) throw new RangeError(`sigma must be finite and ≥ 0, got ${sigma}`);
  return sigma === 0 ? 1 : Math.exp(sigma * standardNormal(prng));
}

/** Beyond this many standard deviations less than 10^-15 is left. */
const CDF_RANGE = 8;

/**
 * Φ(x), the share of a standard normal below x, in [0, 1]; absolute error below 10^-14, so its far lower tail has few
 * correct digits.
 *
 * Taylor series Φ(x) = 1/2 + φ(x) · (x + x³/3 + x⁵/(3·5) + x⁷/(3·5·7) + …): Marsaglia, "Evaluating the normal
 * distribution", Journal of Statistical Software 11(4), 2004.
 */
export function normalCdf(x: number): number {
  if (x < -CDF_RANGE) return 0;
  if (x > CDF_RANGE) return 1;
  const square = x * x;
  let term = x;
  let sum = 0;
  for (let odd = 3; sum + term !== sum; odd += 2) {
    sum += term;
    term *= square / odd;
  }
  return Math.min(1, Math.max(0, 0.5 + (sum * Math.exp(-square / 2)) / Math.sqrt(2 * Math.PI)));
}
