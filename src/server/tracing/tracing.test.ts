import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { InferRequest } from '../../scheduler/domain/request.js';
import { shapeClass } from '../../scheduler/domain/request.js';
import { OtlpWriter } from './otlp-writer.js';
import { newSpanId } from './request-trace.js';
import { writeSpans } from './spans.js';
import { readRecords, type BatchRecord, type RequestRecord } from './trace-records.js';
import { Tracing, type TraceThread } from './tracing.js';
import type { FromTraceThread, ToTraceThread } from './trace-thread.js';

/** A thread that keeps what it is given. */
class KeepingThread {
  readonly records: (RequestRecord | BatchRecord)[] = [];
  readonly #listeners = new Map<string, (message: FromTraceThread) => void>();
  doesTake = true;

  on(kind: string, listener: (message: FromTraceThread) => void): this {
    this.#listeners.set(kind, listener);
    return this;
  }

  postMessage(message: ToTraceThread): void {
    if (message.kind === 'close') {
      this.say({ kind: 'closed' });
      return;
    }
    this.records.push(...readRecords(message.envelope));
    if (this.doesTake) this.say({ kind: 'taken' });
  }

  say(message: FromTraceThread): void {
    this.#listeners.get('message')!(message);
  }

  unref(): void {
    // Nothing runs.
  }

  terminate(): Promise<number> {
    return Promise.resolve(0);
  }
}

function setUp(ratio = 0) {
  const clock = new VirtualClock();
  const thread = new KeepingThread();
  const dropped: number[] = [];
  const troubles: string[] = [];
  const tracing = new Tracing({
    settings: { url: 'http://c:4318/v1/traces', ratio, isParentBased: true },
    clock,
    readUnixMs: () => 1_700_000_000_000 + clock.nowMs(),
    ...{ serviceName: 'sponge', serviceVersion: '1' },
    onSpans: (counts) => dropped.push(counts.dropped),
    onTrouble: (line) => troubles.push(line),
    startThread: () => thread as unknown as TraceThread,
  });
  const { observe } = tracing.attachModel({ model: 'm', version: '1' });
  return { clock, thread, tracing, observe, dropped, troubles };
}

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const CALL = {
  protocol: 'http',
  ...{ method: '/v2/models/{model}/infer', path: '/v2/models/m/infer', peer: '::1' },
  ...{ parent: `00-${TRACE}-00f067aa0ba902b7-01`, state: 'a=1', firstByteAtMs: 1, receivedAtMs: 2 },
} as const;

function request(sequence: number): InferRequest {
  return {
    ...{ sequence, receivedAtMs: 2, sloMs: 100, networkDelayMs: 1, networkDelaySource: 'transfer' },
    ...{ replyReserveMs: 0, dueAtMs: 101, client: 'c', isDeadlineDefaulted: false, isBestEffort: false, priority: 0 },
    ...{ shapeClass: shapeClass('k', 1), byteCount: 4, inputs: [], outputNames: [] },
  };
}

const SERVICE = {
  ...{ queuedMs: 2, slackAtDispatchMs: 80, batchId: 9, batchSize: 2, cpuMillicores: 1500, threadCount: 2 },
  ...{ plannedLatencyMs: 12, latencyMs: 10 },
};
const STARTED = {
  kind: 'batch-started',
  ...{ batchId: 9, batchSize: 2, rowCount: 2, cpuMillicores: 1500, threadCount: 2 },
  ...{ predictedLatencyMs: 11, plannedLatencyMs: 12, shapeClassKey: 'k', isExploring: false, instance: 1 },
} as const;
const ENDED = {
  kind: 'batch-ended',
  result: 'completed',
  ...{ batchId: 9, batchSize: 2, rowCount: 2 },
  ...{ latencyMs: 10, computeMs: 9, actualToPredicted: 0.9 },
} as const;

