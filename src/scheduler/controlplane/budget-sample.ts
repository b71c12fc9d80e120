/*
 * What budgets requests come with: a sample of the latest ones. It answers the one question that planning has about requests
 * that have not come yet: of those that arrive while a batch runs, how many could no longer be met?
 */

/**
 * Enough to see one budget in a hundred that is tight, few enough to follow a network within seconds. Of 64, one in three
 * hundred was mostly not seen: where budgets are mixed that lost a third more.
 */
export const SAMPLE_SIZE = 256;

export class BudgetSample {
  readonly #latestMs = new Float64Array(SAMPLE_SIZE);
  #count = 0;
  #next = 0;
  /** Ascending, and the sums of its beginnings; those made when asked for after a change. */
  readonly #sortedMs = new Float64Array(SAMPLE_SIZE);
  readonly #sumsBefore = new Float64Array(SAMPLE_SIZE + 1);
  /** Observed since it was asked last. */
  #unsorted = 0;
  /** What `#sortedMs` holds, by age as in `#latestMs`. */
  readonly #knownMs = new Float64Array(SAMPLE_SIZE);

  /** @param budgetMs deadline − instant received; may be negative */
  observe(budgetMs: number): void {
    this.#latestMs[this.#next] = budgetMs;
    this.#next = (this.#next + 1) % SAMPLE_SIZE;
    this.#unsorted = Math.min(SAMPLE_SIZE, this.#unsorted + 1);
  }

  /**
   * Of a batch that runs for `runMs`, the time during which whoever arrives is lost by it: its budget is over before the batch has
   * ended and it has run alone for `aloneMs`. Mean over the sample, in 0 … `runMs`; 0 where nothing is known. Times the
   * arrival rate, it is how many are expected to be lost. Who cannot be met whenever it comes is not lost by this batch.
   *
   * A budget B is lost in the first runMs + aloneMs − B of the run. O(log n).
   */
  lostMs(runMs: number, aloneMs: number): number {
    this.#sort();
    const count = this.#count;
    if (count === 0) return 0;
    // Those from runMs + aloneMs on never.
    const always = this.#below(aloneMs);
    const ever = this.#below(runMs + aloneMs);
    const partialSumMs = this.#sumsBefore[ever]! - this.#sumsBefore[always]!;
    return ((ever - always) * (runMs + aloneMs) - partialSumMs) / count;
  }

  /** So large a share of budgets is less; Infinity where nothing is known. @param fraction in [0, 1) */
  quantileMs(fraction: number): number {
    this.#sort();
    return this.#count === 0 ? Infinity : this.#sortedMs[Math.floor(fraction * this.#count)]!;
  }

  /** Takes in what came since it was asked last. Each takes the place of the one it replaces, which wanders to where it belongs. */
  #sort(): void {
    if (this.#unsorted === 0) return;
    for (; this.#unsorted > 0; this.#unsorted--) {
      const index = (this.#next + SAMPLE_SIZE - this.#unsorted) % SAMPLE_SIZE;
      const place = index < this.#count ? this.#below(this.#knownMs[index]!) : this.#count++;
      this.#knownMs[index] = this.#latestMs[index]!;
      insert(this.#sortedMs, this.#count, place, this.#knownMs[index]);
    }
    for (let i = 0; i < this.#count; i++) this.#sumsBefore[i + 1] = this.#sumsBefore[i]! + this.#sortedMs[i]!;
  }

  /** How many of the sample are less. */
  #below(limitMs: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#sortedMs[middle]! < limitMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function insert(sorted: Float64Array, count: number, freePlace: number, value: number): void {
  let place = freePlace;
  for (; place > 0 && sorted[place - 1]! > value; place--) sorted[place] = sorted[place - 1]!;
  for (; place < count - 1 && sorted[place + 1]! < value; place++) sorted[place] = sorted[place + 1]!;
  sorted[place] = value;
}
