/*
 * What texts are padded to. Requests share a batch where their shapes agree, so each text is padded to the next of a few lengths: few, and
 * many share batches; many, and little is computed for nothing. Pure.
 */

/** Below this a batch is bound by its fixed cost, and more lengths would only keep texts apart. */
const SHORTEST = 16;

/**
 * Two for each doubling: 16, 24, 32, 48, 64, 96 … With texts of any length a sixth of what is computed is padding (docs/text.md has what
 * was measured beside none and beside padding to the longest).
 * @returns ascending; the last is `maxTokens`
 */
export function defaultLengths(maxTokens: number): readonly number[] {
  const lengths: number[] = [];
  for (let length = SHORTEST; length < maxTokens; length *= 2) {
    lengths.push(length);
    if (length * 1.5 < maxTokens) lengths.push(length * 1.5);
  }
  return [...lengths, maxTokens];
}

/** As stated, in order and each once, as far as texts go; none stays none. */
export function statedLengths(stated: readonly number[], maxTokens: number): readonly number[] {
  if (stated.length === 0) return [];
  const within = [...new Set(stated)].filter((length) => length < maxTokens).sort((a, b) => a - b);
  return [...within, maxTokens];
}

/** @returns the next of `lengths` (ascending), or `tokens` where all are shorter */
export function paddedLength(tokens: number, lengths: readonly number[]): number {
  return lengths.find((length) => length >= tokens) ?? tokens;
}
