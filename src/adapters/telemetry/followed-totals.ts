import type { Counter } from 'prom-client';

/*
 * Counters that follow totals which are kept elsewhere: by how much each has grown since it was looked at last. So several that
 * have the same labels add up, and a total that begins anew, with a new group for example, goes on.
 */

export class FollowedTotals {
  /** By counter and labels: the total when it was looked at. */
  readonly #seen = new Map<Counter, Map<string, number>>();

  follow<Label extends string>(counter: Counter<Label>, labels: Record<Label, string>, total: number): void {
    const key = Object.values(labels).join('\n');
    const seen = this.#seen.get(counter) ?? new Map<string, number>();
    this.#seen.set(counter, seen);
    const before = seen.get(key) ?? 0;
    seen.set(key, total);
    counter.inc(labels, total < before ? total : total - before);
  }
}
