/*
 * What budgets requests come with: a sample of the latest ones. It answers the one question that planning has about requests
 * that have not come yet: of those that arrive while a batch runs, how many could no longer be met?
 */

/** Enough to see one budget in fifty that is tight; few enough to follow a network within seconds. */
const SAMPLE_SIZE = 64;

export class BudgetSample {
  readonly #latestMs = new Float64Array(SAMPLE_SIZE);
  #count = 0;
  #next = 0;
  /** Ascending, and the sums of its beginnings; made when asked for after a change. */
  readonly #sortedMs = new Float64Array(SAMPLE_SIZE);
  readonly #sumsBefore = new Float64Array(SAMPLE_SIZE + 1);
  #isSorted = false;

  /** @param budgetMs deadline − instant received; may be negative */
  observe(budgetMs: number): void {
    this.#latestMs[this.#next] = budgetMs;
    this.#next = (this.#next + 1) % SAMPLE_SIZE;
    this.#count = Math.min(SAMPLE_SIZE, this.#count + 1);
    this.#isSorted = false;
  }

  /**
   * Of a batch that runs for `runMs`, the time during which whoever arrives is lost: its budget is over before the batch has
   * ended and it has run alone for `aloneMs`. Mean over the sample, in 0 … `runMs`; 0 where nothing is known. Times the
   * arrival rate, it is how many are expected to be lost.
   *
   * A budget B is lost in the first runMs + aloneMs − B of the run. O(log n).
   */
  lostMs(runMs: number, aloneMs: number): number {
    const count = this.#count;
    if (count === 0) return 0;
    this.#sort();
    // Budgets up to aloneMs are lost whenever they come, those from runMs + aloneMs on never.
    const always = this.#below(aloneMs);
    const ever = this.#below(runMs + aloneMs);
    const partial = ever - always;
    const partialSumMs = this.#sumsBefore[ever]! - this.#sumsBefore[always]!;
    return (always * runMs + partial * (runMs + aloneMs) - partialSumMs) / count;
  }

  #sort(): void {
    if (this.#isSorted) return;
    const sorted = this.#sortedMs.subarray(0, this.#count);
    sorted.set(this.#latestMs.subarray(0, this.#count));
    sorted.sort();
    for (let i = 0; i < sorted.length; i++) this.#sumsBefore[i + 1] = this.#sumsBefore[i]! + sorted[i]!;
    this.#isSorted = true;
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
