/** What the control plane wants in force. */
export interface FeasiblePlan {
  readonly kind: 'feasible';
  readonly instances: number;
  readonly cpuMillicores: number;
  readonly batchSize: number;
  /** What bound it, for people: "deadline of request 17", "arrival rate 41.2/s", "idle". */
  readonly boundBy: string;
}

/** Not everything that can still be saved can be saved together: the largest allocation, and some are shed. */
export interface InfeasiblePlan {
  readonly kind: 'infeasible';
  readonly instances: number;
  readonly cpuMillicores: number;
  readonly batchSize: number;
  readonly reason: string;
}

export type Plan = FeasiblePlan | InfeasiblePlan;

/** CPU that may be granted, integer millicores. */
export interface AllocationLimits {
  readonly minMillicores: number;
  readonly maxMillicores: number;
  readonly stepMillicores: number;
}
