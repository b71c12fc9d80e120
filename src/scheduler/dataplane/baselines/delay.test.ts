import { describe, expect, it } from 'vitest';
import { admittedAt, batchView, candidate, dispatched, waitUntil } from '../../../../test/fixtures/batch-views.js';
import { delay } from './delay.js';

const rule = delay({ maxQueueDelayMs: 10 });

describe('batching with a preferred size and a longest delay', () => {
  it('at 0 waits until 10; at 4, with a second one, still until 10; at 10 dispatches both', () => {
    expect(rule(0, batchView(admittedAt(0), 4))).toEqual(waitUntil(10));
    expect(rule(4, batchView(admittedAt(0, 4), 4))).toEqual(waitUntil(10));
    expect(rule(9.5, batchView(admittedAt(0, 4), 4))).toEqual(waitUntil(10));
    expect(rule(10, batchView(admittedAt(0, 4), 4))).toEqual(dispatched(1, 2));
  });

  it('dispatches the preferred size as soon as so many wait, and leaves the others for the next one', () => {
    expect(rule(3, batchView(admittedAt(0, 1, 2, 3), 4))).toEqual(dispatched(1, 2, 3, 4));
    expect(rule(3, batchView(admittedAt(0, 1, 2, 3, 3), 4))).toEqual(dispatched(1, 2, 3, 4));
  });

  it('does not wait again when the worker was busy for longer than the delay', () => {
    expect(rule(50, batchView(admittedAt(38, 49), 4))).toEqual(dispatched(1, 2));
  });

  it('never waits with a delay of 0', () => {
    expect(delay({ maxQueueDelayMs: 0 })(7, batchView(admittedAt(7), 4))).toEqual(dispatched(1));
  });

  it('goes by the oldest of the batch, also where the queue is in another order', () => {
    const byDeadline = [candidate(3, { admittedAtMs: 8 }), candidate(1, { admittedAtMs: 2 })];
    expect(rule(8, batchView(byDeadline, 4))).toEqual(waitUntil(12));
    // 2 does not fit into the batch of 2 any more: the youngest two go, at once.
    const full = [candidate(3, { admittedAtMs: 8 }), candidate(4, { admittedAtMs: 8 }), candidate(2)];
    expect(rule(8, batchView(full, 2))).toEqual(dispatched(3, 4));
  });

  it('sends what stands before a request of another shape: it cannot grow any more', () => {
    const queue = [candidate(1), candidate(2), candidate(3, { classIndex: 1 }), candidate(4)];
    expect(rule(0, batchView(queue, 4))).toEqual(dispatched(1, 2));
    expect(rule(0, batchView(queue.slice(2), 4))).toEqual(dispatched(3));
    expect(rule(0, batchView(queue.slice(3), 4))).toEqual(waitUntil(10));
  });

  it('sends what is full by bytes, and a retry alone', () => {
    const queue = [candidate(1, { byteCount: 60 }), candidate(2, { byteCount: 60 })];
    expect(rule(0, batchView(queue, 4, { maxBatchBytes: 100 }))).toEqual(dispatched(1));
    expect(rule(0, batchView([candidate(1, { byteCount: 100 })], 4, { maxBatchBytes: 100 }))).toEqual(dispatched(1));
    expect(rule(0, batchView([candidate(1, { mustRunAlone: true }), candidate(2)], 4))).toEqual(dispatched(1));
  });
});
