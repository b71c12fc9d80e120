/*
 * The cores that several allocations share. What counts for each is the most that it may have now: what is in force, or what was
 * asked for and is not in force yet, so that the sum holds at every instant, in whichever order resizes take effect.
 *
 * Invariant, asserted on every request: the sum never exceeds the total.
 */

/** One that takes from it. */
export interface BudgetHolder {
  /** In force, or asked for: whichever is more. */
  readonly heldMillicores: number;
}

export class CoreBudget {
  readonly totalMillicores: number;
  readonly #holders: BudgetHolder[] = [];

  constructor(totalMillicores: number) {
    this.totalMillicores = totalMillicores;
  }

  join(holder: BudgetHolder): void {
    this.#holders.push(holder);
  }

  /** What a holder may have in all while the others keep what they hold. */
  roomFor(holder: BudgetHolder): number {
    let room = this.totalMillicores;
    for (const other of this.#holders) if (other !== holder) room -= other.heldMillicores;
    return room;
  }

  /** What some holders may have together while the others keep what they hold. */
  roomForAll(holders: readonly BudgetHolder[]): number {
    let room = this.totalMillicores;
    for (const other of this.#holders) if (!holders.includes(other)) room -= other.heldMillicores;
    return room;
  }

  assertKept(): void {
    const held = this.#holders.reduce((sum, { heldMillicores }) => sum + heldMillicores, 0);
    if (held > this.totalMillicores) {
      throw new Error(`allocations of ${held} millicores exceed the budget of ${this.totalMillicores}`);
    }
  }
}
