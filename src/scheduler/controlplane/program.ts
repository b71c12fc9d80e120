import type { LatencyModel } from '../domain/latency.js';
import type { AllocationLimits } from '../domain/plan.js';
import type { QueuedWork, QueueMark } from '../domain/queue-snapshot.js';

export type { QueuedWork };

/**
 * The integer program of one planning decision.
 *
 * Replay semantics (the oracle in `test/oracle/` replays the same, sharing no code): the worker becomes free at
 * `nowMs + inFlightRemainingMs(c)`; then, until the queue is empty, it takes the EDF head and the next same-class
 * requests in EDF order, b in all at most, skipping other classes, and runs them for `plannedLatencyMs(size, c)`.
 * Every member must be finished by its deadline (finish ≤ dueAtMs).
 *
 * Before that, requests that no allocation can save are set aside: those that would be late even if they ran alone at
 * the largest allocation as soon as the batch in flight (at the largest allocation) is done.
 */
export interface PlanningProblem {
  readonly nowMs: number;
  /** EDF order: (dueAtMs, sequence). */
  readonly queue: readonly QueuedWork[];
  /** Of those that wait behind them (`behind-window.ts`); none where it is absent. */
  readonly behind?: readonly QueueMark[] | undefined;
  /** By class index. */
  readonly models: readonly LatencyModel[];
  /** Planned time that the batch in flight still needs when it goes on at this allocation; 0 when idle. Non-increasing. */
  readonly inFlightRemainingMs: (cpuMillicores: number) => number;
  /** Predicted arrivals to keep up with: h(b, c) = b / l(b, c) ≥ λ. */
  readonly arrivalRatePerSec: number;
  /** The class that predicted arrivals are taken to be of. */
  readonly arrivalModel: LatencyModel;
  /** c ∈ {min, min + step, …} ∪ {max}. */
  readonly limits: AllocationLimits;
  /** The most rows that may share a batch. */
  readonly maxBatchSize: number;
  /** Rows of a request by class index, and of predicted arrivals; one where absent. Of a class, b is at most what rows allow. */
  readonly rowCounts?: readonly number[] | undefined;
  readonly arrivalRowCount?: number | undefined;
}

/** Lexicographically least (c, b), or why there is none. `unsalvageable` holds queue indices that were set aside. */
export type Solution =
  | {
      readonly kind: 'feasible';
      readonly cpuMillicores: number;
      readonly batchSize: number;
      /** What the next smaller allocation would have broken; `queueIndex` may be a place behind the queue, of a mark. */
      readonly boundBy:
        | { readonly kind: 'floor' }
        | { readonly kind: 'deadline'; readonly queueIndex: number }
        | { readonly kind: 'arrival-rate' };
      readonly unsalvageable: readonly number[];
    }
  | {
      readonly kind: 'infeasible';
      readonly reason: 'deadlines' | 'arrival-rate';
      readonly unsalvageable: readonly number[];
    };
