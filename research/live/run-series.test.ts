import { describe, expect, it } from 'vitest';
import type { EventRecord, RunModel } from '../../src/scheduler/domain/event-record.js';
import { runSeries } from './run-series.js';

const MODEL: RunModel = {
  name: 'm',
  version: '1',
  policy: 'sponge',
  limits: { minMillicores: 200, maxMillicores: 1000, stepMillicores: 100 },
  cpuMillicores: 1000,
  instances: 1,
  maxBatchSize: 4,
};

const received = (atMs: number, sequence: number): EventRecord => ({
  kind: 'request-received',
  ...{ atMs, receivedAtMs: atMs, sequence, sloMs: 500, networkDelayMs: 40, networkDelaySource: 'transfer' },
  ...{ dueAtMs: atMs + 460, client: 'a', isDeadlineDefaulted: false },
});
const admitted = (atMs: number, sequence: number, queueDepth: number): EventRecord => ({
  kind: 'request-admitted',
  ...{ atMs, sequence, queueDepth },
});
const finished = (atMs: number, sequence: number, outcome: 'completed_on_time' | 'expired'): EventRecord => ({
  kind: 'request-finished',
  ...{ atMs, sequence, outcome, reason: outcome === 'expired' ? 'expired' : null, service: null },
});
const started = (atMs: number, batchId: number, sequences: readonly number[]): EventRecord => ({
  kind: 'batch-started',
  ...{ atMs, batchId, sequences, batchSize: sequences.length, rowCount: 1, cpuMillicores: 500, threadCount: 1 },
  ...{ predictedLatencyMs: 50, plannedLatencyMs: 60, shapeClassKey: 'k', isExploring: false },
});
const ended = (atMs: number, batchId: number, latencyMs: number): EventRecord => ({
  kind: 'batch-ended',
  ...{
    atMs,
    batchId,
    batchSize: 2,
    rowCount: 2,
    result: 'completed',
    latencyMs,
    computeMs: 40,
    actualToPredicted: latencyMs / 50,
  },
});
const asked = (atMs: number, resizeId: number, toMillicores: number): EventRecord => ({
  kind: 'resize-requested',
  ...{ atMs, resizeId, fromMillicores: 0, toMillicores },
});
const resized = (atMs: number, resizeId: number, cpuMillicores: number): EventRecord => ({
  kind: 'resized',
  ...{ atMs, resizeId, cpuMillicores, isWritten: true, tookMs: 1 },
});

describe('a run over time', () => {
  it('begins with its clients and has the charge of each tenth of a second', () => {
    // The log begins 300 ms before the clients do: 1 core until the shrink to 0.2 at 1050 is read back.
    const records = [
      asked(700, 1, 500),
      resized(701, 1, 500),
      asked(1049, 2, 200),
      resized(1050, 2, 200),
      asked(1200, 3, 900),
      resized(1250, 3, 900),
    ];
    const { grantedCores, resizes } = runSeries(MODEL, records, { startAtMs: 1000, durationMs: 400 });
    // 1000…1100: half at 0.5, half at 0.2 | 0.2 | growth counts from its request on: 0.9 | 0.9
    expect(grantedCores.map((cores) => Number(cores.toFixed(6)))).toEqual([0.35, 0.2, 0.9, 0.9]);
    expect(resizes).toBe(2);
  });

  it('follows the queue: in with admission, out with a batch or an outcome of its own', () => {
    const records = [
      ...[1, 2, 3].flatMap((each) => [received(10 * each, each), admitted(10 * each, each, each)]),
      started(130, 1, [1, 2]),
      ended(210, 1, 80),
      finished(210, 1, 'completed_on_time'),
      finished(210, 2, 'completed_on_time'),
      finished(320, 3, 'expired'),
    ];
    const series = runSeries(MODEL, records, { startAtMs: 0, durationMs: 400 });
    // The most of each bin; the third leaves within the last.
    expect(series.queueDepth).toEqual([3, 3, 1, 1]);
    expect(series.arrivals).toHaveLength(3);
    expect(series.batches).toEqual([
      {
        ...{ atMs: 130, size: 2, cpuMillicores: 500, predictedMs: 50, plannedMs: 60 },
        ...{ actualMs: 80, actualToPredicted: 1.6 },
      },
    ]);
    expect(series.outcomesBySecond).toEqual([{ completed_on_time: 2, expired: 1 }]);
  });

  it('counts instances from the request for them', () => {
    const records: EventRecord[] = [
      { kind: 'instances-requested', atMs: 100, fromInstances: 1, toInstances: 3 },
      { kind: 'instances-changed', atMs: 200, instances: 2 },
    ];
    const series = runSeries({ ...MODEL, cpuMillicores: 250 }, records, { startAtMs: 0, durationMs: 300 });
    // 1 × 0.25 | one ready and two that start | two ready and one that starts
    expect(series.grantedCores.map((cores) => Number(cores.toFixed(6)))).toEqual([0.25, 0.75, 0.75]);
    expect(series.instances).toEqual([1, 1, 2]);
  });
});
