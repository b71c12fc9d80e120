import type { Tensor } from './tensor.js';

/** Why a request was not answered with a result. One list for REST, gRPC, metrics, logs and docs. */
export const REASONS = [
  'budget_spent_in_network',
  'infeasible_at_max_cores',
  'queue_overload',
  'queue_full',
  // Before it was a request: by the server's own condition, or by what one client may hold.
  'server_overload',
  'client_limit',
  'expired',
  'cancelled',
  'draining',
  'model_unavailable',
  'backend',
  // It ended a worker, or would: not to be sent again.
  'poison',
] as const;

export type Reason = (typeof REASONS)[number];

/** How a served request came about; what the client can be told about it. */
export interface ServiceRecord {
  readonly queuedMs: number;
  /** Deadline − predicted finish, at dispatch; negative when it was expected to be late. */
  readonly slackAtDispatchMs: number;
  readonly batchId: number;
  readonly batchSize: number;
  readonly cpuMillicores: number;
  readonly threadCount: number;
  /** Planned (p99) time from dispatch to reply at the allocation of the dispatch. */
  readonly plannedLatencyMs: number;
  /** Measured time from dispatch to reply. */
  readonly latencyMs: number;
  /** Of a model with variants: which of them it was. */
  readonly variant?: string;
}

/** Exactly one per request. */
export type Outcome =
  | {
      readonly kind: 'completed';
      readonly isLate: boolean;
      readonly outputs: readonly Tensor[];
      readonly service: ServiceRecord;
    }
  | {
      readonly kind: 'rejected-infeasible';
      readonly reason: 'budget_spent_in_network' | 'infeasible_at_max_cores';
      /** Time it would have needed alone at the largest allocation. */
      readonly bestCaseMs: number;
      /** Time it had left when it was refused; may be negative. */
      readonly remainingBudgetMs: number;
    }
  | {
      readonly kind: 'rejected-overload';
      readonly reason: 'queue_overload' | 'queue_full';
      readonly bestCaseMs: number;
      readonly remainingBudgetMs: number;
      /** When it would have finished behind what was kept, from now. */
      readonly earliestFinishMs: number;
      readonly retryAfterMs: number;
    }
  | {
      readonly kind: 'expired';
      readonly reason: 'expired';
      readonly lateByMs: number;
      /** Its batch was begun and has not ended. */
      readonly wasRunning?: true;
    }
  | { readonly kind: 'cancelled'; readonly reason: 'cancelled' }
  | FailedOutcome;

export interface FailedOutcome {
  readonly kind: 'failed';
  readonly reason: 'draining' | 'model_unavailable' | 'backend' | 'poison';
  readonly message: string;
  /** When trying again may help; absent where it will not. */
  readonly retryAfterMs?: number;
}

/** The outcome words of metrics, logs and reports. */
export type OutcomeName =
  | 'completed_on_time'
  | 'completed_late'
  | 'rejected_infeasible'
  | 'rejected_overload'
  | 'expired'
  | 'cancelled'
  | 'failed';

export function outcomeName(outcome: Outcome): OutcomeName {
  switch (outcome.kind) {
    case 'completed':
      return outcome.isLate ? 'completed_late' : 'completed_on_time';
    case 'rejected-infeasible':
      return 'rejected_infeasible';
    case 'rejected-overload':
      return 'rejected_overload';
    case 'expired':
    case 'cancelled':
    case 'failed':
      return outcome.kind;
  }
}
