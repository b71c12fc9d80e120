import { describe, expect, it } from 'vitest';
import type { EventRecord } from './event-record.js';
import { QueueCount } from './queue-count.js';

const admitted = (sequence: number, queueDepth: number): EventRecord => ({
  kind: 'request-admitted',
  atMs: 0,
  sequence,
  queueDepth,
});
const finished = (sequence: number): EventRecord => ({
  kind: 'request-finished',
  atMs: 0,
  sequence,
  outcome: 'expired',
  reason: 'expired',
  service: null,
});
const started = (batchId: number, sequences: readonly number[]): EventRecord =>
  ({ kind: 'batch-started', atMs: 0, batchId, sequences }) as EventRecord;
const ended = (batchId: number, result: string): EventRecord =>
  ({ kind: 'batch-ended', atMs: 0, batchId, result }) as EventRecord;

function depthsOf(records: readonly EventRecord[]): number[] {
  const count = new QueueCount();
  return records.map((record) => {
    count.apply(record);
    return count.depth;
  });
}

describe('the queue as the records tell it', () => {
  it('grows by admissions, and shrinks by batches and by who ends while waiting', () => {
    expect(depthsOf([admitted(1, 1), admitted(2, 2), admitted(3, 3), started(1, [1, 2]), finished(3)])).toEqual([
      1, 2, 3, 1, 0,
    ]);
  });

  it('has the unanswered members of a broken batch again, and loses them again', () => {
    const broken = [admitted(1, 1), admitted(2, 2), started(1, [1, 2]), finished(1), ended(1, 'worker-lost')];
    expect(depthsOf([...broken, finished(2)])).toEqual([1, 2, 0, 0, 1, 0]);
    expect(depthsOf([...broken, started(2, [2]), ended(2, 'completed')])).toEqual([1, 2, 0, 0, 1, 0, 0]);
  });

  it('counts a request that ends once, wherever it was', () => {
    expect(depthsOf([admitted(1, 5), started(1, [1]), finished(1), finished(1), ended(1, 'completed')])).toEqual([
      5, 4, 4, 4, 4,
    ]);
  });

  it('is right from the next admission on where its beginning was not seen', () => {
    expect(depthsOf([started(8, [1, 2]), finished(3), admitted(4, 7), ended(7, 'worker-lost')])).toEqual([0, 0, 7, 7]);
  });
});
