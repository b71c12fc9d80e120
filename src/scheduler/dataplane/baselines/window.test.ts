import { describe, expect, it } from 'vitest';
import { shapeClass } from '../../domain/request.js';
import type { BatchDecision, BatchView, Candidate } from '../batcher.js';
import { admittedAt, batchView, candidate, dispatched, waitUntil } from '../../../../test/fixtures/batch-views.js';
import { aRequest, batchStarted, finished, overloaded } from '../../../../test/fixtures/events.js';
import { batchWindow, type WindowOptions } from './window.js';

const { batch: upstream } = batchWindow({ maxBatchTimeMs: 1000, timeLeft: 'fixed' });
const { batch: fork } = batchWindow({ maxBatchTimeMs: 1000, timeLeft: 'cumulative' });

/** Requests at 0, step, 2·step, …; how many the first window takes, asked whenever one arrives and when it says so. */
function firstWindow(timeLeft: WindowOptions['timeLeft'], stepMs: number): { size: number; atMs: number } {
  const { batch: rule } = batchWindow({ maxBatchTimeMs: 1000, timeLeft });
  for (let count = 1; ; count++) {
    const instants = Array.from({ length: count }, (_, index) => index * stepMs);
    const nextArrivalMs = count * stepMs;
    let nowMs = instants.at(-1)!;
    let decision: BatchDecision = rule(nowMs, batchView(admittedAt(...instants), 64));
    if (decision.kind === 'wait' && decision.untilMs <= nextArrivalMs) {
      nowMs = decision.untilMs;
      decision = rule(nowMs, batchView(admittedAt(...instants), 64));
    }
    if (decision.kind === 'dispatch') return { size: decision.sequences.length, atMs: nowMs };
  }
}

