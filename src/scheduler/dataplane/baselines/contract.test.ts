import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aRequest, batchEnded, batchStarted } from '../../../../test/fixtures/events.js';
import { batchView, candidate } from '../../../../test/fixtures/batch-views.js';
import type { BatchDecision, BatchView, Candidate } from '../batcher.js';
import { compareByDeadline } from '../edf-queue.js';
import { cork } from './cork.js';
import { delay } from './delay.js';
import { dispatchPolicy } from './dispatch.js';
import type { BatchingRule } from './fill-batch.js';
import { greedy } from './greedy.js';
import { batchWindow } from './window.js';

/* What every batching rule keeps to, under any queue order. A new rule goes into this list. */

/** A CORK that has served batches of 1 … 8 for a while, whose requests waited for 60 ms in the mean. */
function experiencedCork(): BatchingRule {
  const { batch, observe } = cork({ maxLatencyMs: 1000 });
  for (let batchId = 1; batchId <= 40; batchId++) {
    const request = aRequest({ sequence: batchId });
    const atMs = 1000 * batchId;
    const batchSize = 1 + (batchId % 8);
    observe({ kind: 'request-admitted', atMs: atMs - 60, request, queueDepth: 1 });
    observe(batchStarted({ atMs, batchId, sequences: [batchId], batchSize }));
    observe(batchEnded({ atMs: atMs + 20, batchId, batchSize, latencyMs: 4 * batchSize + 3 }));
  }
  return batch;
}

const RULES: readonly (readonly [name: string, make: () => BatchingRule])[] = [
  ['greedy', () => greedy],
  ['delay of 0', () => delay({ maxQueueDelayMs: 0 })],
  ['delay of 30 ms', () => delay({ maxQueueDelayMs: 30 })],
  ['window', () => batchWindow({ maxBatchTimeMs: 100, timeLeft: 'fixed' }).batch],
  ['window of the fork', () => batchWindow({ maxBatchTimeMs: 100, timeLeft: 'cumulative' }).batch],
  ['cork, untrained', () => cork({ maxLatencyMs: 500 }).batch],
  ['cork', experiencedCork],
];

const CASES = RULES.flatMap(([name, make]) => (['edf', 'fifo'] as const).map((order) => ({ name, order, make })));

const NOW_MS = 100_000;

const aCandidate = fc.record({
  dueInMs: fc.double({ min: -200, max: 2000, noNaN: true }),
  waitedMs: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.double({ min: 0, max: 1500, noNaN: true })),
  priority: fc.integer({ min: 0, max: 2 }),
  classIndex: fc.integer({ min: 0, max: 2 }),
  byteCount: fc.integer({ min: 1, max: 60 }),
  mustRunAlone: fc.boolean().chain((flag) => (flag ? fc.boolean() : fc.constant(false))),
});

type Waiting = Candidate & { readonly priority: number };

const aQueue = fc
  .array(aCandidate, { maxLength: 64 })
  .map((drawn) => drawn.sort((a, b) => b.waitedMs - a.waitedMs))
  .map((drawn) =>
    drawn.map(({ dueInMs, waitedMs, ...rest }, index): Waiting => {
      return { sequence: index + 1, dueAtMs: NOW_MS + dueInMs, admittedAtMs: NOW_MS - waitedMs, ...rest };
    }),
  );

const bounds = fc.record({
  batchSize: fc.integer({ min: 1, max: 70 }),
  maxBatchSize: fc.integer({ min: 1, max: 70 }),
  maxBatchBytes: fc.integer({ min: 20, max: 400 }),
  unseen: fc.integer({ min: 0, max: 40 }),
});

function inOrder(order: 'edf' | 'fifo', batching: BatchingRule, queue: readonly Waiting[]): Waiting[] {
  const policy = dispatchPolicy({ order, batching, admission: 'none', isDeadlineAware: false });
  const keyOf = (waiting: Waiting): number => policy.orderKeyMs(aRequest({ dueAtMs: waiting.dueAtMs }));
  return [...queue].sort((a, b) => compareByDeadline({ ...a, dueAtMs: keyOf(a) }, { ...b, dueAtMs: keyOf(b) }));
}

