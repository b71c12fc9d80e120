/*
 * Whether waiting for company in a batch is worth trying. What a forecast expects may never come: a client that sends its next request
 * when it has an answer is delayed by every wait, and the rate falls by it, so the next wait is longer, up to the whole budget. So
 *
 * - where the load is so small that batches would save next to nothing, nobody waits;
 * - a wait ends when nobody has come for several times as long as they usually take to, and after a second in any case;
 * - it ends sooner where those who come in a wait come soon or not at all (`company-record.ts`): the mean does not show it of clients who
 *   all wait for their answers, as every silence that the waits themselves make is part of it;
 * - one in vain is a reason to start the next batches at once: one, three, seven… of them, until company is seen again.
 */

import { CompanyRecord } from './company-record.js';

/** In all, however far the deadline is: longer, and whoever waits asks whether anybody is there. */
const LONGEST_WAIT_MS = 1000;
/** Mean gaps between arrivals; of random ones, one in three thousand is longer. */
const LONGEST_SILENCE_GAPS = 8;
/** After so many in vain, 1023 batches are started at once: a wait that helps nobody is then beyond the 99.9th percentile. */
const MOST_DOUBLINGS = 10;
/** A fiftieth of a core is not worth anybody's time. */
const LEAST_SAVING_MILLICORES = 20;

interface Wait {
  readonly endAtMs: number;
  /** Requests that were there when it began. */
  readonly count: number;
  /** The most that were there since, from when on, and until when another one is expected. */
  latestCount: number;
  latestAtMs: number;
  quietUntilMs: number;
}

export class Patience {
  /** Of the wait that goes on. */
  #wait: Wait | null = null;
  readonly #company = new CompanyRecord();
  /** Waits in vain, one after the other. */
  #vainCount = 0;
  /** Batches to be started at once. */
  #leftCount = 0;

  /**
   * @param count requests that are there now, of which a batch may be made
   * @param millicores what company would save
   * @param gapMs between two arrivals, on average
   */
  mayWait(nowMs: number, count: number, millicores: number, gapMs: number): boolean {
    if (millicores < LEAST_SAVING_MILLICORES) return false;
    if (this.#company.longestSilenceMs(LONGEST_SILENCE_GAPS, gapMs) === 0) return false;
    const wait = this.#wait;
    if (count > (wait?.count ?? 1)) this.#vainCount = this.#leftCount = 0;
    if (this.#leftCount > 0) return false;
    if (wait === null) return true;
    return nowMs < wait.endAtMs && (nowMs < wait.quietUntilMs || count > wait.latestCount);
  }

  /**
   * It is decided to wait.
   * @param gapMs between two arrivals, on average
   * @returns until when: later than now where `mayWait`
   */
  wait(nowMs: number, untilMs: number, count: number, gapMs: number): number {
    const quietUntilMs = nowMs + this.#company.longestSilenceMs(LONGEST_SILENCE_GAPS, gapMs);
    this.#wait ??= { endAtMs: nowMs + LONGEST_WAIT_MS, count, latestCount: count, latestAtMs: nowMs, quietUntilMs };
    const wait = this.#wait;
    if (count > wait.latestCount) {
      this.#company.observe(nowMs - wait.latestAtMs, true);
      wait.latestCount = count;
      wait.latestAtMs = nowMs;
      wait.quietUntilMs = quietUntilMs;
    }
    return Math.min(untilMs, wait.endAtMs, wait.quietUntilMs);
  }

  /** A batch is started. @param count requests that are there, its own included */
  start(nowMs: number, count: number): void {
    const wait = this.#wait;
    this.#wait = null;
    if (wait !== null) this.#company.observe(nowMs - wait.latestAtMs, count > wait.latestCount);
    this.#company.fade();
    if (wait === null) this.#leftCount = Math.max(0, this.#leftCount - 1);
    else if (count > wait.count) this.#vainCount = 0;
    else {
      this.#vainCount = Math.min(this.#vainCount + 1, MOST_DOUBLINGS);
      this.#leftCount = 2 ** this.#vainCount - 1;
    }
  }
}