describe('a batching window', () => {
  it('closes with the eleventh where passed time is counted again at each arrival', () => {
    // Left after each: 1000, 980, 940, 880, … 100 after the tenth, 100 − 200 < 0 after the eleventh.
    expect(firstWindow('cumulative', 20)).toEqual({ size: 11, atMs: 200 });
    expect(firstWindow('cumulative', 21)).toEqual({ size: 11, atMs: 210 });
  });

  it('closes after its time upstream: 50 arrivals exactly 20 ms apart, 48 or 49 from timers that are a little late', () => {
    // 0, 20, …, 980; the one at 1000 opens the next window.
    expect(firstWindow('fixed', 20)).toEqual({ size: 50, atMs: 1000 });
    expect(firstWindow('fixed', 20.5)).toEqual({ size: 49, atMs: 1000 });
    expect(firstWindow('fixed', 21)).toEqual({ size: 48, atMs: 1000 });
  });

  it('opened at 0, waits until 1000 and closes then, or as soon as it is full', () => {
    expect(upstream(0, batchView(admittedAt(0), 4))).toEqual(waitUntil(1000));
    expect(upstream(999, batchView(admittedAt(0, 300), 4))).toEqual(waitUntil(1000));
    expect(upstream(1000, batchView(admittedAt(0, 300), 4))).toEqual(dispatched(1, 2));
    expect(upstream(300, batchView(admittedAt(0, 100, 200, 300), 4))).toEqual(dispatched(1, 2, 3, 4));
  });

  it('of the fork closes sooner with every arrival', () => {
    // After 300: 1000 − 300 = 700 left, until 1000. After 600: 700 − 600 = 100 left, until 700.
    expect(fork(300, batchView(admittedAt(0, 300), 4))).toEqual(waitUntil(1000));
    expect(fork(600, batchView(admittedAt(0, 300, 600), 4))).toEqual(waitUntil(700));
    expect(fork(700, batchView(admittedAt(0, 300, 600), 4))).toEqual(dispatched(1, 2, 3));
  });

  it('does not wait for the model: behind a busy one small windows stay small', () => {
    // Asked at 2500, after a long batch: [0, 900], [1000], [2000 …].
    const view = batchView(admittedAt(0, 900, 1000, 2000, 2400), 8);
    expect(upstream(2500, view)).toEqual(dispatched(1, 2));
    const afterFirst = batchView(admittedAt(0, 900, 1000, 2000, 2400).slice(2), 8);
    expect(upstream(2500, afterFirst)).toEqual(dispatched(3));
    const afterSecond = batchView(admittedAt(0, 900, 1000, 2000, 2400).slice(3), 8);
    expect(upstream(2500, afterSecond)).toEqual(waitUntil(3000));
  });

  it('takes all that arrived at one instant, even when that instant closes it', () => {
    // Left after 500: 1000 − 500 = 500, after the first 600: 500 − 600 < 0.
    expect(fork(600, batchView(admittedAt(0, 500, 600, 600), 8))).toEqual(dispatched(1, 2, 3, 4));
    // But the instant itself at which its time is up is outside.
    expect(upstream(1000, batchView(admittedAt(0, 500, 1000, 1000), 8))).toEqual(dispatched(1, 2));
  });

  it('is cut in order of admission; the queue says which closed window is run first', () => {
    const byDeadline = [
      candidate(4, { admittedAtMs: 1500, dueAtMs: 1600 }),
      candidate(3, { admittedAtMs: 1200, dueAtMs: 2700 }),
      candidate(1, { admittedAtMs: 0, dueAtMs: 2800 }),
      candidate(2, { admittedAtMs: 500, dueAtMs: 2900 }),
    ];
    // [1, 2] closed at 1000, [3, 4] closes at 2200, whatever 4's deadline is.
    expect(upstream(1600, batchView(byDeadline, 8))).toEqual(dispatched(1, 2));
    expect(upstream(2200, batchView(byDeadline, 8))).toEqual(dispatched(3, 4));
  });

  it('is one of each class; a retry is a closed one of its own', () => {
    const queue = [
      candidate(1, { admittedAtMs: 0 }),
      candidate(2, { admittedAtMs: 100, classIndex: 1 }),
      candidate(3, { admittedAtMs: 200 }),
      candidate(4, { admittedAtMs: 300, classIndex: 1 }),
    ];
    expect(upstream(300, batchView(queue, 8))).toEqual(waitUntil(1000));
    expect(upstream(1000, batchView(queue, 8))).toEqual(dispatched(1, 3));
    expect(upstream(300, batchView(queue, 2))).toEqual(dispatched(1, 3));
    expect(upstream(300, batchView([...queue, candidate(5, { mustRunAlone: true })], 8))).toEqual(dispatched(5));
  });

  it('closes at the arrival of a request that its bytes have no room for', () => {
    const queue = admittedAt(0, 100, 200).map((each) => ({ ...each, byteCount: 40 }));
    expect(upstream(200, batchView(queue, 8, { maxBatchBytes: 100 }))).toEqual(dispatched(1, 2));
    expect(upstream(200, batchView(queue.slice(2), 8, { maxBatchBytes: 100 }))).toEqual(waitUntil(1200));
  });

  it('of which no event has told forgets who left: a full one may open again', () => {
    expect(upstream(300, batchView(admittedAt(0, 100), 2))).toEqual(dispatched(1, 2));
    expect(upstream(300, batchView(admittedAt(0, 100).slice(1), 2))).toEqual(waitUntil(1100));
  });
});

/** A rule that hears of what happens, and the queue in order of admission; all of it staged but what a question leaves out. */
class Followed {
  readonly #rule;
  #plan: BatchView['plan'];
  #waiting: Candidate[] = [];
  #admitted = 0;

  constructor(timeLeft: WindowOptions['timeLeft'], batchSize: number) {
    this.#rule = batchWindow({ maxBatchTimeMs: 1000, timeLeft });
    this.#plan = batchView([], batchSize).plan;
    this.plan(-1000, batchSize);
  }

  plan(atMs: number, batchSize: number): void {
    this.#plan = batchView([], batchSize).plan;
    this.#rule.observe({ kind: 'planned', atMs, plan: this.#plan, trigger: 'tick' });
  }

  admit(...instantsMs: readonly number[]): void {
    for (const atMs of instantsMs) this.admitOf('x', atMs);
  }

