import { describe, expect, it } from 'vitest';
import { admittedAt, batchView, candidate, dispatched } from '../../../../test/fixtures/batch-views.js';
import { greedy } from './greedy.js';

describe('greedy batching', () => {
  it('takes what waits, up to the plan, at once', () => {
    expect(greedy(0, batchView(admittedAt(0), 4))).toEqual(dispatched(1));
    expect(greedy(0, batchView(admittedAt(0, 0, 0, 0, 0), 4))).toEqual(dispatched(1, 2, 3, 4));
  });

  it('takes the batch from the front of the queue, whoever came first', () => {
    const queue = [candidate(9, { dueAtMs: 50, admittedAtMs: 90 }), candidate(2, { dueAtMs: 60, admittedAtMs: 10 })];
    expect(greedy(100, batchView(queue, 1))).toEqual(dispatched(9));
  });

  it('passes over other classes, and those that must run alone', () => {
    const queue = [
      candidate(1),
      candidate(2, { classIndex: 1 }),
      candidate(3, { mustRunAlone: true }),
      candidate(4),
      candidate(5),
    ];
    expect(greedy(0, batchView(queue, 3))).toEqual(dispatched(1, 4, 5));
    expect(greedy(0, batchView(queue.slice(2), 3))).toEqual(dispatched(3));
  });

  it('keeps to what memory allows, in requests and in bytes; a single larger request still runs', () => {
    const queue = [1, 2, 3, 4].map((sequence) => candidate(sequence, { byteCount: 40 }));
    expect(greedy(0, batchView(queue, 4, { maxBatchSize: 3 }))).toEqual(dispatched(1, 2, 3));
    expect(greedy(0, batchView(queue, 4, { maxBatchBytes: 100 }))).toEqual(dispatched(1, 2));
    expect(greedy(0, batchView(queue, 4, { maxBatchBytes: 10 }))).toEqual(dispatched(1));
  });

  it('serves what is set aside when nothing else waits, and is idle when nothing at all does', () => {
    const setAside = [candidate(7), candidate(8)];
    expect(greedy(0, batchView([], 4, { queueDepth: 2, setAside }))).toEqual(dispatched(7, 8));
    expect(greedy(0, batchView([], 4))).toEqual({ kind: 'idle' });
  });
});
