import { describe, expect, it } from 'vitest';
import { REASONS } from '../../domain/outcome.js';
import {
  describeBusy,
  describeError,
  describeRefusal,
  errorBody,
  errorHeaders,
  errorTrailers,
  statusOfError,
  statusOfReason,
} from './status.js';

const EXPLANATION = {
  budgetMs: 500,
  networkDelayMs: 450,
  networkDelaySource: 'send_stamp',
  isDeadlineDefaulted: false,
} as const;

describe('the status table', () => {
  it('never sheds with UNAVAILABLE (14), which clients retry', () => {
    for (const reason of ['queue_overload', 'queue_full', 'expired', 'infeasible_at_max_cores'] as const) {
      expect(statusOfReason(reason, 'none').grpc).not.toBe(14);
    }
  });

  it('has a row for every reason', () => {
    const rows = Object.fromEntries(
      REASONS.map((reason) => [reason, Object.values(statusOfReason(reason, 'none')).join('/')]),
    );
    expect(rows).toEqual({
      budget_spent_in_network: '504/4',
      infeasible_at_max_cores: '504/4',
      queue_overload: '429/8',
      queue_full: '429/8',
      expired: '504/4',
      cancelled: '499/1',
      draining: '503/14',
      model_unavailable: '503/14',
      backend: '500/13',
    });
  });

  it('speaks Triton where asked: rejections and expiry are 503 UNAVAILABLE, what is not ready is 400', () => {
    for (const reason of ['queue_overload', 'queue_full', 'expired'] as const) {
      expect(statusOfReason(reason, 'triton')).toEqual({ http: 503, grpc: 14 });
    }
    expect(statusOfReason('model_unavailable', 'triton').http).toBe(400);
    expect(statusOfError('unavailable', 'triton').http).toBe(400);
    expect(statusOfReason('draining', 'triton').http).toBe(503);
    expect(statusOfReason('infeasible_at_max_cores', 'triton').http).toBe(504);
    expect(statusOfError('invalid', 'triton')).toEqual({ http: 400, grpc: 3 });
  });
});

describe('what a refused client is told', () => {
  it('infeasible: what was left and what it needs, and no Retry-After', () => {
    const reply = describeRefusal(
      {
        kind: 'rejected-infeasible',
        reason: 'budget_spent_in_network',
        bestCaseMs: 80.12345,
        remainingBudgetMs: 50,
      },
      EXPLANATION,
      'none',
    );
    expect(errorBody(reply)).toEqual({
      error:
        'deadline cannot be met: 450.0 ms of a budget of 500.0 ms went to the network (send_stamp), 50.0 ms are left and the model needs 80.1 ms alone at the largest allocation',
      reason: 'budget_spent_in_network',
      remaining_budget_ms: 50,
      best_case_ms: 80.123,
    });
    expect(errorHeaders(reply)).toEqual({ 'x-sponge-reason': 'budget_spent_in_network' });
    expect(errorTrailers(reply)).toEqual({
      'x-sponge-reason': 'budget_spent_in_network',
      'x-sponge-remaining-budget-ms': '50',
      'x-sponge-best-case-ms': '80.123',
    });
  });

  it('overload: Retry-After in whole seconds, rounded up, and exact ms beside it', () => {
    const reply = describeRefusal(
      {
        kind: 'rejected-overload',
        reason: 'queue_overload',
        bestCaseMs: 30,
        remainingBudgetMs: 100,
        earliestFinishMs: 900,
        retryAfterMs: 1200.5,
      },
      EXPLANATION,
      'none',
    );
    expect(reply.status).toEqual({ http: 429, grpc: 8 });
    // 1200.5 ms → 2 s
    expect(errorHeaders(reply)).toEqual({ 'x-sponge-reason': 'queue_overload', 'retry-after': '2' });
    expect(errorBody(reply)).toMatchObject({ earliest_finish_ms: 900, retry_after_ms: 1201 });
  });

  it('never says to retry after 0 seconds', () => {
    const reply = describeRefusal(
      { kind: 'failed', reason: 'model_unavailable', message: 'worker restarts', retryAfterMs: 0 },
      EXPLANATION,
      'none',
    );
    expect(errorHeaders(reply)['retry-after']).toBe('1');
    expect(errorHeaders(describeBusy('3 calls', 'none'))).toEqual({
      'x-sponge-reason': 'queue_full',
      'retry-after': '1',
    });
  });

  it('expired: by how much', () => {
    const reply = describeRefusal({ kind: 'expired', reason: 'expired', lateByMs: 0.25 }, EXPLANATION, 'none');
    expect(errorBody(reply)).toEqual({
      error: 'deadline passed in the queue, 0.3 ms ago, of a budget of 500.0 ms',
      reason: 'expired',
    });
  });

  it('errors before admission carry no reason', () => {
    const reply = describeError({ kind: 'not_found', message: 'no such model' }, 'none');
    expect(errorBody(reply)).toEqual({ error: 'no such model' });
    expect(errorHeaders(reply)).toEqual({});
  });
});
