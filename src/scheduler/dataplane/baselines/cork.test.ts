import { describe, expect, it } from 'vitest';
import { aRequest, batchEnded, batchStarted, completed, finished } from '../../../../test/fixtures/events.js';
import { admittedAt, batchView, candidate, dispatched, waitUntil } from '../../../../test/fixtures/batch-views.js';
import type { BatchDecision } from '../batcher.js';
import { cork, type Cork } from './cork.js';

const LIMIT_MS = 1000;

function refused(...sequences: readonly number[]): BatchDecision {
  return { kind: 'refuse', sequences };
}

interface Run {
  readonly size: number;
  readonly waitedMs: number;
  readonly latencyMs: number;
}

let nextBatchId = 1;

/** One batch from `atMs` on, whose first request had waited. */
function runBatch(rule: Cork, atMs: number, { size, waitedMs, latencyMs }: Run): void {
  const batchId = nextBatchId++;
  const request = aRequest({ sequence: 1000 + batchId });
  rule.observe({ kind: 'request-admitted', atMs: atMs - waitedMs, request, queueDepth: size });
  rule.observe(batchStarted({ atMs, batchId, sequences: [request.sequence], batchSize: size }));
  rule.observe(finished(atMs + latencyMs, completed(), request));
  rule.observe(batchEnded({ atMs: atMs + latencyMs, batchId, batchSize: size, latencyMs }));
}

/** Through its eleven training batches, of one request and 30 ms each, and `more` after 5 s. */
function trained(more: readonly Run[] = []): Cork {
  const rule = cork({ maxLatencyMs: LIMIT_MS });
  for (let index = 0; index < 11; index++) {
    const size = index < 9 ? 1 : index - 7;
    // 20·n + 10 ms.
    runBatch(rule, index * 100, { size, waitedMs: 500, latencyMs: 20 * size + 10 });
  }
  more.forEach((run, index) => runBatch(rule, 10_000 + 5000 * index, run));
  return rule;
}

/** Serving with a = 20, b = 10 and a mean wait w. */
function servingWithWait(waitMs: number): Cork {
  // 9 training batches count, with a wait of 0 each: w = waited / 10.
  return trained([{ size: 1, waitedMs: waitMs * 10, latencyMs: 30 }]);
}

