/*
 * What the operator asks of variants. `accuracy`: the highest mean accuracy that the deadlines and the cores allow. `cores`: the least cores
 * at a mean accuracy; requests are mixed of the two variants around it, and what bursts were given less than that is given back
 * when there is time, by better ones than would do.
 */

export type VariantsObjective =
  { readonly kind: 'accuracy' } | { readonly kind: 'cores'; readonly meanAccuracy: number };

/** Debts are forgotten beyond so many requests at the worst variant: an hour of overload is not to be paid back for an hour. */
const MOST_OWED_REQUESTS = 1000;
/** Owed more than so many requests' difference between best and worst, the best variant pays back. */
const PATIENCE_REQUESTS = 2;

export class AccuracyPacer {
  readonly #objective: VariantsObjective;
  /** Accuracy × requests that answers were short of the mean asked for; negative where they were above. */
  #owed = 0;

  constructor(objective: VariantsObjective) {
    this.#objective = objective;
  }

  /** The most that the next request is to be given. @param accuracies by level, ascending */
  mostLevel(accuracies: readonly number[]): number {
    const top = accuracies.length - 1;
    if (this.#objective.kind === 'accuracy') return top;
    const { meanAccuracy } = this.#objective;
    const upper = accuracies.findIndex((accuracy) => accuracy >= meanAccuracy);
    if (upper === -1) return top;
    if (this.#owed > PATIENCE_REQUESTS * (accuracies[top]! - accuracies[0]!)) return top;
    // Without a debt what is below it pays for what is above.
    const lower = accuracies[upper] === meanAccuracy ? upper : Math.max(0, upper - 1);
    return this.#owed > 0 ? upper : lower;
  }

  /** A request was answered. */
  observe(accuracy: number, accuracies: readonly number[]): void {
    if (this.#objective.kind === 'accuracy') return;
    const { meanAccuracy } = this.#objective;
    const most = MOST_OWED_REQUESTS * (accuracies.at(-1)! - accuracies[0]!);
    this.#owed = Math.max(-most, Math.min(most, this.#owed + meanAccuracy - accuracy));
  }
}
