/*
 * What the controller knows of one workload when it decides, and by which rules. Plain data: whoever gathers it (a cluster, a simulation)
 * says what was seen since the last time. All CPU is of a pod's models, in integer millicores; what a pod has beside them is `podMillicores`.
 */
import type { LatencyModel } from '../scheduler/domain/latency.js';
import type { AllocationLimits } from '../scheduler/domain/plan.js';

/** One model, over all pods of the workload. */
export interface ModelDemand {
  readonly name: string;
  /** Requests since the last observation. */
  readonly arrived: number;
  /** Of those that had a chance: ended since the last observation, and among them shed, expired or late. */
  readonly ended: number;
  readonly missed: number;
  /** Queued and running now. */
  readonly heldRequests: number;
  /** What requests of late came with, ms left at the server; equally likely each, in any order. Empty: not known. */
  readonly budgetsMs: readonly number[];
  readonly latency: LatencyModel;
  /** Requests of one batch, at most. */
  readonly maxBatchSize: number;
  /** That a pod runs side by side, at most. */
  readonly instances: number;
}

/** `starting`: it takes no requests yet; `leaving`: no more. */
export type PodPhase = 'starting' | 'warm' | 'leaving';

export interface PodObservation {
  readonly id: string;
  readonly phase: PodPhase;
  readonly inForceMillicores: number;
  /** Asked for last; in force within a moment, unless `blocked`. */
  readonly wishedMillicores: number;
  /** Why the wish is not in force: the node has no room now, or never has. */
  readonly blocked: 'deferred' | 'infeasible' | null;
  /** It moves its own limit: it is counted, and left alone. */
  readonly resizesItself: boolean;
  /** That its node could give beyond what is in force; null where nobody says. */
  readonly nodeFreeMillicores: number | null;
}

export interface WorkloadObservation {
  /** Since the last observation, ms; > 0. */
  readonly spanMs: number;
  /** As asked for last, by whomever. */
  readonly replicasWished: number;
  readonly pods: readonly PodObservation[];
  /** Null: nobody says anything of the load, which is not the same as none. */
  readonly models: readonly ModelDemand[] | null;
}

/** How requests find their pod. `by-room`: to who has room (the picker, least request); `even`: by turns or by chance. */
export type Balancing = 'by-room' | 'even';

export interface WorkloadRules {
  /** Of one pod. */
  readonly limits: AllocationLimits;
  /** Of replicas: for availability, and for the bill. */
  readonly minReplicas: number;
  readonly maxReplicas: number;
  /** That a pod is charged beside its models' CPU: its router, and its memory in the price of CPU. */
  readonly podMillicores: number;
  /** Share of the requests to be met, in (0, 1). */
  readonly attainment: number;
  readonly balancing: Balancing;
  /** More pods are asked for where each needed more than this share of the most it may have. */
  readonly growAtFraction: number;
  /** Less CPU once no more was needed for so long. */
  readonly coreHoldMs: number;
  /** Fewer pods once no more were needed for so long. */
  readonly replicaHoldMs: number;
  /** More pods only because that is cheaper: once it has been for so long. */
  readonly settleMs: number;
  /** From asking for a pod to its being warm, until that has been seen. */
  readonly coldStartMs: number;
}

export const USUAL_RULES: Omit<WorkloadRules, 'limits'> = {
  minReplicas: 1,
  maxReplicas: 10,
  // The router's quarter core.
  podMillicores: 250,
  attainment: 0.99,
  balancing: 'even',
  // Themis-like hand-off: what is left is what a flash crowd gets while pods start.
  growAtFraction: 0.7,
  coreHoldMs: 10_000,
  replicaHoldMs: 120_000,
  settleMs: 20_000,
  coldStartMs: 30_000,
};
