import { stream } from '../../scheduler/random/streams.js';
import { sendInstants, type ArrivalSpec } from '../workloads/arrivals.js';

/** What is asked of all pods together, the same for every balancing. */
export interface PodsWorkload {
  readonly durationMs: number;
  /** Ascending. */
  readonly sentAtMs: Float64Array;
  readonly budgetsMs: readonly number[];
  /** Of each request, which of the budgets. */
  readonly budgetIndexes: Uint8Array;
}

export interface PodsWorkloadSpec {
  readonly arrivals: ArrivalSpec;
  readonly durationMs: number;
  /** Equally likely. */
  readonly budgetsMs: readonly number[];
}

export function podsWorkload({ arrivals, durationMs, budgetsMs }: PodsWorkloadSpec, seed: number): PodsWorkload {
  const sentAtMs = sendInstants(arrivals, durationMs, stream(seed, 'pods arrivals'));
  const budgets = stream(seed, 'pods budgets');
  const budgetIndexes = Uint8Array.from(sentAtMs, () => budgets.int(budgetsMs.length));
  return { durationMs, sentAtMs, budgetsMs, budgetIndexes };
}
