import { describe, expect, it } from 'vitest';
import { SpanQueue, type EncodedSpans } from './span-queue.js';

const spans = (spanCount: number): EncodedSpans => ({ bytes: new Uint8Array(1), spanCount });

/** Sendings that end when they are told to. */
function setUp(limits: { readonly capacity: number; readonly batchSize: number; readonly mostInFlight: number }) {
  const sent: number[] = [];
  const ends: ((isTaken: boolean) => void)[] = [];
  const send = (batch: readonly EncodedSpans[]): Promise<boolean> => {
    sent.push(batch.reduce((sum, { spanCount }) => sum + spanCount, 0));
    return new Promise((resolve) => ends.push(resolve));
  };
  return { queue: new SpanQueue({ ...limits, send }), sent, ends };
}

describe('the queue of spans', () => {
  it('sends what there is once it is worth it, or when told to', () => {
    const { queue, sent } = setUp({ capacity: 100, batchSize: 10, mostInFlight: 2 });
    queue.push(spans(6));
    expect(sent).toEqual([]);
    queue.push(spans(6));
    expect(sent).toEqual([12]);
    queue.push(spans(1));
    queue.sendNext();
    expect(sent).toEqual([12, 1]);
  });

  it('drops what has no room, whole traces at a time, and counts each span once', async () => {
    const { queue, sent, ends } = setUp({ capacity: 10, batchSize: 4, mostInFlight: 1 });
    queue.push(spans(4)); // Sent; nothing comes back.
    for (let i = 0; i < 4; i++) queue.push(spans(4)); // 4 + 4 wait, 4 + 4 have no room.
    expect(sent).toEqual([4]);
    expect(queue.takeCounts()).toEqual({ exported: 0, failed: 0, dropped: 8 });
    ends[0]!(false);
    await Promise.resolve();
    await Promise.resolve();
    expect(sent).toEqual([4, 4]);
    ends[1]!(true);
    await Promise.resolve();
    await Promise.resolve();
    expect(queue.takeCounts()).toEqual({ exported: 4, failed: 4, dropped: 0 });
  });

  it('is drained when all has been sent, taken or not', async () => {
    const { queue, ends } = setUp({ capacity: 100, batchSize: 10, mostInFlight: 1 });
    await queue.drained();
    queue.push(spans(10));
    queue.push(spans(3));
    let isDrained = false;
    const drained = queue.drained().then(() => (isDrained = true));
    ends[0]!(true);
    await new Promise((resolve) => setImmediate(resolve));
    expect([isDrained, ends.length]).toEqual([false, 2]);
    ends[1]!(false);
    await drained;
  });
});
