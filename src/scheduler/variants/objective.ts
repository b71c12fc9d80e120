/*
 * What the operator asks of variants. `accuracy`: the highest mean accuracy that the deadlines and the cores allow. `cores`: the least cores
 * at a mean accuracy; requests are mixed of the two variants around it, and what bursts were given less than that is given back
 * when there is time, by better ones than would do.
 */

export type VariantsObjective =
  { readonly kind: 'accuracy' } | { readonly kind: 'cores'; readonly meanAccuracy: number };

/** Debts are forgotten beyond so many requests at the worst variant: an hour of overload is not to be paid back for an hour. */
const MOST_OWED_REQUESTS = 1000;
/**
 * Owed more than so many requests' difference between best and worst, the best variant pays back, until nothing is owed. A batch or two
 * of the cheaper of the two variants around the mean is no such debt: the other one makes up for it, and the best one's work is dear.
 */
const PATIENCE_REQUESTS = 16;

export class AccuracyPacer {
  readonly #objective: VariantsObjective;
  /** By level, ascending. */
  readonly #accuracies: readonly number[];
  /** Accuracy × requests that they were given less than the mean asked for; negative where it was more. */
  #owed = 0;
  #isPayingBack = false;

  /** @param accuracies by level, ascending */
  constructor(objective: VariantsObjective, accuracies: readonly number[]) {
    this.#objective = objective;
    this.#accuracies = accuracies;
  }

  /** The most that the next request is to be given. */
  get mostLevel(): number {
    const accuracies = this.#accuracies;
    const top = accuracies.length - 1;
    if (this.#objective.kind === 'accuracy') return top;
    const { meanAccuracy } = this.#objective;
    const upper = accuracies.findIndex((accuracy) => accuracy >= meanAccuracy);
    if (upper === -1 || this.#isPayingBack) return top;
    // Without a debt what is below it pays for what is above.
    const lower = accuracies[upper] === meanAccuracy ? upper : Math.max(0, upper - 1);
    return this.#owed > 0 ? upper : lower;
  }

  /**
   * A request was given to a variant: counted then rather than with its answer, before which all others would be given the same.
   * @param before what was counted of it already; null: nothing. @param now null: it had no answer
   */
  count(before: number | null, now: number | null): void {
    if (this.#objective.kind === 'accuracy') return;
    const { meanAccuracy } = this.#objective;
    const span = this.#accuracies.at(-1)! - this.#accuracies[0]!;
    const most = MOST_OWED_REQUESTS * span;
    if (before !== null) this.#owed -= meanAccuracy - this.#accuracies[before]!;
    if (now !== null) this.#owed += meanAccuracy - this.#accuracies[now]!;
    this.#owed = Math.max(-most, Math.min(most, this.#owed));
    this.#isPayingBack = this.#owed > (this.#isPayingBack ? 0 : PATIENCE_REQUESTS * span);
  }
}
