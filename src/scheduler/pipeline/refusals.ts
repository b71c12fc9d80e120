import type { FailedOutcome, Outcome } from '../domain/outcome.js';
import type { InferRequest } from '../domain/request.js';

/* Why a request of a pipeline has no result, in the words that a model's has. */

export type Refusal = Exclude<Outcome, { kind: 'completed' }>;

export const DRAINING: FailedOutcome = {
  kind: 'failed',
  reason: 'draining',
  message: 'the server is shutting down; send to another one',
};

export function failed(message: string): Refusal {
  return { kind: 'failed', reason: 'backend', message };
}

/** Given up so that others are met. */
export function overloaded(nowMs: number, { dueAtMs }: InferRequest, bestCaseMs: number): Refusal {
  const remainingBudgetMs = dueAtMs - nowMs;
  const earliestFinishMs = Math.max(bestCaseMs, remainingBudgetMs);
  const retryAfterMs = Math.max(0, remainingBudgetMs - bestCaseMs);
  return {
    ...{ kind: 'rejected-overload', reason: 'queue_overload', bestCaseMs, remainingBudgetMs },
    ...{ earliestFinishMs, retryAfterMs },
  };
}

/**
 * What a part's refusal is for its request.
 * @param behindMs what would have come after it
 */
export function refusalOfWhole(
  refusal: Refusal,
  step: string,
  remainingBudgetMs: number,
  behindMs: () => number,
): Refusal {
  switch (refusal.kind) {
    case 'failed':
      return { ...refusal, message: `step '${step}': ${refusal.message}` };
    case 'cancelled':
      return failed(`step '${step}': its part was taken away`);
    case 'expired':
      return { ...refusal, lateByMs: Math.max(0, -remainingBudgetMs) };
    case 'rejected-infeasible': {
      const bestCaseMs = refusal.bestCaseMs + behindMs();
      return { ...refusal, reason: 'infeasible_at_max_cores', bestCaseMs, remainingBudgetMs };
    }
    case 'rejected-overload':
      return { ...refusal, remainingBudgetMs };
  }
}
