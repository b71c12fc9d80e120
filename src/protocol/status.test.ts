import { describe, expect, it } from 'vitest';
import { REASONS } from '../scheduler/domain/outcome.js';
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
  sloMs: 1000,
  budgetMs: 500,
  networkDelayMs: 450,
  networkDelaySource: 'send_stamp',
  routerDelayMs: 0,
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
      server_overload: '429/8',
      client_limit: '429/8',
      expired: '504/4',
      cancelled: '499/1',
      draining: '503/14',
      poison: '500/13',
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
  it('infeasible: what was left, what it needs and where the rest of the SLO went; no Retry-After', () => {
    const reply = describeRefusal(
      { kind: 'rejected-infeasible', reason: 'infeasible_at_max_cores', bestCaseMs: 80.12345, remainingBudgetMs: 50 },
      EXPLANATION,
      'none',
    );
    // 1000 − 450 − 500 = 50 ms for the reply.
    expect(errorBody(reply)).toEqual({
      error:
        'deadline cannot be met: the model needs 80.1 ms alone at the largest allocation, 50.0 ms are left of a budget of 500.0 ms (SLO of 1000.0 ms: 450.0 ms went to the network (send_stamp), 50.0 ms are kept for the reply)',
      reason: 'infeasible_at_max_cores',
      remaining_budget_ms: 50,
      best_case_ms: 80.123,
    });
    expect(errorHeaders(reply)).toEqual({ 'x-sponge-reason': 'infeasible_at_max_cores' });
    expect(errorTrailers(reply)).toEqual({
      'x-sponge-reason': 'infeasible_at_max_cores',
      'x-sponge-remaining-budget-ms': '50',
      'x-sponge-best-case-ms': '80.123',
    });
  });

  it('infeasible since the router took too long: no negative time, and no word of a network that took nothing', () => {
    const explanation = { ...EXPLANATION, sloMs: 5, budgetMs: 5, networkDelayMs: 0.01 };
    const messageAt = (remainingBudgetMs: number): string =>
      describeRefusal(
        { kind: 'rejected-infeasible', reason: 'infeasible_at_max_cores', bestCaseMs: 2, remainingBudgetMs },
        explanation,
        'none',
      ).message;
    expect(messageAt(-6.3)).toBe(
      'deadline cannot be met: the model needs 2.0 ms alone at the largest allocation, the deadline passed 6.3 ms ago of a budget of 5.0 ms (SLO of 5.0 ms)',
    );
    expect(messageAt(0)).toContain('nothing is left of a budget of 5.0 ms (SLO of 5.0 ms)');
  });

  it('spent in the network: by what', () => {
    const reply = describeRefusal(
      { kind: 'rejected-infeasible', reason: 'budget_spent_in_network', bestCaseMs: 80, remainingBudgetMs: -1 },
      { ...EXPLANATION, sloMs: 500, budgetMs: 0 },
      'none',
    );
    expect(reply.message).toBe(
      'deadline cannot be met: on arrival nothing was left of the SLO of 500.0 ms: 450.0 ms went to the network (send_stamp), 50.0 ms are kept for the reply',
    );
  });

  it('a failure of the model: one line of at most 300 characters', () => {
    const message = (text: string): string =>
      describeRefusal({ kind: 'failed', reason: 'backend', message: text }, EXPLANATION, 'none').message;
    expect(message('Non-zero status\r\n\tat node Conv_1\u0000\n')).toBe('Non-zero status at node Conv_1');
    expect(message('x'.repeat(300))).toBe('x'.repeat(300));
    expect(message('x'.repeat(1e6))).toBe(`${'x'.repeat(299)}…`);
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
    expect(errorHeaders(describeBusy('queue_full', '3 calls', 'none'))).toEqual({
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

  it('expired while it ran: that its batch goes on', () => {
    const outcome = { kind: 'expired', reason: 'expired', lateByMs: 500, wasRunning: true } as const;
    const { message, status } = describeRefusal(outcome, EXPLANATION, 'none');
    expect(message).toBe('deadline passed 500.0 ms ago, of a budget of 500.0 ms, and its batch has still not ended');
    expect(status.http).toBe(504);
  });

  it('errors before admission carry no reason', () => {
    const reply = describeError({ kind: 'not_found', message: 'no such model' }, 'none');
    expect(errorBody(reply)).toEqual({ error: 'no such model' });
    expect(errorHeaders(reply)).toEqual({});
  });
});
