/*
 * How long calls of a function have taken of late. Pure.
 */

const KEPT = 64;
/** As plans take of a model's batches. */
const PLANNED_QUANTILE = 0.95;

export class Durations {
  readonly #last: number[] = [];

  add(durationMs: number): void {
    this.#last.push(durationMs);
    if (this.#last.length > KEPT) this.#last.shift();
  }

  /** The shortest; 0 before the first. */
  get leastMs(): number {
    return this.#last.length === 0 ? 0 : Math.min(...this.#last);
  }

  get meanMs(): number {
    return this.#last.length === 0 ? 0 : this.#last.reduce((sum, each) => sum + each, 0) / this.#last.length;
  }

  get plannedMs(): number {
    const sorted = [...this.#last].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(PLANNED_QUANTILE * sorted.length))] ?? 0;
  }
}
