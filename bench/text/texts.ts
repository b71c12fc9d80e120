import { Prng } from '../../src/scheduler/random/prng.js';

/*
 * Texts of many lengths, as searches and passages are: log-normal, half of them of fewer than 24 words. The same from the same seed.
 */

const WORDS = (
  'the of and to in a is that for it as was with be by on not he this are or his from at which but have an had they you were their one all we ' +
  'server request deadline model batch queue core memory network latency answer budget early late instance thread price plan forecast river ' +
  'mountain history science language music kitchen garden market election weather doctor engine bridge island harbour winter unbelievable ' +
  'responsibility microscopic internationalization'
).split(' ');

const MEDIAN_WORDS = 24;
const SIGMA = 0.9;
const MOST_WORDS = 200;

export function textsOf(count: number, seed: number): readonly string[] {
  const prng = new Prng(seed);
  return Array.from({ length: count }, () => {
    const words = Math.round(MEDIAN_WORDS * Math.exp(SIGMA * normal(prng)));
    return Array.from({ length: Math.max(1, Math.min(MOST_WORDS, words)) }, () => WORDS[prng.int(WORDS.length)]!).join(
      ' ',
    );
  });
}

/** Box and Muller's. */
function normal(prng: Prng): number {
  return Math.sqrt(-2 * Math.log(1 - prng.uniform())) * Math.cos(2 * Math.PI * prng.uniform());
}
