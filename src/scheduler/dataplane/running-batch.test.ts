import { describe, expect, it } from 'vitest';
import { dueAt, TEN_MS_EACH } from '../../../test/simulation/fixed-latency.js';
import type { AdmittedRequest } from '../domain/request.js';
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
    shapeClass: dueAt(sequence, 500).shapeClass,
    model,
    onOutcome: () => undefined,
    candidate: { sequence, dueAtMs: 500, admittedAtMs: 60, classIndex: 0, byteCount: 1, mustRunAlone: false },
    isStaged: true,
    isSetAside: false,
    isExploring: false,
    isRetry: false,
    wasKilled: false,
    isSuspect: false,
    state: 'running',
  };
}

/** Four requests at 1 core from instant 100 on: predicted to take 40 ms. */
function batchOfFour(threadCount: number): RunningBatch {
  return new RunningBatch(1, 0, [1, 2, 3, 4].map((sequence) => member(sequence)), threadCount, 1000, 100); // prettier-ignore
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
