/** For how long how many cores were held, and how many in each second of the run. */
export class HeldCores {
  readonly #startAtMs: number;
  readonly #heldMs = new Map<number, number>();
  readonly #coreMsBySecond: number[] = [];
  #lastAtMs: number;

  constructor(startAtMs: number) {
    this.#startAtMs = startAtMs;
    this.#lastAtMs = startAtMs;
  }

  /** @param millicores since the last call   @returns ms since then, 0 for instants before it */
  accrue(atMs: number, millicores: number): number {
    const elapsedMs = atMs - this.#lastAtMs;
    if (elapsedMs <= 0) return 0;
    this.#heldMs.set(millicores, (this.#heldMs.get(millicores) ?? 0) + elapsedMs);
    let fromMs = this.#lastAtMs - this.#startAtMs;
    const toMs = atMs - this.#startAtMs;
    while (fromMs < toMs) {
      const second = Math.floor(fromMs / 1000);
      const untilMs = Math.min(toMs, (second + 1) * 1000);
      this.#coreMsBySecond[second] = (this.#coreMsBySecond[second] ?? 0) + (millicores / 1000) * (untilMs - fromMs);
      fromMs = untilMs;
    }
    this.#lastAtMs = atMs;
    return elapsedMs;
  }

  /** Ascending; the durations add up to the run's. */
  heldMs(): (readonly [millicores: number, durationMs: number])[] {
    return [...this.#heldMs].sort(([a], [b]) => a - b);
  }

  coresBySecond(): number[] {
    return this.#coreMsBySecond.map((coreMs, second) => coreMs / this.#secondLengthMs(second));
  }

  /** The last second of a run may be cut short. */
  #secondLengthMs(second: number): number {
    return Math.min(1000, Math.max(1e-9, this.#lastAtMs - this.#startAtMs - second * 1000));
  }
}
