import { Prng } from './prng.js';

/**
 * A generator of its own for each purpose ("network", "service noise"), so that one more draw in one part of a
 * simulation leaves all the others as they were, and two policies compared on one seed meet the same world.
 *
 * The seed of the stream is the purpose's hash XOR the first output of the seed's own generator. That output is
 * scrambled, so neighbouring seeds and similar names do not cancel; and both halves are one-to-one in 32 bits: one
 * purpose has another stream for every seed of 32 bits, one seed another for every hash.
 * @param seed any safe integer   @param purpose the same text for the same stream; different parts use different texts
 */
export function stream(seed: number, purpose: string): Prng {
  return new Prng((new Prng(seed).uint32() ^ fnv1a(purpose)) >>> 0);
}

/**
 * FNV-1a, 32 bits (Fowler, Noll & Vo, 1991): unsigned. Takes UTF-16 code units for bytes, which is the same for ASCII.
 */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
