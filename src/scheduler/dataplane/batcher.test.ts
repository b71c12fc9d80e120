import { describe, expect, it } from 'vitest';
import { exactLatency } from '../domain/latency.js';
import { decideBatch, type BatchView, type Candidate } from './batcher.js';

/** l(b, c) = 10·b + 8 ms at any allocation. */
const model = exactLatency((b) => 10 * b + 8);

function candidates(dueAtMs: readonly number[], overrides: Partial<Candidate> = {}): Candidate[] {
  return dueAtMs.map((due, index) => ({
    sequence: index + 1,
    dueAtMs: due,
    admittedAtMs: 0,
    classIndex: 0,
    byteCount: 100,
    mustRunAlone: false,
    ...overrides,
  }));
}

function view(overrides: Partial<BatchView>): BatchView {
  return {
    candidates: [],
    queueDepth: 0,
    setAside: [],
    models: [model, model],
    plan: { kind: 'feasible', instances: 1, cpuMillicores: 1000, batchSize: 4, boundBy: { kind: 'start' } },
    cpuMillicores: 1000,
    maxBatchSize: 8,
    maxBatchBytes: 1000,
    isAllocationFixed: false,
    ...overrides,
  };
}

const INFEASIBLE: BatchView['plan'] = {
  kind: 'infeasible',
  instances: 1,
  cpuMillicores: 1000,
  batchSize: 8,
  reason: 'deadlines',
};

describe('the batcher', () => {
  it('has nothing to do with an empty queue', () => {
    expect(decideBatch(0, view({}))).toEqual({ kind: 'idle' });
  });

  it('takes as many as the plan says, in queue order', () => {
    const decision = decideBatch(0, view({ candidates: candidates([100, 110, 120, 130, 140]) }));
    expect(decision).toEqual({ kind: 'dispatch', sequences: [1, 2, 3, 4] });
  });

  it('counts a request of several rows as so many, and lets one of more rows than a batch has run alone', () => {
    const threeEach = { candidates: candidates([100, 110, 120, 130]), rowCounts: [3], maxBatchSize: 8 };
    // 2 · 3 ≤ 8 < 3 · 3
    expect(decideBatch(0, view(threeEach))).toEqual({ kind: 'dispatch', sequences: [1, 2] });
    expect(decideBatch(0, view({ ...threeEach, plan: INFEASIBLE }))).toEqual({ kind: 'dispatch', sequences: [1, 2] });
    const asideOnly = { ...threeEach, candidates: [], setAside: threeEach.candidates };
    expect(decideBatch(0, view(asideOnly))).toEqual({ kind: 'dispatch', sequences: [1, 2] });
    expect(decideBatch(0, view({ ...threeEach, rowCounts: [17] }))).toEqual({ kind: 'dispatch', sequences: [1] });
  });

  it('takes fewer when a larger batch would make the head late', () => {
    // l(2) = 28 ≤ 35 < l(3) = 38.
    const decision = decideBatch(0, view({ candidates: candidates([35, 110, 120]) }));
    expect(decision).toEqual({ kind: 'dispatch', sequences: [1, 2] });
  });

  it('never mixes shape classes, and skips another class only while that one stays on time', () => {
    const [first, other, third] = candidates([100, 60, 120]);
    const queue = [first!, { ...other!, classIndex: 1, dueAtMs: 105 }, third!];
    expect(decideBatch(0, view({ candidates: queue }))).toEqual({ kind: 'dispatch', sequences: [1, 3] });
    // Run together with the third, the batch ends at 28; the skipped one then needs 18 more: 46 > 45.
    const tight = [first!, { ...other!, classIndex: 1, dueAtMs: 45 }, third!];
    expect(decideBatch(0, view({ candidates: tight }))).toEqual({ kind: 'dispatch', sequences: [1] });
  });

  it('runs a request that broke a batch alone', () => {
    const [first, second, third] = candidates([100, 110, 120]);
    const broken = { ...first!, mustRunAlone: true };
    expect(decideBatch(0, view({ candidates: [broken, second!] }))).toEqual({ kind: 'dispatch', sequences: [1] });
    const skipped = [first!, { ...second!, mustRunAlone: true }, third!];
    expect(decideBatch(0, view({ candidates: skipped }))).toEqual({ kind: 'dispatch', sequences: [1, 3] });
  });

  it('keeps a batch within its bytes, but never refuses a single large request', () => {
    const large = candidates([200, 200, 200], { byteCount: 450 });
    expect(decideBatch(0, view({ candidates: large }))).toEqual({ kind: 'dispatch', sequences: [1, 2] });
    const huge = candidates([200, 200], { byteCount: 5000 });
    expect(decideBatch(0, view({ candidates: huge }))).toEqual({ kind: 'dispatch', sequences: [1] });
    expect(decideBatch(0, view({ candidates: huge, plan: INFEASIBLE }))).toEqual({ kind: 'dispatch', sequences: [1] });
  });

  it('gives the head up in overload when that serves more', () => {
    // Serving the head first (until 18) leaves three that need 38: 56 > 38. Skipping it: three by 38.
    const decision = decideBatch(0, view({ candidates: candidates([18, 38, 38, 38]), plan: INFEASIBLE }));
    expect(decision).toEqual({ kind: 'dispatch', sequences: [2, 3, 4] });
  });

  it('tries the head when nothing can be met by the pessimistic latency', () => {
    expect(decideBatch(0, view({ candidates: candidates([10, 12]) }))).toEqual({ kind: 'dispatch', sequences: [1] });
  });

  it('waits to fill a batch only at a fixed allocation, until the latest safe start', () => {
    const two = candidates([100, 110]);
    expect(decideBatch(0, view({ candidates: two }))).toEqual({ kind: 'dispatch', sequences: [1, 2] });
    // A third would make it l(3) = 38; 3 ms of guard: 100 − 38 − 3 = 59.
    const fixed = view({ candidates: two, isAllocationFixed: true });
    expect(decideBatch(0, fixed)).toEqual({ kind: 'wait', untilMs: 59 });
    expect(decideBatch(59, fixed)).toEqual({ kind: 'dispatch', sequences: [1, 2] });
  });

  it('serves set-aside requests only when nothing else is there', () => {
    const late = candidates([5, 6]);
    expect(decideBatch(50, view({ setAside: late }))).toEqual({ kind: 'dispatch', sequences: [1, 2] });
    const [urgent] = candidates([90]);
    const decision = decideBatch(50, view({ candidates: [{ ...urgent!, sequence: 9 }], setAside: late }));
    expect(decision).toEqual({ kind: 'dispatch', sequences: [9] });
  });
});
