import { describe, expect, it } from 'vitest';
import { aRun } from '../../test/fixtures/run-header.js';
import type { ModelRecord } from '../scheduler/domain/event-record.js';
import { WatchedRun, type WatchedModel } from './watch-state.js';

const HEADER = aRun();

function watch(records: readonly Partial<ModelRecord>[], untilMs: number, fromMs = 0): WatchedModel {
  const run = new WatchedRun(HEADER);
  run.apply({ atMs: fromMs, records: [] });
  run.apply({ atMs: untilMs, records: records.map((record) => ({ model: 0, ...record }) as ModelRecord) });
  return run.models[0]!;
}

const admitted = (atMs: number, sequence: number, queueDepth: number): Partial<ModelRecord> => ({
  kind: 'request-admitted',
  atMs,
  sequence,
  queueDepth,
});
const finished = (atMs: number, sequence: number, outcome: string, latencyMs?: number): Partial<ModelRecord> =>
  ({
    kind: 'request-finished',
    atMs,
    sequence,
    outcome,
    reason: null,
    service: latencyMs === undefined ? null : { queuedMs: 10, slackAtDispatchMs: 0, batchId: 1, latencyMs },
  }) as Partial<ModelRecord>;
const resized = (atMs: number, cpuMillicores: number): Partial<ModelRecord> => ({
  kind: 'resized',
  atMs,
  cpuMillicores,
});

describe('what is watched', () => {
  it('averages the allocation of each second over the time it was held', () => {
    // Second 0: 1000 for 250 ms, 2000 for 750 ms → 1750. Seconds 1 and 2: 2000. Second 3, half of it: 400.
    const model = watch([resized(250, 2000), resized(3000, 400)], 3500);
    expect(model.series(0, 3).grantedMillicores).toEqual([1750, 2000, 2000, 400]);
    expect(model.grantedMillicores).toBe(400);
  });

  it('counts every instance of several', () => {
    const model = watch([{ kind: 'instances-changed', atMs: 500, instances: 3 }], 2000);
    // Half a second of one instance of 1000 and half a second of three.
    expect(model.series(0, 1).grantedMillicores).toEqual([2000, 3000]);
  });

  it('knows nothing of what was before it watched', () => {
    const model = watch([], 7000, 5000);
    expect(model.series(3, 7).grantedMillicores).toEqual([null, null, 1000, 1000, null]);
    expect(model.series(5, 6).plannedMillicores).toEqual([null, null]);
    expect(model.summary(0, 7).watchedSeconds).toBe(2);
  });

  it('shows the highest queue of a second, also where it only stood', () => {
    const started: Partial<ModelRecord> = {
      kind: 'batch-started',
      atMs: 1900,
      batchId: 1,
      sequences: [1, 2],
      batchSize: 2,
    };
    const model = watch(
      [admitted(100, 1, 1), admitted(200, 2, 2), started, admitted(2100, 3, 1), finished(2200, 3, 'expired')],
      4500,
    );
    expect(model.series(0, 4).queueDepth).toEqual([2, 2, 1, 0, 0]);
    expect(model.queueDepth).toBe(0);
    expect(model.summary(0, 4).meanBatchSize).toBe(2);
  });

  it('takes the depth of the queue from admissions, and members of a broken batch are in it again', () => {
    const batch = { kind: 'batch-started', atMs: 1100, batchId: 1, sequences: [3, 4], batchSize: 2 } as const;
    const broken = { kind: 'batch-ended', atMs: 2500, batchId: 1, result: 'worker-lost', actualToPredicted: null };
    // Joined when six already waited.
    const model = watch([admitted(100, 7, 7), batch, broken as Partial<ModelRecord>], 3500);
    expect(model.series(0, 3).queueDepth).toEqual([7, 7, 7, 7]);
    expect(watch([admitted(100, 7, 7), batch], 3500).series(0, 3).queueDepth).toEqual([7, 7, 5, 5]);
  });

  it('begins with the instances that its header says', () => {
    const run = new WatchedRun({ ...HEADER, models: [{ ...HEADER.models[0]!, instances: 3 }] });
    run.apply({ atMs: 0, records: [] });
    run.apply({ atMs: 1000, records: [] });
    expect(run.models[0]!.series(0, 0).grantedMillicores).toEqual([3000]);
  });

  it('counts latency from the last byte, and compares with predictions only where there are any', () => {
    const received = { kind: 'request-received', atMs: 100, receivedAtMs: 60, sequence: 1 } as const;
    const end = (actualToPredicted: number): Partial<ModelRecord> => ({
      kind: 'batch-ended',
      atMs: 500,
      batchId: 1,
      result: 'completed',
      actualToPredicted,
    });
    // 560 − 60 ms, whatever was queued and run of it.
    const records = [received, finished(560, 1, 'completed_on_time', 200), end(Infinity), end(1.5)];
    const { p50Ms, actualToPredicted } = watch(records, 1000).summary(0, 0);
    expect(Math.abs(p50Ms! / 500 - 1)).toBeLessThan(0.03);
    expect(actualToPredicted).toBe(1.5);
  });

  it('counts as missed what a client got no answer in time for', () => {
    const outcomes = 'completed_on_time completed_late rejected_infeasible rejected_overload expired cancelled failed';
    const model = watch(
      outcomes.split(' ').map((outcome, index) => finished(1000 + index, index, outcome)),
      3000,
    );
    expect(model.series(0, 2).missed).toEqual([0, 5, 0]);
    expect(Object.values(model.summary(0, 2).outcomes)).toEqual([1, 1, 1, 1, 1, 1, 1]);
  });

  it('tells quantiles of answered requests to 3 %', () => {
    // Latencies 10 + 1 … 10 + 1000 ms.
    const model = watch(
      Array.from({ length: 1000 }, (_, index) => finished(index, index, 'completed_on_time', index + 1)),
      1000,
    );
    const { p50Ms, p99Ms } = model.summary(0, 0);
    expect(Math.abs(p50Ms! / 510 - 1)).toBeLessThan(0.03);
    expect(Math.abs(p99Ms! / 1000 - 1)).toBeLessThan(0.03);
    expect(model.summary(1, 1).p50Ms).toBeNull();
    const extremes = watch([finished(1, 1, 'completed_on_time', -10), finished(2, 2, 'completed_late', 1e9)], 10);
    expect(extremes.summary(0, 0).p99Ms).toBeGreaterThan(900_000);
  });

  it('keeps a minute, whatever comes', () => {
    const run = new WatchedRun(HEADER);
    for (let atMs = 0; atMs <= 200_000; atMs += 500) {
      run.apply({ atMs, records: [{ model: 0, kind: 'request-received', atMs } as ModelRecord] });
    }
    const model = run.models[0]!;
    // Seconds 141 to 199 are whole: two requests each.
    expect(model.summary(141, 199).received).toBe(118);
    expect(model.summary(0, 100).received).toBe(0);
    expect(model.series(0, 60).grantedMillicores.every((value) => value === null)).toBe(true);
    // Silence for an hour is filled with what was held, a minute of it.
    run.apply({ atMs: 3_800_500, records: [] });
    expect(model.series(3741, 3800).grantedMillicores).toEqual(Array.from({ length: 60 }, () => 1000));
    expect(model.summary(3741, 3800).received).toBe(0);
  });

  it('does not go back', () => {
    const model = watch([resized(2000, 500), resized(1000, 700)], 4000);
    expect(model.series(0, 3).grantedMillicores).toEqual([1000, 1000, 700, 700]);
  });
});