  admitOf(shapeClassKey: string, atMs: number, byteCount = 100): void {
    const sequence = ++this.#admitted;
    const request = aRequest({ sequence, byteCount, shapeClass: shapeClass(shapeClassKey, 1) });
    this.#waiting.push(candidate(sequence, { admittedAtMs: atMs, byteCount }));
    this.#rule.observe({ kind: 'request-admitted', atMs, request, queueDepth: this.#waiting.length });
  }

  leave(atMs: number, sequence: number): void {
    this.#drop([sequence]);
    this.#rule.observe(finished(atMs, overloaded(), aRequest({ sequence })));
  }

  ask(nowMs: number, fields: Partial<BatchView> = {}): BatchDecision {
    const view = { queueDepth: this.#waiting.length, plan: this.#plan, ...fields };
    return this.#rule.batch(nowMs, batchView(this.#waiting, 1, view));
  }

  askWithout(nowMs: number, ...unstaged: readonly number[]): BatchDecision {
    return this.ask(nowMs, { candidates: this.#waiting.filter(({ sequence }) => !unstaged.includes(sequence)) });
  }

  /** Runs what the rule says, until it waits. */
  run(nowMs: number, fields: Partial<BatchView> = {}): (readonly number[])[] {
    const batches: (readonly number[])[] = [];
    while (this.#waiting.length > 0) {
      const decision = this.ask(nowMs, fields);
      if (decision.kind !== 'dispatch') break;
      const { sequences } = decision;
      this.#drop(sequences);
      this.#rule.observe(batchStarted({ atMs: nowMs, sequences, batchSize: sequences.length }));
      batches.push(sequences);
    }
    return batches;
  }

  #drop(sequences: readonly number[]): void {
    this.#waiting = this.#waiting.filter(({ sequence }) => !sequences.includes(sequence));
  }
}

describe('a batching window that has closed', () => {
  it('stays closed when the batch size grows from 4 to 5 while it waits', () => {
    const rule = new Followed('cumulative', 4);
    rule.admit(0, 1, 2, 3, 4, 5, 6, 7);
    rule.plan(10, 5);
    rule.admit(11, 12, 13, 14, 15, 16);
    expect(rule.run(20)).toEqual([
      [1, 2, 3, 4],
      [5, 6, 7, 8],
      [9, 10, 11, 12, 13],
    ]);
    // Opened at 16 with 1000 ms.
    expect(rule.ask(20)).toEqual(waitUntil(1016));
  });

  it('stays closed, and whole, when it shrinks from 5 to 4', () => {
    const rule = new Followed('cumulative', 5);
    rule.admit(0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    rule.plan(10, 4);
    rule.admit(11, 12, 13, 14);
    expect(rule.run(20)).toEqual([
      [1, 2, 3, 4, 5],
      [6, 7, 8, 9, 10],
      [11, 12, 13, 14],
    ]);
  });

  it('holds what it held when its time was over, also where more would have fitted', () => {
    const rule = new Followed('fixed', 8);
    rule.admit(0, 900, 1000, 2000, 2400);
    expect(rule.run(2500)).toEqual([[1, 2], [3]]);
    expect(rule.ask(2500)).toEqual(waitUntil(3000));
    expect(rule.run(3000)).toEqual([[4, 5]]);
  });

  it('waits, whole, for a member that is still being staged; others go first', () => {
    const rule = new Followed('cumulative', 2);
    rule.admit(0, 1, 2, 3);
    expect(rule.askWithout(3, 2)).toEqual(dispatched(3, 4));
    expect(rule.askWithout(3, 2, 4)).toEqual(waitUntil(103));
    expect(rule.run(4)).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  it('goes without one that does not come within 100 ms of the last, which is then on its own', () => {
    const rule = new Followed('cumulative', 3);
    rule.admit(0, 1, 2);
    expect(rule.askWithout(2, 2, 3)).toEqual(waitUntil(102));
    expect(rule.askWithout(50, 3)).toEqual(waitUntil(150));
    expect(rule.askWithout(149, 3)).toEqual(waitUntil(150));
    expect(rule.askWithout(150, 3)).toEqual(dispatched(1, 2));
  });

  it('goes without what a rule cannot see where it sees as many as it can', () => {
    const rule = new Followed('cumulative', 2);
    rule.admit(...Array.from({ length: 128 }, (_, index) => index));
    // By deadline, say: the first of each window before all the second ones.
    const candidates = Array.from({ length: 64 }, (_, index) => candidate(1 + 2 * index, { admittedAtMs: 2 * index }));
    expect(rule.ask(128, { candidates })).toEqual(dispatched(1));
  });

  it('stays closed when one of it leaves', () => {
    const rule = new Followed('fixed', 2);
    rule.admit(0, 100);
    rule.leave(200, 1);
    rule.admit(300);
    expect(rule.run(300)).toEqual([[2]]);
    expect(rule.ask(300)).toEqual(waitUntil(1300));
  });

  it('is not run beyond what memory allows; the rest goes next', () => {
    const ofBytes = new Followed('fixed', 4);
    for (const atMs of [0, 1, 2, 3]) ofBytes.admitOf('x', atMs, 40);
    expect(ofBytes.run(3, { maxBatchBytes: 100 })).toEqual([
      [1, 2],
      [3, 4],
    ]);
    const ofSize = new Followed('fixed', 4);
    ofSize.admit(0, 1, 2, 3);
    expect(ofSize.run(3, { maxBatchSize: 3 })).toEqual([[1, 2, 3], [4]]);
  });
});

describe('an open batching window', () => {
  it('holds one request before there is a plan', () => {
    const { batch, observe } = batchWindow({ maxBatchTimeMs: 1000, timeLeft: 'fixed' });
    for (const sequence of [1, 2]) {
      observe({ kind: 'request-admitted', atMs: 0, request: aRequest({ sequence }), queueDepth: sequence });
    }
    expect(batch(0, batchView(admittedAt(0, 0), 8))).toEqual(dispatched(1));
  });

  it('takes more when the batch size grows', () => {
    const rule = new Followed('fixed', 4);
    rule.admit(0, 1, 2);
    rule.plan(3, 5);
    rule.admit(4);
    expect(rule.ask(4)).toEqual(waitUntil(1000));
    rule.admit(5);
    expect(rule.run(5)).toEqual([[1, 2, 3, 4, 5]]);
  });

  it('closes at once when the batch size shrinks below what it holds, but takes one more when it holds just as many', () => {
    const below = new Followed('fixed', 5);
    below.admit(0, 1, 2, 3);
    below.plan(4, 3);
    expect(below.run(4)).toEqual([[1, 2, 3, 4]]);

    const equal = new Followed('fixed', 5);
    equal.admit(0, 1, 2, 3);
    equal.plan(4, 4);
    expect(equal.ask(4)).toEqual(waitUntil(1000));
    equal.admit(5);
    expect(equal.run(5)).toEqual([[1, 2, 3, 4, 5]]);
  });

  it('loses who leaves, and keeps its time', () => {
    const rule = new Followed('fixed', 2);
    rule.admit(0);
    rule.leave(100, 1);
    rule.admit(200);
    expect(rule.ask(200)).toEqual(waitUntil(1000));
    rule.admit(300);
    expect(rule.run(300)).toEqual([[2, 3]]);
  });

  it('is one of each shape class', () => {
    const rule = new Followed('fixed', 2);
    rule.admitOf('x', 0);
    rule.admitOf('y', 100);
    expect(rule.ask(100)).toEqual(waitUntil(1000));
    rule.admitOf('x', 200);
    expect(rule.run(200)).toEqual([[1, 3]]);
    expect(rule.ask(200)).toEqual(waitUntil(1100));
  });

  it('closes at the arrival of a request that the bytes, once seen, have no room for', () => {
    const rule = new Followed('fixed', 8);
    rule.admitOf('x', 0, 40);
    expect(rule.ask(0, { maxBatchBytes: 100 })).toEqual(waitUntil(1000));
    rule.admitOf('x', 100, 40);
    rule.admitOf('x', 200, 40);
    expect(rule.run(200, { maxBatchBytes: 100 })).toEqual([[1, 2]]);
    expect(rule.ask(200, { maxBatchBytes: 100 })).toEqual(waitUntil(1200));
  });
});
