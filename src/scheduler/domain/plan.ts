import type { PlanBound } from './plan-bound.js';

/** What every plan says of CPU. */
interface PlannedCpu {
  /** So many there are to be. */
  readonly instances: number;
  /** Of each instance; where each is planned by itself (`allocations`), of the one that starts the next batch, 0 where none does. */
  readonly cpuMillicores: number;
  /**
   * By instance, where each is planned by itself: what it is to have. A free one that is to have something starts the next
   * batch; 0: it rests. Absent: all are alike, and any free one starts.
   */
  readonly allocations?: readonly number[];
  /** The most requests of the next batch. */
  readonly batchSize: number;
}

/** What the control plane wants in force. */
export interface FeasiblePlan extends PlannedCpu {
  readonly kind: 'feasible';
  readonly boundBy: PlanBound;
  /** Of the instances, so many are used at once, where more would slow each other down by more than they save; absent: all. */
  readonly usedAtOnce?: number;
  /** φ, which they would: with `usedAtOnce`. */
  readonly interference?: number;
}

/**
 * The largest allocation does not suffice. `deadlines`: not everything that can still be saved can be saved together, so
 * the data plane sheds. `arrival-rate`: what is queued can be met, but more keeps coming than can be kept up with.
 */
export interface InfeasiblePlan extends PlannedCpu {
  readonly kind: 'infeasible';
  readonly reason: 'deadlines' | 'arrival-rate';
}

export type Plan = FeasiblePlan | InfeasiblePlan;

/** What all instances together are to have. */
export function plannedMillicores({ instances, cpuMillicores, allocations }: Plan): number {
  return allocations?.reduce((sum, each) => sum + each, 0) ?? instances * cpuMillicores;
}

/** CPU that may be granted, integer millicores. */
export interface AllocationLimits {
  readonly minMillicores: number;
  readonly maxMillicores: number;
  readonly stepMillicores: number;
}
