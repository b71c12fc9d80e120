/** What the control plane wants in force. */
export interface FeasiblePlan {
  readonly kind: 'feasible';
  readonly instances: number;
  readonly cpuMillicores: number;
  readonly batchSize: number;
  /** What bound it, for people: "deadline of request 17", "arrival rate 41.2/s", "idle". */
  readonly boundBy: string;
}

/**
 * The largest allocation does not suffice. `deadlines`: not everything that can still be saved can be saved together, so
 * the data plane sheds. `arrival-rate`: what is queued can be met, but more keeps coming than can be kept up with.
 */
export interface InfeasiblePlan {
  readonly kind: 'infeasible';
  readonly instances: number;
  readonly cpuMillicores: number;
  readonly batchSize: number;
  readonly reason: 'deadlines' | 'arrival-rate';
}

export type Plan = FeasiblePlan | InfeasiblePlan;

/** CPU that may be granted, integer millicores. */
export interface AllocationLimits {
  readonly minMillicores: number;
  readonly maxMillicores: number;
  readonly stepMillicores: number;
}
