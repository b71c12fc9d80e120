/*
 * Exploration puts beliefs to the test that refuse requests: that a request of this shape class takes longer than its
 * budget, even alone. A belief that admits is tested by every batch; one that refuses is tested by nothing, and would refuse
 * for ever. So one of those about to be refused is tried instead: next, alone, at the largest allocation. Beside admission
 * and load shedding, which ask before they refuse.
 *
 * What a test may cost the others, whatever is believed and whatever is true:
 * - one request at a time is tried, and one of a class at most every `intervalMs`, counted from the class's last batch;
 * - a test that failed (the request would not have been in time even alone) has cost the worker's time: a debt, which is paid
 *   off as time passes, and no test begins before it is. While others ask, 95 ms without a test pay for 5 ms of one. So of any
 *   time in which others ask failed tests take at most 5 %, and the last of them;
 * - while nobody else does, each ms pays for one: half of the time, as there is nobody who loses by it;
 * - a test that succeeded has served a request in time, as any batch does. It is free.
 *
 * Rejected alternatives: believing less with time (what this replaces): it takes as long as the belief is wrong, and then lets
 * in everything at once. Chance, a share ε of the refused: at 500 requests a second that starves the others, at one a
 * minute it never comes.
 */

/** Of the worker's time, for tests that fail, while others are served. */
const SHARE_BESIDE_OTHERS = 0.05;
/** The same where nobody else is. */
const SHARE_ALONE = 0.5;
/** What a millisecond without a test pays off. */
const PAID_BESIDE_OTHERS = SHARE_BESIDE_OTHERS / (1 - SHARE_BESIDE_OTHERS);
const PAID_ALONE = SHARE_ALONE / (1 - SHARE_ALONE);
/** Others ask if one was let in, or a batch of theirs ran, so recently. */
const OTHERS_WITHIN_MS = 2000;
/** From a first failed test to the next, and from the later ones. Half a second: beliefs are tested within a second. */
const FIRST_INTERVAL_MS = 250;
const LONGEST_INTERVAL_MS = 500;
/** Of requests that cannot outlast a restart as it is expected to be, one so often is let wait for the worker. */
const RESTART_INTERVAL_MS = 250;
/** Classes remembered; the one whose last batch is longest ago is forgotten. Clients choose shapes. */
const MOST_CLASSES = 1024;

interface TestedClass {
  /** End of its last batch; Infinity while one runs. */
  readonly ranAtMs: number;
  /** From then until the next test. */
  readonly intervalMs: number;
}

export class Exploration {
  readonly #classes = new Map<string, TestedClass>();
  #isUnderWay = false;
  #othersAtMs = -Infinity;
  /** What failed tests took of the worker's time and is not paid off, at that instant. */
  #debtMs = 0;
  #settledAtMs = 0;
  #restartTriedAtMs = -Infinity;

  /** Whether a request of this class that is about to be refused may be tried instead. */
  mayBegin(nowMs: number, classKey: string): boolean {
    if (this.#isUnderWay) return false;
    this.#settle(nowMs);
    if (this.#debtMs > 0) return false;
    const tested = this.#classes.get(classKey);
    return tested === undefined || nowMs >= tested.ranAtMs + tested.intervalMs;
  }

  /** A request is to be tried; `called off` or `ended` follows. */
  begin(): void {
    this.#isUnderWay = true;
  }

  /** It could not be run: nothing was learnt, and the next may be tried. */
  calledOff(): void {
    this.#isUnderWay = false;
  }

  /** @param hasSucceeded whether the request would have been in time had it been run at once */
  ended(nowMs: number, classKey: string, ranMs: number, hasSucceeded: boolean): void {
    this.#isUnderWay = false;
    if (hasSucceeded) {
      this.#note(classKey, { ranAtMs: nowMs, intervalMs: 0 });
      return;
    }
    this.#debtMs = ranMs;
    this.#settledAtMs = nowMs;
    const lastMs = this.#classes.get(classKey)?.intervalMs ?? 0;
    const intervalMs = Math.min(LONGEST_INTERVAL_MS, Math.max(FIRST_INTERVAL_MS, 2 * lastMs));
    this.#note(classKey, { ranAtMs: nowMs, intervalMs });
  }

  /** A request was let in that was not to be refused. */
  othersAsked(nowMs: number): void {
    if (this.#debtMs > 0) this.#settle(nowMs);
    this.#othersAtMs = nowMs;
  }

  /** A batch of such requests begins. */
  batchStarted(nowMs: number, classKey: string): void {
    this.othersAsked(nowMs);
    this.#note(classKey, { ranAtMs: Infinity, intervalMs: LONGEST_INTERVAL_MS });
  }

  /** And ends, with whatever result: the class is known by it. */
  batchEnded(nowMs: number, classKey: string): void {
    this.othersAsked(nowMs);
    this.#note(classKey, { ranAtMs: nowMs, intervalMs: LONGEST_INTERVAL_MS });
  }

  /** Whether a request may wait for a worker that is not expected back in time: how long a restart takes is a belief, too. */
  mayAwaitRestart(nowMs: number): boolean {
    if (nowMs < this.#restartTriedAtMs + RESTART_INTERVAL_MS) return false;
    this.#restartTriedAtMs = nowMs;
    return true;
  }

  /** Pays off what has passed since it was last called. */
  #settle(nowMs: number): void {
    const passedMs = nowMs - this.#settledAtMs;
    const besideMs = Math.min(passedMs, Math.max(0, this.#othersAtMs + OTHERS_WITHIN_MS - this.#settledAtMs));
    this.#settledAtMs = nowMs;
    this.#debtMs = Math.max(0, this.#debtMs - besideMs * PAID_BESIDE_OTHERS - (passedMs - besideMs) * PAID_ALONE);
  }

  #note(classKey: string, tested: TestedClass): void {
    this.#classes.delete(classKey); // The latest is the last of the map.
    if (this.#classes.size >= MOST_CLASSES) this.#classes.delete(this.#classes.keys().next().value!);
    this.#classes.set(classKey, tested);
  }
}
