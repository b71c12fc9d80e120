/*
 * What is set aside waits behind all others, but not for ever: beside a load that always has somebody who comes first, a client that
 * states no deadline would never be answered. So where others are always served first, set-aside requests that are long overdue have a
 * share of the time: after 95 ms of batches of others 5 ms of theirs, the first due first, one batch at a time. A batch may take longer
 * than what is owed: others have their time first before there is another one. Of a model that has the cores seldom, beside others, it
 * is a batch every ten seconds.
 *
 * Rejected: telling them after a while that they are given up. Whoever sends ten thousand requests at once without a deadline means to
 * wait for all of them.
 */

/** Of the time that batches take. */
const SHARE = 0.05;
/** Of others' time that owes them one. */
const OWED_PER_MS = SHARE / (1 - SHARE);
/** Only those so long overdue: in a burst everybody has their chance behind it. */
const PATIENCE_MS = 5000;
const LONGEST_PAUSE_MS = 10_000;

export class SetAsideTurns {
  /** Of batch time; negative: others are owed it. */
  #owedMs = 0;
  /** When the last of theirs ended. */
  #ranAtMs = -Infinity;

  /** A batch of others has taken so long while something was set aside. */
  othersRan(durationMs: number): void {
    this.#owedMs += OWED_PER_MS * durationMs;
  }

  /** One of set-aside requests has, whether or not it was their turn. */
  setAsideRan(nowMs: number, durationMs: number): void {
    this.#owedMs = Math.max(0, this.#owedMs) - durationMs;
    this.#ranAtMs = nowMs;
  }

  /** Nothing is set aside any more: whoever is next has waited for nothing yet. */
  nothingWaits(): void {
    this.#owedMs = Math.min(0, this.#owedMs);
  }

  /** Whether the next batch is theirs. @param dueAtMs of the first of them */
  isNext(nowMs: number, dueAtMs: number): boolean {
    const isOwed = this.#owedMs > 0 || nowMs >= this.#ranAtMs + LONGEST_PAUSE_MS;
    return isOwed && nowMs >= dueAtMs + PATIENCE_MS;
  }
}
