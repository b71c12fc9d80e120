import { describe, expect, it } from 'vitest';
import { dueAt, TEN_MS_EACH } from '../../test/simulation/fixed-latency.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { AdmittedRequest } from '../domain/request.js';
import { HangWatch } from './hang-watch.js';
import type { QueueEntry } from './queue-entry.js';
import { RunningBatch } from './running-batch.js';

function member(sequence: number, model = TEN_MS_EACH): QueueEntry {
  return {
    request: dueAt(sequence, 500) as AdmittedRequest,
    sequence,
    dueAtMs: 500,
    priority: 0,
    byteCount: 1,
    admittedAtMs: 60,
    model,
    onOutcome: () => undefined,
    candidate: { sequence, dueAtMs: 500, admittedAtMs: 60, classIndex: 0, byteCount: 1, mustRunAlone: false },
    isStaged: true,
    isSetAside: false,
    isExploring: false,
    isRetry: false,
    state: 'running',
  };
}

/** Four requests at 1 core from instant 100 on: predicted to take 40 ms. */
function batchOfFour(threadCount: number): RunningBatch {
  return new RunningBatch(1, [1, 2, 3, 4].map((sequence) => member(sequence)), threadCount, 1000, 100); // prettier-ignore
}

describe('the progress of a running batch', () => {
  it('is the share of its prediction that has passed', () => {
    expect(batchOfFour(1).progress(110)).toBeCloseTo(10 / 40, 12);
    expect(batchOfFour(1).progress(180)).toBeCloseTo(2, 12);
  });

  it('adds up over resizes: each stretch counts against the latency at its own allocation', () => {
    const batch = batchOfFour(2);
    batch.resize(110, 2000); // 10 of 40 ms
    batch.resize(115, 500); // 5 of 20 ms
    expect(batch.progress(135)).toBeCloseTo(10 / 40 + 5 / 20 + 20 / 80, 12);
  });

  it('is not sped up by CPU beyond its threads', () => {
    const batch = batchOfFour(1);
    batch.resize(110, 4000);
    expect(batch.progress(120)).toBeCloseTo(10 / 40 + 10 / 40, 12);
  });

  it('tells a member how it was served', () => {
    // Due at 500, started at 100, planned for 40: 360 ms of slack.
    expect(batchOfFour(1).serviceRecord(150, member(3))).toEqual({
      queuedMs: 40,
      slackAtDispatchMs: 360,
      batchId: 1,
      batchSize: 4,
      cpuMillicores: 1000,
      threadCount: 1,
      plannedLatencyMs: 40,
      latencyMs: 50,
    });
  });
});

describe('the hang watch', () => {
  function hungAtMs(batch: (clock: VirtualClock) => RunningBatch, timeoutMs: number): number | null {
    const clock = new VirtualClock({ startAtMs: 100 });
    let atMs: number | null = null;
    const watch = new HangWatch(clock, timeoutMs, () => (atMs = clock.nowMs()));
    watch.watch(batch(clock));
    clock.runUntilIdle(1000);
    return atMs;
  }

  it('gives up at the first look after twenty times the prediction', () => {
    // 20 · 40 = 800 ms after 100; looks come every 300 ms: 400, 700, 1000.
    expect(hungAtMs(() => batchOfFour(1), 300)).toBe(1000);
  });

  it('looks first after the timeout or the planned latency, whichever is longer', () => {
    // Looks at 140, 150, 160, …: 900 is one of them.
    expect(hungAtMs(() => batchOfFour(1), 10)).toBe(900);
  });

  it('gives a batch without any prediction six timeouts', () => {
    const unknown = { predictedLatencyMs: () => 0, plannedLatencyMs: () => 0 };
    expect(hungAtMs(() => new RunningBatch(1, [member(1, unknown)], 1, 1000, 100), 50)).toBe(100 + 6 * 50);
  });

  it('forgets a batch that ended: its timer finds nothing to look at, and is the last', () => {
    const clock = new VirtualClock({ startAtMs: 100 });
    const messages: string[] = [];
    const watch = new HangWatch(clock, 50, (message) => messages.push(message));
    const batch = batchOfFour(1);
    watch.watch(batch);
    clock.advanceTo(170);
    watch.forget(batch);
    expect(clock.runUntilIdle()).toBe(1);
    expect(messages).toEqual([]);
  });

  it('looks at each of several batches in its own time, with one timer, and keeps none once stopped', () => {
    const clock = new VirtualClock({ startAtMs: 100 });
    const looks: [number, number][] = [];
    const watch = new HangWatch(clock, 50, () => undefined);
    for (const startedAtMs of [100, 120, 130]) {
      const batch = new RunningBatch(startedAtMs, [member(1)], 1, 1000, startedAtMs);
      batch.progress = (nowMs) => {
        looks.push([startedAtMs, nowMs]);
        return 1;
      };
      clock.scheduleExact(startedAtMs, () => watch.watch(batch));
      if (startedAtMs === 120) clock.scheduleExact(160, () => watch.forget(batch));
    }
    clock.advanceTo(135);
    expect(clock.pendingCount).toBe(2); // The timer, and the end of the second batch.
    clock.advanceTo(210);
    expect(looks).toEqual([[100, 150], [130, 180], [100, 200]]); // prettier-ignore
    watch.stop();
    expect(clock.runUntilIdle()).toBe(0);
  });
});
