import { describe, expect, it } from 'vitest';
import { received, aRequest } from '../../../test/fixtures/events.js';
import { recordOf, type ModelRecord } from '../../scheduler/domain/event-record.js';
import { RecordChunk, RecordRing } from './record-ring.js';

const ready = (atMs: number): ModelRecord => ({ model: 0, kind: 'worker-ready', atMs });
const chunkOf = (atMs: number, count: number): RecordChunk =>
  new RecordChunk(
    atMs,
    Array.from({ length: count }, () => ready(atMs)),
    [],
  );

describe('the ring of recent records', () => {
  it('keeps a quarter more than history takes, by age and by count', () => {
    const ring = new RecordRing({ historyMs: 1000, historyRecords: 100 });
    for (let atMs = 0; atMs <= 3000; atMs += 100) ring.append(chunkOf(atMs, 1));
    // 3000 − 1250 = 1750: the first that is younger was made at 1800.
    expect(ring.at(ring.oldest)!.atMs).toBe(1800);
    expect(ring.at(ring.oldest - 1)).toBeUndefined();
    expect(ring.at(ring.startOfHistory(3000))!.atMs).toBe(2000);
    for (let turn = 0; turn < 10; turn++) ring.append(chunkOf(3100, 20));
    // At most 125 records: six chunks of 20, as all of the others are older.
    expect(ring.end - ring.oldest).toBe(6);
    // At most 100 of them: five.
    expect(ring.end - ring.startOfHistory(3100)).toBe(5);
  });

  it('counts chunks from the first there ever was', () => {
    const ring = new RecordRing({ historyMs: 1000, historyRecords: 1 });
    for (let index = 0; index < 5; index++) {
      expect(ring.end).toBe(index);
      const chunk = chunkOf(index, 1);
      ring.append(chunk);
      expect(ring.at(index)).toBe(chunk);
    }
    expect(ring.oldest).toBe(4);
  });

  it('keeps the newest chunk even where it is more than may be kept', () => {
    const ring = new RecordRing({ historyMs: 1000, historyRecords: 10 });
    ring.append(chunkOf(0, 1));
    ring.append(chunkOf(1, 500));
    expect([ring.oldest, ring.end]).toEqual([1, 2]);
  });

  it('has no history when nothing happened recently', () => {
    const ring = new RecordRing({ historyMs: 1000, historyRecords: 10 });
    expect(ring.startOfHistory(0)).toBe(ring.end);
    ring.append(chunkOf(0, 1));
    expect(ring.startOfHistory(1000)).toBe(0);
    expect(ring.startOfHistory(1001)).toBe(ring.end);
  });
});

describe('a chunk', () => {
  it('is one message, made once', () => {
    const chunk = new RecordChunk(7.0004, [ready(1), ready(2)], []);
    expect(chunk.lines).toEqual([JSON.stringify(ready(1)), JSON.stringify(ready(2))]);
    const { message } = chunk;
    expect(message.toString()).toBe(
      `data: {"atMs":7,"records":[${JSON.stringify(ready(1))},${JSON.stringify(ready(2))}]}\n\n`,
    );
    expect(chunk.message).toBe(message);
  });

  it('names clients to the log, and not to those who watch', () => {
    const record: ModelRecord = { model: 0, ...recordOf(received(aRequest({ client: '192.0.2.7' }))) };
    const chunk = new RecordChunk(0, [record], []);
    expect(chunk.lines[0]).toContain('"client":"192.0.2.7"');
    chunk.settle();
    expect(chunk.message.toString()).toContain('"client":""');
    expect(chunk.message.toString()).toContain(
      `"sequence":${record.kind === 'request-received' ? record.sequence : ''}`,
    );
  });
});