describe('what is kept of requests', () => {
  it('is all that their events said, and the batch once, after its last member', () => {
    const { clock, thread, tracing, observe } = setUp();
    const [one, two] = [tracing.begin(CALL), tracing.begin({ ...CALL, parent: undefined })];
    [one, two].forEach((trace, i) => {
      tracing.join(trace, request(i), 'm', '1', 'id');
      observe({ kind: 'request-admitted', atMs: 3, request: request(i), queueDepth: i });
    });
    observe({ ...STARTED, atMs: 5, sequences: [0, 1] });
    observe({ ...ENDED, atMs: 15 });
    const outcome = { kind: 'completed', isLate: false, outputs: [], service: SERVICE } as const;
    for (const i of [0, 1]) observe({ kind: 'request-finished', atMs: 15, request: request(i), outcome });
    clock.advanceTo(16);
    one.answered(200);
    clock.advanceTo(300);
    // Its other member has not been answered.
    expect(thread.records.map(({ kind }) => kind)).toEqual(['request']);
    two.answered(200);
    clock.advanceTo(600);
    // The second is nobody's to keep: it has no caller, and the ratio is 0.
    const [first, batch] = thread.records as [RequestRecord, BatchRecord];
    expect(thread.records).toHaveLength(2);
    expect(first).toMatchObject({
      ...{ kind: 'request', status: 200, traceState: 'a=1', firstByteAtMs: 1, receivedAtMs: 2, answeredAtMs: 16 },
      request: {
        ...{ model: 'm', version: '1', clientId: 'id', sloMs: 100, budgetMs: 99, networkDelayMs: 1, dueAtMs: 101 },
        ...{ admittedAtMs: 3, endedAtMs: 15, outcome: 'completed_on_time', reason: '', plannedMs: 12, latencyMs: 10 },
      },
      runs: [{ queuedAtMs: 3, startedAtMs: 5, endedAtMs: 15, partCount: 1, batch: { instance: 1, predictedMs: 11 } }],
    });
    expect(batch).toMatchObject({ kind: 'batch', startedAtMs: 5, endedAtMs: 15, batchSize: 2, computeMs: 9 });
    expect(batch.links).toHaveLength(2);
    expect(batch.links[0]).toEqual({ traceId: first.traceId, spanId: first.spanId });
    expect(first.runs[0]!.batch).toMatchObject({ traceId: batch.traceId, spanId: batch.spanId });
  });

  it('is counted as so many spans as it would have been, where the thread cannot keep up', () => {
    const { clock, thread, tracing, observe, dropped } = setUp();
    thread.doesTake = false;
    let count = 0;
    while (dropped.length === 0 && count < 100_000) {
      const trace = tracing.begin(CALL);
      tracing.join(trace, request(++count), 'm', '1');
      const outcome = { kind: 'expired', reason: 'expired', lateByMs: 1 } as const;
      observe({ kind: 'request-admitted', atMs: 3, request: request(count), queueDepth: 0 });
      observe({ kind: 'request-finished', atMs: 5, request: request(count), outcome });
      trace.answered(504);
      clock.advanceTo(clock.nowMs() + 1);
    }
    const writer = new OtlpWriter();
    writeSpans(writer, thread.records[0]!, 0, newSpanId);
    expect(writer.take().spanCount).toBe(5);
    expect(dropped).toEqual([5]);
    // Some dozen envelopes of 64 KiB, and no more.
    expect(thread.records.length).toBeLessThan(count);
  });

  it('ends with the thread, and with the first word that nobody takes spans', async () => {
    const { tracing, thread, troubles } = setUp(1);
    thread.say({ kind: 'trouble', message: 'ECONNREFUSED' });
    expect(troubles).toHaveLength(1);
    expect(troubles[0]).toMatch(/^http:\/\/c:4318 takes no spans \(ECONNREFUSED\); requests are served all the same/);
    await tracing.close();
    tracing.begin(CALL).answered(200);
    expect(thread.records).toEqual([]);
  });
});
