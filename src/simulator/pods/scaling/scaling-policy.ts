import type { PodPhase } from '../../../operate/observation.js';
import type { AllocationLimits } from '../../../scheduler/domain/plan.js';
import type { PodMachine } from '../pod-machine.js';

/* A policy that sizes a workload is (what was seen of the last second) → (how many pods, and how many cores each). All else is the simulator's. */

export interface ScaledPod {
  readonly id: string;
  readonly phase: PodPhase;
  readonly inForceMillicores: number;
  /** Asked for last. */
  readonly wishedMillicores: number;
}

export interface FleetObservation {
  readonly nowMs: number;
  /** Since the last observation. */
  readonly spanMs: number;
  readonly replicasWished: number;
  /** Those that are leaving are not among them. */
  readonly pods: readonly ScaledPod[];
  /** Since the last observation: requests sent, ended, and of these refused or late. */
  readonly arrived: number;
  readonly ended: number;
  readonly missed: number;
  /** Queued and running now. */
  readonly heldRequests: number;
  /** Of requests whose batch began since the last observation: how many, and how long they had waited in all, ms. */
  readonly begun: number;
  readonly queuedMs: number;
  /** Core-seconds used by all pods since the last observation. */
  readonly usedCoreSeconds: number;
}

export interface FleetWish {
  readonly replicas: number;
  /** Of pods that are there; others stay as they are. */
  readonly resizes: readonly { readonly pod: string; readonly cpuMillicores: number }[];
}

export interface ScalingPolicy {
  decide(observation: FleetObservation): FleetWish;
}

/** What every policy is told beforehand. */
export interface FleetBounds {
  readonly machine: PodMachine;
  readonly budgetsMs: readonly number[];
  /** Of one pod. */
  readonly limits: AllocationLimits;
  readonly minReplicas: number;
  readonly maxReplicas: number;
  /** Of a pod when it is made. */
  readonly firstMillicores: number;
  /** That a pod holds beside its models' CPU. */
  readonly podMillicores: number;
}

/** All pods that are there alike. */
export function resizeAll(pods: readonly ScaledPod[], cpuMillicores: number): FleetWish['resizes'] {
  return pods.flatMap(({ id, wishedMillicores }) =>
    wishedMillicores === cpuMillicores ? [] : [{ pod: id, cpuMillicores }],
  );
}
