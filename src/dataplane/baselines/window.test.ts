import { describe, expect, it } from 'vitest';
import type { BatchDecision } from '../batcher.js';
import { admittedAt, batchView, candidate, dispatched, waitUntil } from '../../../test/fixtures/batch-views.js';
import { batchWindow, type WindowOptions } from './window.js';

const upstream = batchWindow({ maxBatchTimeMs: 1000, timeLeft: 'fixed' });
const fork = batchWindow({ maxBatchTimeMs: 1000, timeLeft: 'cumulative' });

/** Requests at 0, step, 2·step, …; how many the first window takes, asked whenever one arrives and when it says so. */
function firstWindow(timeLeft: WindowOptions['timeLeft'], stepMs: number): { size: number; atMs: number } {
  const rule = batchWindow({ maxBatchTimeMs: 1000, timeLeft });
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

  it('forgets who left: a full one may open again', () => {
    expect(upstream(300, batchView(admittedAt(0, 100), 2))).toEqual(dispatched(1, 2));
    expect(upstream(300, batchView(admittedAt(0, 100).slice(1), 2))).toEqual(waitUntil(1100));
  });
});
