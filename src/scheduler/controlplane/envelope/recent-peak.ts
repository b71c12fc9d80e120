/*
 * The most of what was asked for within the last so many ms. Values that a later one exceeds are forgotten, so what is held are the few
 * steps of a descent.
 */

export class RecentPeak {
  readonly #holdMs: number;
  /** Descending; each holds until `untilMs`, the last one as long as it is what is asked for. */
  #steps: { readonly value: number; untilMs: number }[] = [];

  constructor(holdMs: number) {
    this.#holdMs = holdMs;
  }

  /** From now on this is asked for. */
  push(nowMs: number, value: number): void {
    const last = this.#steps.at(-1);
    if (last?.value === value) return;
    if (last !== undefined) last.untilMs = nowMs + this.#holdMs;
    this.#steps = [
      ...this.#steps.filter((step) => step.value > value && step.untilMs > nowMs),
      { value, untilMs: Infinity },
    ];
  }

  at(nowMs: number): number {
    return this.#first(nowMs)?.value ?? 0;
  }

  /** When it falls; Infinity where only what is asked for now is left. */
  fallsAtMs(nowMs: number): number {
    return this.#first(nowMs)?.untilMs ?? Infinity;
  }

  #first(nowMs: number): { readonly value: number; readonly untilMs: number } | undefined {
    return this.#steps.find(({ untilMs }) => untilMs > nowMs);
  }
}
