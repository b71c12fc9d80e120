import type { Sample } from './exposition.js';

/*
 * Counters that follow totals which are kept elsewhere: by how much each has grown since it was looked at last. So several that
 * have the same series add up, and a total that begins anew, with a new group for example, goes on.
 */

export class FollowedTotals {
  /** The total when it was looked at. */
  readonly #seen = new Map<Sample, number>();

  follow(counter: Sample, total: number): void {
    const before = this.#seen.get(counter) ?? 0;
    this.#seen.set(counter, total);
    counter.value += total < before ? total : total - before;
  }
}
