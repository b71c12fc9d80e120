/* A request as a picker sees it, which reads heads and no bodies, and what it says. */

export interface RoutedRequest {
  /** Null: its head does not say. */
  readonly model: string | null;
  /** Null: the latest. */
  readonly version: string | null;
  /** The tightest that is stated; null: none, and then it is served late rather than refused. */
  readonly budgetMs: number | null;
  /** Of its inputs, where that can be told from its head. */
  readonly inputBytes: number | null;
}

/** Why a pod was chosen. */
export type PickReason =
  /** Of those that can meet it with plenty to spare, it has the least to spare. */
  | 'least-to-spare'
  /** None has plenty; it has the most. */
  | 'most-to-spare'
  /** To see whether what is believed of it is so. */
  | 'test'
  /** Nothing is known of any. */
  | 'blind'
  /** Those that report have no such model: one of them is to say so. */
  | 'unknown-model';

export interface Sent {
  readonly kind: 'send';
  readonly pod: string;
  /** Where to try next if it does not answer, or refuses: the most to spare first. */
  readonly fallbacks: readonly string[];
  readonly reason: PickReason;
  /** The request's number among those that this picker sent. */
  readonly number: number;
  /** What is expected to be left of its budget; null where nothing is known. */
  readonly spareMs: number | null;
}

/** The words are those of a pod's own refusals. */
export type Refused =
  | {
      readonly kind: 'refuse';
      readonly reason: 'infeasible_at_max_cores';
      /** Alone on all cores, of the pod that is quickest. */
      readonly bestCaseMs: number;
      readonly remainingBudgetMs: number;
    }
  | {
      readonly kind: 'refuse';
      readonly reason: 'queue_overload';
      readonly bestCaseMs: number;
      readonly remainingBudgetMs: number;
      /** From now, of all pods, behind all that waits there. */
      readonly earliestFinishMs: number;
      readonly retryAfterMs: number;
    }
  | { readonly kind: 'refuse'; readonly reason: 'draining' | 'model_unavailable'; readonly retryAfterMs: number };

export type Pick = Sent | Refused;
