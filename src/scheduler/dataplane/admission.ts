/*
 * Admission decides, once per request and at once, whether it may enter the queue. First stage of the data plane.
 *
 * It refuses only what is certain: no budget left, not to be met even alone at the largest allocation (by the least latency that
 * is believed: a guess about a shape that nobody has measured refuses nothing), no room, no worker in time. What this load
 * makes impossible is found by the planner, which sheds what costs most (not whoever came last).
 * Two of these are beliefs, the latency model's and the expected length of a restart: now and then one is let in that they
 * refuse, which tests them (`exploration.ts`).
 * Rejected alternative: an admission test on the whole queue here; it would plan twice and could disagree with the plan.
 */
import type { LatencyModel } from '../domain/latency.js';
import type { Outcome } from '../domain/outcome.js';
import type { AdmittedRequest, InferRequest } from '../domain/request.js';
import { mayBeLate } from './queue-entry.js';

export interface QueueLimits {
  /** Requests held at a time: queued and running. */
  readonly maxRequests: number;
  /** Input bytes held at a time. */
  readonly maxBytes: number;
}

/** What admission may look at. */
export interface AdmissionView {
  readonly isDraining: boolean;
  /** When the worker can take work: now or earlier when it is up, the expected end of its restart otherwise. */
  readonly workerReadyAtMs: number;
  /** Why it cannot; '' while it is up. */
  readonly workerLoss: string;
  /** Of the request's shape class. */
  readonly model: LatencyModel;
  readonly maxMillicores: number;
  readonly heldRequests: number;
  readonly heldBytes: number;
  readonly limits: QueueLimits;
  /** Time from now until what is queued would be done at the largest allocation. */
  backlogMs(): number;
  /** Whether a request that is believed to take too long may be tried. */
  mayExplore(): boolean;
  /** Whether one may wait for a worker that is believed to come back too late. */
  mayAwaitRestart(): boolean;
}

export type AdmissionDecision =
  | {
      readonly kind: 'admit';
      readonly request: AdmittedRequest;
      /** To wait behind all others: it may be late, and will be. */
      readonly isSetAside: boolean;
      /** It should be refused, and is let in to see whether that is right. */
      readonly isExploring: boolean;
    }
  | { readonly kind: 'refuse'; readonly outcome: Exclude<Outcome, { kind: 'completed' }> };

export function admit(nowMs: number, request: InferRequest, view: AdmissionView): AdmissionDecision {
  if (view.isDraining) {
    return refuse({ kind: 'failed', reason: 'draining', message: 'the server is shutting down; send to another one' });
  }
  const bestCaseMs = view.model.leastLatencyMs(1, view.maxMillicores);
  const remainingBudgetMs = request.dueAtMs - nowMs;

  if (!mayBeLate(request) && remainingBudgetMs <= 0 && wasReadTooLate(request)) {
    return refuse({ kind: 'expired', reason: 'expired', lateByMs: -remainingBudgetMs });
  }
  if (!mayBeLate(request) && bestCaseMs > remainingBudgetMs) {
    // Time that passed since the arrival was ours, not the network's.
    const reason = request.dueAtMs <= request.receivedAtMs ? 'budget_spent_in_network' : 'infeasible_at_max_cores';
    const isTried =
      remainingBudgetMs > 0 && hasRoom(request, view) && view.workerReadyAtMs <= nowMs && view.mayExplore();
    if (isTried) return letIn(request, { isSetAside: false, isExploring: true });
    return refuse({ kind: 'rejected-infeasible', reason, bestCaseMs, remainingBudgetMs });
  }
  if (!hasRoom(request, view)) {
    const backlogMs = view.backlogMs();
    return refuse({
      kind: 'rejected-overload',
      reason: 'queue_full',
      bestCaseMs,
      remainingBudgetMs,
      earliestFinishMs: backlogMs + bestCaseMs,
      retryAfterMs: backlogMs,
    });
  }
  const isAwayTooLong = Math.max(nowMs, view.workerReadyAtMs) + bestCaseMs > request.dueAtMs;
  if (isAwayTooLong && !mayBeLate(request)) {
    // Behind those that are expected to make it.
    if (view.mayAwaitRestart()) return letIn(request, { isSetAside: true, isExploring: false });
    const retryAfterMs = view.workerReadyAtMs - nowMs;
    return refuse({
      kind: 'failed',
      reason: 'model_unavailable',
      message: restartMessage(view.workerLoss),
      retryAfterMs,
    });
  }
  return letIn(request, { isSetAside: bestCaseMs > remainingBudgetMs, isExploring: false });
}

/** It would have had some budget left, had the router not stood still before it read it: that is not the network's doing. */
function wasReadTooLate({ dueAtMs, receivedAtMs, routerDelayMs = 0 }: InferRequest): boolean {
  return dueAtMs <= receivedAtMs && dueAtMs + routerDelayMs > receivedAtMs;
}

export function restartMessage(workerLoss: string): string {
  return `the model is restarting: ${workerLoss}`;
}

function hasRoom(request: InferRequest, { heldRequests, heldBytes, limits }: AdmissionView): boolean {
  return heldRequests < limits.maxRequests && heldBytes + request.byteCount <= limits.maxBytes;
}

function letIn(
  request: InferRequest,
  place: { readonly isSetAside: boolean; readonly isExploring: boolean },
): AdmissionDecision {
  return { kind: 'admit', request: request as AdmittedRequest, ...place };
}

function refuse(outcome: Exclude<Outcome, { kind: 'completed' }>): AdmissionDecision {
  return { kind: 'refuse', outcome };
}
