/*
 * The rate at which requests come, as the choice of a variant is prepared for it: up at once, and
 * down more slowly. What is expected too low is
 * served by a variant that leaves the next ones no time; what is expected too high costs a little accuracy for a second.
 */

const FAST_MS = 250;
const SLOW_MS = 400;

export class ArrivalRate {
  #fastPerMs = 0;
  #slowPerMs = 0;
  #lastAtMs: number | null = null;
  /** Mean time that requests have when they come. */
  #budgetMs = 0;

  observe(nowMs: number, budgetMs: number): void {
    this.#decay(nowMs);
    this.#fastPerMs += 1 / FAST_MS;
    this.#slowPerMs += 1 / SLOW_MS;
    const own = Math.max(0, budgetMs);
    this.#budgetMs += (this.#budgetMs === 0 ? 1 : 0.02) * (own - this.#budgetMs);
  }

  ratePerMs(nowMs: number): number {
    this.#decay(nowMs);
    return Math.max(this.#fastPerMs, this.#slowPerMs);
  }

  get budgetMs(): number {
    return this.#budgetMs;
  }

  #decay(nowMs: number): void {
    const elapsedMs = nowMs - (this.#lastAtMs ?? nowMs);
    this.#fastPerMs *= Math.exp(-elapsedMs / FAST_MS);
    this.#slowPerMs *= Math.exp(-elapsedMs / SLOW_MS);
    this.#lastAtMs = nowMs;
  }
}
