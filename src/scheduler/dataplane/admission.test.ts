import { describe, expect, it } from 'vitest';
import { dueAt, TEN_MS_EACH } from '../../../test/simulation/fixed-latency.js';
import { admit, type AdmissionView } from './admission.js';

/** Alone at the largest allocation, 2 cores: 10 / 2 = 5 ms. */
function view(overrides: Partial<AdmissionView> = {}): AdmissionView {
  return {
    isDraining: false,
    workerReadyAtMs: 0,
    workerLoss: '',
    model: TEN_MS_EACH,
    maxMillicores: 2000,
    heldRequests: 0,
    heldBytes: 0,
    limits: { maxRequests: 10, maxBytes: 100 },
    backlogMs: () => 40,
    mayExplore: () => false,
    mayAwaitRestart: () => false,
    ...overrides,
  };
}

describe('admission', () => {
  it('lets in what can just be met alone at the largest allocation', () => {
    // 100 + 5 = 105.
    expect(admit(100, dueAt(1, 105), view())).toMatchObject({ kind: 'admit', isSetAside: false });
  });

  it('refuses what cannot be met even alone, with what it would have needed and what it had', () => {
    expect(admit(100, dueAt(1, 104.5), view())).toEqual({
      kind: 'refuse',
      outcome: {
        kind: 'rejected-infeasible',
        reason: 'infeasible_at_max_cores',
        bestCaseMs: 5,
        remainingBudgetMs: 4.5,
      },
    });
  });

  it('refuses nothing for what is merely a guess, but what surely takes too long', () => {
    // Planned with 2144 ms, though 30 ms is all that it surely takes.
    const guessed = view({
      model: { predictedLatencyMs: () => 2000, plannedLatencyMs: () => 2144, leastLatencyMs: () => 30 },
    });
    expect(admit(100, dueAt(1, 130), guessed)).toMatchObject({ kind: 'admit', isSetAside: false });
    expect(admit(100, dueAt(1, 129), guessed)).toMatchObject({ outcome: { bestCaseMs: 30, remainingBudgetMs: 29 } });
  });

  it('blames the network only where nothing of the budget was left on arrival', () => {
    const spent = dueAt(1, 100, { receivedAtMs: 100 });
    expect(admit(102, spent, view())).toMatchObject({
      outcome: { reason: 'budget_spent_in_network', remainingBudgetMs: -2 },
    });
    // The router stood still for 30 ms before it read it; of the network's 20 ms it would have had 10 left.
    const readLate = dueAt(1, 80, { receivedAtMs: 100, routerDelayMs: 30 });
    expect(admit(102, readLate, view())).toMatchObject({ outcome: { kind: 'expired', lateByMs: 22 } });
    const spentAnyway = dueAt(1, 80, { receivedAtMs: 100, routerDelayMs: 15 });
    expect(admit(102, spentAnyway, view())).toMatchObject({ outcome: { reason: 'budget_spent_in_network' } });
    // 3.8 ms on arrival, all of it spent by the router since: 103.8 − 110 = −6.2.
    const late = admit(110, dueAt(1, 103.8, { receivedAtMs: 100 }), view());
    expect(late).toMatchObject({ outcome: { kind: 'rejected-infeasible', reason: 'infeasible_at_max_cores' } });
  });

  it('refuses when as many requests are held as allowed, and says when it would have been done', () => {
    expect(admit(0, dueAt(1, 500), view({ heldRequests: 10 }))).toEqual({
      kind: 'refuse',
      outcome: {
        kind: 'rejected-overload',
        reason: 'queue_full',
        bestCaseMs: 5,
        remainingBudgetMs: 500,
        earliestFinishMs: 45,
        retryAfterMs: 40,
      },
    });
  });

  it('bounds the bytes that are held', () => {
    expect(admit(0, dueAt(1, 500, { byteCount: 40 }), view({ heldBytes: 60 })).kind).toBe('admit');
    expect(admit(0, dueAt(1, 500, { byteCount: 41 }), view({ heldBytes: 60 }))).toMatchObject({
      outcome: { reason: 'queue_full' },
    });
  });

  it('refuses what a restarting worker would answer too late, and only that', () => {
    // The worker is back at 300: 300 + 5 = 305.
    const restarting = view({ workerReadyAtMs: 300 });
    expect(admit(100, dueAt(1, 305), restarting).kind).toBe('admit');
    expect(admit(100, dueAt(1, 304), restarting)).toMatchObject({
      outcome: { kind: 'failed', reason: 'model_unavailable', retryAfterMs: 200 },
    });
  });

  it('refuses everything while draining', () => {
    const bestEffort = dueAt(1, 500, { isBestEffort: true });
    expect(admit(0, bestEffort, view({ isDraining: true }))).toMatchObject({ outcome: { reason: 'draining' } });
  });

  it('never refuses for its deadline what may be late: out of reach, it waits behind all others', () => {
    for (const fields of [{ isBestEffort: true }, { isDeadlineDefaulted: true }]) {
      expect(admit(100, dueAt(1, 50, fields), view())).toMatchObject({ kind: 'admit', isSetAside: true });
      expect(admit(100, dueAt(1, 200, fields), view())).toMatchObject({ kind: 'admit', isSetAside: false });
      expect(admit(100, dueAt(1, 200, fields), view({ workerReadyAtMs: 300 })).kind).toBe('admit');
    }
  });
});
