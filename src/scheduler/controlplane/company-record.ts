/*
 * Who came while somebody was waited for: how long after the one before. Counted by length of silence, as those who draw up life tables
 * do: a silence that a start ended says that nobody came until then, and nothing about later.
 *
 * Arrivals that know nothing of each other come as often after a long silence as after a short one. Clients who all wait for their answers
 * come at once after those, and then nobody does.
 */

/** Silences from 0, 0.5, 1, 2 … 512 ms on. */
const FIRST_MS = 0.5;
const CLASSES = 12;
/** What was seen counts half after so many batches. */
const HALF_LIFE_BATCHES = 64;
const KEPT_PER_BATCH = 0.5 ** (1 / HALF_LIFE_BATCHES);

export class CompanyRecord {
  /** By length of silence: time that was spent in it, and those who came then. */
  readonly #waitedMs = new Float64Array(CLASSES);
  readonly #came = new Float64Array(CLASSES);

  /** @param hasCome who ended it; else it was a start */
  observe(silenceMs: number, hasCome: boolean): void {
    let index = 0;
    for (; index < CLASSES - 1 && endMs(index) <= silenceMs; index++) this.#waitedMs[index]! += spanMs(index);
    this.#waitedMs[index]! += silenceMs - beginMs(index);
    if (hasCome) this.#came[index]! += 1;
  }

  /** A batch is started. */
  fade(): void {
    for (let index = 0; index < CLASSES; index++) {
      this.#waitedMs[index]! *= KEPT_PER_BATCH;
      this.#came[index]! *= KEPT_PER_BATCH;
    }
  }

  /**
   * The silence after which nobody is worth waiting for: `gaps` of them, or sooner where after that much of it hardly anybody came: one in
   * `gaps` mean gaps. One who comes in the next is assumed beside what was seen.
   * @param gapMs between two arrivals, on average
   * @returns 0 for none at all
   */
  longestSilenceMs(gaps: number, gapMs: number): number {
    let [waitedMs, came] = [gapMs, 1];
    let longestMs = gaps * gapMs;
    for (let index = CLASSES - 1; index >= 0; index--) {
      waitedMs += this.#waitedMs[index]!;
      came += this.#came[index]!;
      if (waitedMs > gaps * gapMs * came) longestMs = Math.min(longestMs, beginMs(index));
    }
    return longestMs;
  }
}

function beginMs(index: number): number {
  return index === 0 ? 0 : FIRST_MS * 2 ** (index - 1);
}

function endMs(index: number): number {
  return FIRST_MS * 2 ** index;
}

function spanMs(index: number): number {
  return endMs(index) - beginMs(index);
}
