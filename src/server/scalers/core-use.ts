/*
 * Which cores the models of a process are pinned to. Each open scaler uses some of them; whoever needs more takes those that the
 * fewest others use, so that models which need no more than there are together never meet.
 */

/** Of the open scalers of this process. */
const inUse = new Set<CoreUse>();

export class CoreUse {
  readonly #cpus: readonly number[];
  #used: readonly number[] = [];

  /** @param cpus that may be used at all */
  constructor(cpus: readonly number[]) {
    this.#cpus = cpus;
    inUse.add(this);
  }

  /**
   * From now on it uses so many: those that the fewest others use, of these the ones that it has already, of these the highest numbers,
   * because device interrupts mostly arrive on the lowest ones.
   * @param count 0 … all
   * @returns ascending
   */
  use(count: number): readonly number[] {
    const others = [...inUse].filter((use) => use !== this).flatMap((use) => use.#used);
    const rank = (cpu: number): number =>
      others.filter((other) => other === cpu).length + (this.#used.includes(cpu) ? 0 : 0.5);
    const bestFirst = [...this.#cpus].sort((a, b) => rank(a) - rank(b) || b - a);
    this.#used = bestFirst.slice(0, count).sort((a, b) => a - b);
    return this.#used;
  }

  /** Safe to call twice. */
  release(): void {
    inUse.delete(this);
  }
}
