/** More instances at once, fewer only after they were too many at every decision for a while. */
export class DelayedScaleDown {
  readonly #delayMs: number;
  #tooManySinceMs: number | null = null;
  #instances: number;

  /** @param instances that there are at first; 0 where all of them are still to be started */
  constructor(delayMs: number, instances: number) {
    this.#delayMs = delayMs;
    this.#instances = instances;
  }

  /**
   * @param needed ≥ 1
   * @returns how many to have now
   */
  next(nowMs: number, needed: number): number {
    if (needed >= this.#instances) {
      this.#tooManySinceMs = null;
      this.#instances = needed;
      return needed;
    }
    this.#tooManySinceMs ??= nowMs;
    if (nowMs - this.#tooManySinceMs >= this.#delayMs) {
      this.#tooManySinceMs = null;
      this.#instances = needed;
    }
    return this.#instances;
  }
}
