/*
 * The queue as a sorted list, for planning, which looks at all of it again and again. The list of last time, less what has
 * left and with what came since at its end, is nearly sorted, and sorting that is O(n + k log k) for k new ones (merge sort
 * by runs, as ECMAScript engines have it); sorting the heap anew is O(n log n) and took a third of a simulated run.
 */
import { compareByDeadline } from './edf-queue.js';
import type { QueueEntry } from './queue-entry.js';

/** Below this many entries, those that have left are not worth removing. */
const MIN_PURGED = 64;

export class QueueOrder {
  /** Everything queued, and some that have left. */
  readonly #entries: QueueEntry[] = [];
  #purgeAt = MIN_PURGED;

  /** An entry that was queued, and not set aside. That it leaves need not be told. */
  add(entry: QueueEntry): void {
    if (entry.isListed) return; // It left, came back, and was not purged in between.
    // Nobody may ask for the list for long: what has left must not pile up. Amortised O(1).
    if (this.#entries.length >= this.#purgeAt) this.#purge();
    entry.isListed = true;
    this.#entries.push(entry);
  }

  /** In queue order. Its own list, which the next call of anything here changes. */
  list(): readonly QueueEntry[] {
    this.#purge();
    this.#entries.sort(compareByDeadline);
    return this.#entries;
  }

  #purge(): void {
    const entries = this.#entries;
    let kept = 0;
    for (const entry of entries) {
      entry.isListed = entry.state === 'queued' && !entry.isSetAside;
      if (entry.isListed) entries[kept++] = entry;
    }
    entries.length = kept;
    this.#purgeAt = Math.max(MIN_PURGED, 2 * kept);
  }
}