describe('corking', () => {
  it('trains on eleven batches: eight and one as they come, then waits for two, then for three', () => {
    const rule = cork({ maxLatencyMs: LIMIT_MS });
    for (let index = 0; index < 9; index++) {
      expect(rule.batch(index * 100, batchView(admittedAt(index * 100), 8)).kind).toBe('dispatch');
      runBatch(rule, index * 100, { size: 1, waitedMs: 0, latencyMs: 30 });
    }
    // All of one size: a = b = 15. It waits while 2a + b + w₀ ≤ 5a + b: for 3a = 45 ms, and a poll more.
    expect(rule.batch(900, batchView(admittedAt(900), 8))).toEqual(waitUntil(946));
    expect(rule.batch(946, batchView(admittedAt(900), 8))).toEqual(dispatched(1));
    expect(rule.batch(910, batchView(admittedAt(900, 910), 8))).toEqual(dispatched(1, 2));
    runBatch(rule, 910, { size: 2, waitedMs: 10, latencyMs: 50 });
    // That batch is not among them when the line is fitted at its start: 3a + b + w₀ ≤ 7a + b, for 60 ms.
    expect(rule.batch(1000, batchView(admittedAt(1000, 1001), 8))).toEqual(waitUntil(1061));
    expect(rule.batch(1002, batchView(admittedAt(1000, 1001, 1002), 8))).toEqual(dispatched(1, 2, 3));
    runBatch(rule, 1002, { size: 3, waitedMs: 2, latencyMs: 70 });
    expect(rule.batch(1100, batchView(admittedAt(1100), 8))).toEqual(dispatched(1));
  });

  it('does not wait in training for more than the largest batch holds', () => {
    const rule = cork({ maxLatencyMs: LIMIT_MS });
    for (let index = 0; index < 9; index++) runBatch(rule, index * 100, { size: 1, waitedMs: 0, latencyMs: 30 });
    expect(rule.batch(900, batchView(admittedAt(900), 1))).toEqual(dispatched(1));
  });

  it('gives up in training only what waited for the whole limit, and keeps enough to train on', () => {
    const rule = cork({ maxLatencyMs: LIMIT_MS });
    // Two are needed: of four that have waited 1000 ms, two may go.
    expect(rule.batch(1000, batchView(admittedAt(0, 0, 0, 0), 8))).toEqual(refused(1, 2));
    expect(rule.batch(999, batchView(admittedAt(0, 0, 0, 0), 8))).toEqual(dispatched(1, 2, 3, 4));
    expect(rule.batch(1000, batchView(admittedAt(0, 0), 8))).toEqual(dispatched(1, 2));
  });

  it('serves at once while nobody used to wait', () => {
    const rule = trained();
    expect(rule.batch(20_000, batchView(admittedAt(20_000), 8))).toEqual(dispatched(1));
    expect(rule.batch(20_000, batchView(admittedAt(19_990, 20_000), 8))).toEqual(dispatched(1, 2));
  });

  it('waits as long as n·(wₙ + tick + a) ≤ 0.95·w, from the latest arrival on', () => {
    const rule = servingWithWait(100);
    // n = 1: wₙ ≤ 95 − 1 − 20 = 74, and the first poll after that is at 75.
    expect(rule.batch(20_000, batchView(admittedAt(20_000), 8))).toEqual(waitUntil(20_075));
    expect(rule.batch(20_074, batchView(admittedAt(20_000), 8))).toEqual(waitUntil(20_075));
    expect(rule.batch(20_075, batchView(admittedAt(20_000), 8))).toEqual(dispatched(1));
    // n = 2: 47.5 − 21 = 26.5 after 20 040; polls are whole ms from when it was asked.
    expect(rule.batch(20_040, batchView(admittedAt(20_000, 20_040), 8))).toEqual(waitUntil(20_067));
    expect(rule.batch(20_067, batchView(admittedAt(20_000, 20_040), 8))).toEqual(dispatched(1, 2));
    // n = 5: 19 − 21 < 0.
    expect(rule.batch(20_001, batchView(admittedAt(...[0, 0, 0, 0, 1].map((ms) => 20_000 + ms)), 8)).kind).toBe(
      'dispatch',
    );
    // Two are a full batch.
    expect(rule.batch(20_040, batchView(admittedAt(20_000, 20_040), 2))).toEqual(dispatched(1, 2));
  });

  it('gives the head up when w₀ + a·n + b ≥ limit, one after the other, never the only one for that', () => {
    const rule = trained();
    // n = 3: 70 ms for all of them, so 930 ms of wait are too many; then n = 2: 950, n = 1: the limit itself.
    const queue = admittedAt(0, 10, 20);
    expect(rule.batch(929.9, batchView(queue, 8))).toEqual(dispatched(1, 2, 3));
    expect(rule.batch(930, batchView(queue, 8))).toEqual(refused(1));
    expect(rule.batch(960, batchView(queue, 8))).toEqual(refused(1, 2));
    expect(rule.batch(1000, batchView(queue.slice(2), 8))).toEqual(dispatched(3));
    expect(rule.batch(1020, batchView(queue.slice(2), 8))).toEqual(refused(3));
  });

  it('counts all that waits, also what it cannot see', () => {
    const rule = trained();
    // 45 · 20 + 10 = 910, and 90 of wait; then 44 · 20 + 10 = 890.
    expect(rule.batch(90, batchView(admittedAt(0, 0), 8, { queueDepth: 45 }))).toEqual(refused(1));
    expect(rule.batch(90, batchView(admittedAt(0, 0), 8, { queueDepth: 44 }))).toEqual(dispatched(1, 2));
  });

  it('learns nothing from batches that broke', () => {
    const rule = trained();
    const broken = { batchId: 900, sequences: [900], batchSize: 8 };
    rule.observe(batchStarted({ ...broken, atMs: 20_000 }));
    rule.observe(batchEnded({ ...broken, atMs: 29_000, result: 'worker-lost', latencyMs: 9000 }));
    expect(rule.batch(30_000, batchView(admittedAt(30_000, 30_000), 8))).toEqual(dispatched(1, 2));
  });

  it('runs a retry alone and at once, and serves what is set aside when nothing else waits', () => {
    const rule = servingWithWait(100);
    const retry = candidate(1, { admittedAtMs: 20_000, mustRunAlone: true });
    expect(rule.batch(20_000, batchView([retry, candidate(2)], 8))).toEqual(dispatched(1));
    expect(rule.batch(0, batchView([], 8, { queueDepth: 1, setAside: [candidate(3)] }))).toEqual(dispatched(3));
    expect(rule.batch(0, batchView([], 8))).toEqual({ kind: 'idle' });
  });
});
