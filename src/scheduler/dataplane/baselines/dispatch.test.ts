import { describe, expect, it } from 'vitest';
import { batchView } from '../../../../test/fixtures/batch-views.js';
import { aRequest } from '../../../../test/fixtures/events.js';
import type { AdmissionView } from '../admission.js';
import { compareByDeadline } from '../edf-queue.js';
import type { DispatchPolicy } from '../policy.js';
import { dispatchPolicy, type DispatchRules } from './dispatch.js';
import { greedy } from './greedy.js';

/** 50 ms alone at the largest allocation, an empty queue. */
function admissionView(fields: Partial<AdmissionView> = {}): AdmissionView {
  return {
    isDraining: false,
    workerReadyAtMs: 0,
    workerLoss: '',
    model: { predictedLatencyMs: () => 40, plannedLatencyMs: () => 50, leastLatencyMs: () => 50 },
    maxMillicores: 4000,
    heldRequests: 0,
    heldBytes: 0,
    limits: { maxRequests: 10, maxBytes: 1000 },
    backlogMs: () => 70,
    mayExplore: () => false,
    mayAwaitRestart: () => false,
    ...fields,
  };
}

function policy(fields: Partial<DispatchRules> = {}): DispatchPolicy {
  return dispatchPolicy({ order: 'fifo', batching: greedy, admission: 'none', isDeadlineAware: false, ...fields });
}

describe('a dispatch policy put together from its rules', () => {
  it('orders by deadline, or first come, first served within a priority', () => {
    const requests = [
      aRequest({ sequence: 1, dueAtMs: 300 }),
      aRequest({ sequence: 2, dueAtMs: 200 }),
      aRequest({ sequence: 3, dueAtMs: 100, priority: 1 }),
      aRequest({ sequence: 4, dueAtMs: 100 }),
    ];
    const orderOf = (order: DispatchRules['order']): number[] =>
      requests
        .map((request) => ({ ...request, dueAtMs: policy({ order }).orderKeyMs(request) }))
        .sort(compareByDeadline)
        .map((request) => request.sequence);
    expect(orderOf('edf')).toEqual([4, 3, 2, 1]);
    expect(orderOf('fifo')).toEqual([1, 2, 4, 3]);
  });

  it('takes its batching rule and what it knows of deadlines as they are', () => {
    const waiting = policy({ batching: (nowMs) => ({ kind: 'wait', untilMs: nowMs + 7 }) });
    expect(waiting.batch(3, batchView([], 1))).toEqual({ kind: 'wait', untilMs: 10 });
    expect(policy({ isDeadlineAware: true }).isDeadlineAware).toBe(true);
  });

  it('without admission takes what cannot be on time, also while the worker is away, and sets nothing aside', () => {
    const unsalvageable = aRequest({ dueAtMs: 20 });
    const open = policy();
    expect(open.admit(0, unsalvageable, admissionView())).toMatchObject({
      kind: 'admit',
      request: unsalvageable,
      isSetAside: false,
      isExploring: false,
    });
    expect(open.admit(0, unsalvageable, admissionView({ workerReadyAtMs: 5000 })).kind).toBe('admit');
    expect(open.admit(30, aRequest({ dueAtMs: 20, isDeadlineDefaulted: true }), admissionView())).toMatchObject({
      kind: 'admit',
      isSetAside: false,
    });
    expect(policy({ admission: 'sponge' }).admit(0, unsalvageable, admissionView())).toMatchObject({
      kind: 'refuse',
      outcome: { reason: 'infeasible_at_max_cores', bestCaseMs: 50, remainingBudgetMs: 20 },
    });
  });

  it('admits the request itself, not a copy: what it asked for stays true', () => {
    const request = aRequest({ dueAtMs: 20 });
    const decision = policy().admit(0, request, admissionView());
    expect(decision.kind === 'admit' && decision.request).toBe(request);
  });

  it('without admission still refuses what there is no room for, and everything while draining', () => {
    const open = policy();
    expect(open.admit(0, aRequest(), admissionView({ heldRequests: 10 }))).toMatchObject({
      kind: 'refuse',
      outcome: { reason: 'queue_full', earliestFinishMs: 120, retryAfterMs: 70 },
    });
    expect(open.admit(0, aRequest({ byteCount: 2 }), admissionView({ heldBytes: 999 })).kind).toBe('refuse');
    expect(open.admit(0, aRequest({ byteCount: 1 }), admissionView({ heldBytes: 999 })).kind).toBe('admit');
    expect(open.admit(0, aRequest(), admissionView({ isDraining: true }))).toMatchObject({
      kind: 'refuse',
      outcome: { kind: 'failed', reason: 'draining' },
    });
  });
});
