/*
 * How many parts a step has, before that is known: what it had of late. Of a step that may be left out that is less than 1.
 */

/** Weight of the newest. */
const GAIN = 0.1;

export class FanOuts {
  readonly #means: (number | null)[];

  constructor(stepCount: number) {
    this.#means = new Array<null>(stepCount).fill(null);
  }

  /** 1 before any was seen. */
  expected(step: number): number {
    return this.#means[step] ?? 1;
  }

  /** @param parts that ran */
  observe(step: number, parts: number): void {
    const mean = this.#means[step] ?? null;
    this.#means[step] = mean === null ? parts : mean + GAIN * (parts - mean);
  }
}
