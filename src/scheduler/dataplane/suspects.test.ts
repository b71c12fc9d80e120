import { describe, expect, it } from 'vitest';
import { dueAt, TEN_MS_EACH } from '../../../test/simulation/fixed-latency.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { InferRequest } from '../domain/request.js';
import type { QueueEntry } from './queue-entry.js';
import { Suspects } from './suspects.js';
import type { WorkerPool } from './worker-pool.js';

/** On one core a run takes 10 ms. */
class Bench {
  readonly clock = new VirtualClock();
  readonly spare = { isComing: true };
  readonly staged: string[] = [];
  readonly suspects = new Suspects({
    clock: this.clock,
    workers: { spare: this.spare } as Partial<WorkerPool> as WorkerPool,
    maxMillicores: 1000,
    stage: (entry) => this.stage(entry),
  });

  /** As the dispatcher does it. */
  stage(entry: QueueEntry): void {
    if (!this.suspects.mustWait(entry)) this.staged.push(`${entry.sequence} at ${this.clock.nowMs()}`);
  }

  entry(sequence: number, dueAtMs: number, isSuspect = true, fields: Partial<InferRequest> = {}): QueueEntry {
    const request = dueAt(sequence, dueAtMs, fields);
    return { sequence, request, model: TEN_MS_EACH, isSuspect, state: 'queued' } as Partial<QueueEntry> as QueueEntry;
  }
}

describe('a request that a worker may die of', () => {
  it('is tried again once a spare stands by; any other at once', () => {
    const bench = new Bench();
    bench.stage(bench.entry(1, 1000));
    bench.stage(bench.entry(2, 1000, false));
    expect(bench.staged).toEqual(['2 at 0']);
    bench.clock.advanceTo(300);
    bench.spare.isComing = false;
    bench.suspects.release();
    expect(bench.staged).toEqual(['2 at 0', '1 at 300']);
    // Told again, it is not staged twice.
    bench.suspects.release();
    expect(bench.staged).toHaveLength(2);
    expect(bench.clock.pendingCount).toBe(1);
    bench.suspects.stop();
    expect(bench.clock.pendingCount).toBe(0);
  });

  it('is tried at once where none is coming', () => {
    const bench = new Bench();
    bench.spare.isComing = false;
    bench.stage(bench.entry(1, 1000));
    expect(bench.staged).toEqual(['1 at 0']);
  });

  it('waits until it can just be in time, or five seconds, where the spare does not come', () => {
    const bench = new Bench();
    bench.stage(bench.entry(1, 500));
    bench.stage(bench.entry(2, 60_000));
    bench.stage(bench.entry(3, 500, true, { isDeadlineDefaulted: true }));
    bench.clock.advanceTo(10_000);
    // 500 − 2 · 10.
    expect(bench.staged).toEqual(['1 at 480', '2 at 5000', '3 at 5000']);
    expect(bench.clock.pendingCount).toBe(0);
  });

  it('whose client has left is forgotten', () => {
    const bench = new Bench();
    const entry = bench.entry(1, 1000);
    bench.stage(entry);
    entry.state = 'finished';
    bench.spare.isComing = false;
    bench.suspects.release();
    expect(bench.staged).toEqual([]);
  });
});
