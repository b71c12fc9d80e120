import { mayBeLate } from '../dataplane/queue-entry.js';
import type { InferRequest } from '../domain/request.js';
import type { PipelineGraph } from './graph.js';
import { DRAINING, type Refusal } from './refusals.js';
import { finishMs, longestMs, restsMs, type StepOutlook } from './timing.js';

/*
 * Whether a request may begin: decided once, at the door, for the whole way. What a later step has to do counts here, so that nobody
 * is let in who would wait in the middle for what cannot be had in time; between steps there is no place to be full.
 *
 * As for a model only what is certain is refused, but for two beliefs: how many parts there will be, and how long steps take. A request that
 * they refuse is let in now and then (`mayTry`), as nothing is learnt of what is refused.
 */

export interface PipelineLimits {
  /** Requests held at a time. */
  readonly maxRequests: number;
  /** Bytes of tensors held at a time, over all requests. */
  readonly maxBytes: number;
}

export interface DoorView {
  readonly isDraining: boolean;
  readonly graph: PipelineGraph;
  /** Of each step; null where one of them cannot run. */
  readonly outlooks: readonly StepOutlook[] | null;
  /** Why not. */
  readonly unavailable: string;
  /** Expected of each step. */
  readonly parts: readonly number[];
  readonly heldRequests: number;
  /** What they hold, or are to be taken to need. */
  readonly heldBytes: number;
  /** That one like this one needs. */
  readonly expectedBytes: number;
  readonly limits: PipelineLimits;
  mayTry(): boolean;
}

/** `try`: a belief refuses it, and is put to the test. */
export type DoorDecision =
  { readonly kind: 'begin' } | { readonly kind: 'try' } | { readonly kind: 'refuse'; readonly refusal: Refusal };

export function doorDecision(nowMs: number, request: InferRequest, view: DoorView): DoorDecision {
  if (view.isDraining) return refuse(DRAINING);
  const { outlooks, graph, parts, limits } = view;
  if (outlooks === null) return refuse({ kind: 'failed', reason: 'model_unavailable', message: view.unavailable });
  const remainingBudgetMs = request.dueAtMs - nowMs;
  const bestCaseMs = longestMs(restsMs(graph, outlooks, 'leastMs', parts));
  const isBinding = !mayBeLate(request);
  const isFull =
    view.heldRequests >= limits.maxRequests ||
    (view.heldRequests > 0 && view.heldBytes + view.expectedBytes > limits.maxBytes);
  if (isBinding && bestCaseMs > remainingBudgetMs) {
    const reason = request.dueAtMs <= request.receivedAtMs ? 'budget_spent_in_network' : 'infeasible_at_max_cores';
    if (remainingBudgetMs > 0 && !isFull && view.mayTry()) return { kind: 'try' };
    return refuse({ kind: 'rejected-infeasible', reason, bestCaseMs, remainingBudgetMs });
  }
  const earliestFinishMs = finishMs(graph, outlooks, parts, Math.max(0, remainingBudgetMs));
  const retryAfterMs = Math.max(0, earliestFinishMs - bestCaseMs);
  const times = { bestCaseMs, remainingBudgetMs, earliestFinishMs, retryAfterMs };
  if (isFull) return refuse({ kind: 'rejected-overload', reason: 'queue_full', ...times });
  if (!isBinding || earliestFinishMs <= remainingBudgetMs) return { kind: 'begin' };
  return view.mayTry() ? { kind: 'try' } : refuse({ kind: 'rejected-overload', reason: 'queue_overload', ...times });
}

function refuse(refusal: Refusal): DoorDecision {
  return { kind: 'refuse', refusal };
}