function expectSound(nowMs: number, view: BatchView, decision: BatchDecision): void {
  const eligible = view.candidates.length > 0 ? view.candidates : view.setAside;
  if (decision.kind === 'idle') {
    expect(eligible).toEqual([]);
    return;
  }
  if (decision.kind === 'wait') {
    expect(decision.untilMs).toBeGreaterThan(nowMs);
    expect(Number.isFinite(decision.untilMs)).toBe(true);
    return;
  }
  const { sequences } = decision;
  expect(sequences.length).toBeGreaterThan(0);
  expect(new Set(sequences).size).toBe(sequences.length);
  const members = sequences.map((sequence) => eligible.find((each) => each.sequence === sequence)!);
  expect(members.includes(undefined as never)).toBe(false);
  if (decision.kind === 'refuse') {
    expect(view.candidates.length).toBeGreaterThan(0);
    return;
  }
  expect(new Set(members.map((member) => member.classIndex)).size).toBe(1);
  expect(members.length).toBeLessThanOrEqual(Math.min(view.plan.batchSize, view.maxBatchSize));
  if (members.length === 1) return;
  expect(members.some((member) => member.mustRunAlone)).toBe(false);
  expect(members.reduce((sum, member) => sum + member.byteCount, 0)).toBeLessThanOrEqual(view.maxBatchBytes);
}

describe.each(CASES)('$name under $order', ({ order, make }) => {
  it('runs or refuses all that waits, and what is set aside after it, within the bounds and without waiting forever', () => {
    fc.assert(
      fc.property(aQueue, aQueue, bounds, (queue, aside, { batchSize, maxBatchSize, maxBatchBytes, unseen }) => {
        const rule = make();
        let nowMs = NOW_MS;
        let candidates = inOrder(order, rule, queue);
        let setAside = inOrder(order, rule, aside).map((each) => ({ ...each, sequence: 1000 + each.sequence }));
        const ended: number[] = [];
        for (let asked = 0; ; asked++) {
          // At most one wait before each request that ends.
          expect(asked).toBeLessThan(2 * (queue.length + aside.length) + 2);
          const view = batchView(candidates, batchSize, {
            queueDepth: candidates.length + setAside.length + unseen,
            setAside: candidates.length === 0 ? setAside : [],
            maxBatchSize,
            maxBatchBytes,
          });
          const decision = rule(nowMs, view);
          expectSound(nowMs, view, decision);
          if (decision.kind === 'idle') break;
          if (decision.kind === 'wait') {
            nowMs = decision.untilMs;
            continue;
          }
          ended.push(...decision.sequences);
          candidates = candidates.filter((each) => !decision.sequences.includes(each.sequence));
          setAside = setAside.filter((each) => !decision.sequences.includes(each.sequence));
        }
        expect(ended).toHaveLength(queue.length + aside.length);
      }),
      { numRuns: 150 },
    );
  });

  it('says the same to the same question', () => {
    fc.assert(
      fc.property(aQueue, bounds, (queue, { batchSize, ...limits }) => {
        const rule = make();
        const view = batchView(inOrder(order, rule, queue), batchSize, limits);
        expect(rule(NOW_MS, view)).toEqual(rule(NOW_MS, view));
        expect(make()(NOW_MS, view)).toEqual(rule(NOW_MS, view));
      }),
      { numRuns: 50 },
    );
  });

  it('serves what is set aside when there is nothing else, a retry alone', () => {
    const setAside = [candidate(5, { mustRunAlone: true }), candidate(6)];
    expect(make()(NOW_MS, batchView([], 4, { queueDepth: 2, setAside }))).toEqual({ kind: 'dispatch', sequences: [5] });
  });
});
