/*
 * How long calls of a function have taken of late. Pure.
 */

const KEPT = 64;
/** As plans take of a model's batches. */
const PLANNED_QUANTILE = 0.95;

export class Durations {
  readonly #last: number[] = [];
  #leastMs = 0;
  #meanMs = 0;
  #plannedMs = 0;

  add(durationMs: number): void {
    this.#last.push(durationMs);
    if (this.#last.length > KEPT) this.#last.shift();
    // Asked for more often than added to.
    const sorted = Float64Array.from(this.#last).sort();
    this.#leastMs = sorted[0]!;
    this.#meanMs = sorted.reduce((sum, each) => sum + each, 0) / sorted.length;
    this.#plannedMs = sorted[Math.min(sorted.length - 1, Math.floor(PLANNED_QUANTILE * sorted.length))]!;
  }

  /** The shortest; 0 before the first. */
  get leastMs(): number {
    return this.#leastMs;
  }

  get meanMs(): number {
    return this.#meanMs;
  }

  get plannedMs(): number {
    return this.#plannedMs;
  }
}
