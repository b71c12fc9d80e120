/*
 * What texts are padded to. Requests share a batch where their shapes agree, so each text is padded to the next of some lengths: few, and
 * many share batches; many, and little is computed for nothing. On a CPU a batch saves what a run costs however short its texts are, and
 * padding costs what so many tokens do: so lengths lie no further apart than that makes worth it, by the latencies that were learnt of the
 * model. Pure.
 */

/** Apart, in tokens: while nothing was learnt, and at the least and most. */
const FIRST_STEP = 8;
const LEAST_STEP = 4;
const MOST_STEP = 64;
/** Where a step is less than this part of a length it doubles: padding stays below it, and lengths are few. */
const STEPS_UNTIL_DOUBLED = 16;

/** Predicted for one text of so many tokens, on one core; null where nothing was learnt. */
export type LatencyOfTokens = (tokens: number) => number | null;

/** Two lengths that a line is laid through. */
const SHORT_TOKENS = 16;
const LONG_TOKENS = 128;

/**
 * How far apart lengths may lie, so that no text is padded by more than a run costs without any: the power of two at or below it.
 * With 2.4 ms a run and 0.3 ms a token: 8 tokens.
 */
export function stepOf(latencyMs: LatencyOfTokens, maxTokens: number): number {
  const long = Math.min(LONG_TOKENS, maxTokens);
  const [shortMs, longMs] = [latencyMs(SHORT_TOKENS), latencyMs(long)];
  if (shortMs === null || longMs === null || long <= SHORT_TOKENS) return FIRST_STEP;
  const tokenMs = (longMs - shortMs) / (long - SHORT_TOKENS);
  const runMs = Math.max(0, shortMs - SHORT_TOKENS * tokenMs);
  // A model that takes the same for each length may as well have one.
  if (!(tokenMs > 0)) return MOST_STEP;
  return Math.min(MOST_STEP, Math.max(LEAST_STEP, 2 ** Math.floor(Math.log2(Math.max(1, runMs / tokenMs)))));
}

/** A step apart, and further where they are long. @returns ascending; the last is `maxTokens` */
export function lengthsApart(step: number, maxTokens: number): readonly number[] {
  const lengths: number[] = [];
  let apart = step;
  for (let length = step; length < maxTokens; length += apart) {
    lengths.push(length);
    if (length >= STEPS_UNTIL_DOUBLED * apart) apart *= 2;
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
