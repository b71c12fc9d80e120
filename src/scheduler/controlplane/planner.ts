import type { LatencyModel } from '../domain/latency.js';
import type { AllocationLimits, Plan } from '../domain/plan.js';
import type { QueueSnapshot } from '../domain/queue-snapshot.js';
import type { Forecast } from './estimator.js';
import type { CpuCounters } from './scaler.js';

/** One that has an allocation of its own, or all of them where they share one. */
export interface InstanceView {
  /** Asked for last; in force within a moment. */
  readonly requestedMillicores: number;
  readonly isRunning: boolean;
  /** It can run nothing now: its process is being started. */
  readonly isAway: boolean;
}

/** Everything that a plan may depend on. */
export interface PlannerView {
  readonly nowMs: number;
  readonly snapshot: QueueSnapshot;
  /** By the snapshot's class index. */
  readonly models: readonly LatencyModel[];
  /** As long as it stays the same, so does whatever any model says; undefined where that is not known. */
  readonly modelsRevision?: number | undefined;
  /** Of the batch in flight; null when none is. */
  readonly inFlightModel: LatencyModel | null;
  /** Of each batch that runs, as in the snapshot. */
  readonly runningModels: readonly LatencyModel[];
  /** Of the class of recent arrivals. */
  readonly arrivalModel: LatencyModel;
  /** Rows of one request of that class. */
  readonly arrivalRowCount: number;
  readonly forecast: Forecast;
  /** Allocations on which batches may run. */
  readonly limits: AllocationLimits;
  readonly current: Plan;
  /** In the order of their numbers. */
  readonly instances: readonly InstanceView[];
  /** What they may have together now, beside other models that share the cores. */
  readonly budgetMillicores: number;
  /** And once those have ended what they run. */
  readonly reachMillicores: number;
  /** When cores of other models are expected to come free, from now on; Infinity where nobody shares. */
  readonly coresFreeAtMs: number;
  /** Whether other models wait for cores, or are being loaded on some: what is free now may not be soon. */
  readonly isContended: boolean;
  /** φ: how much busy neighbours slow a batch down (`perf-model/interference.ts`); 0 while nothing is known of it. */
  readonly interference: number;
  /** No batch has shown for long whether it is still so: neighbours are to be tried. */
  readonly isInterferenceUntested: boolean;
  /** What other models run on. */
  readonly busyBesideMillicores: number;
  /** What one holds that rests. */
  readonly restingMillicores: number;
  /** In force now, as it was read back. */
  readonly grantedMillicores: number;
  /** Typical time from the request for a resize to its being in force and read back. */
  readonly resizeDelayMs: number;
  /** Too long for a batch to wait for the CPU that it was planned with. */
  readonly isActuatorSlow: boolean;
  /** Read now; null where the platform has none. */
  readonly readCounters: () => CpuCounters | null;
}

export interface PlanDecision {
  readonly plan: Plan;
  /** Snapshot indices of requests that no allocation can save: they wait behind the others from now on. */
  readonly unsalvageable: readonly number[];
  /** Snapshot indices of those to give up so that the others can be met: they are told at once. */
  readonly shed?: readonly number[];
  /** Somebody waits, an instance is free, and so much is not there that it would start on. */
  readonly wantedMillicores?: number;
  /** Plan again then, if nothing else happened before. */
  readonly wakeAtMs?: number;
}

/**
 * The control plane's half of a policy. Ours are pure: same view, same decision. A baseline that remembers more than a view
 * holds learns it from the events that its policy observes.
 */
export interface Planner {
  readonly name: string;
  /** A run of the control loop at least this often. */
  readonly tickMs: number;
  /** Also plans on an arrival that breaks the plan in force, and at each batch's start and end. */
  readonly isEventDriven: boolean;
  /**
   * Whether each plan is put in force as it is, at once, whatever runs: what simpler controllers do. Otherwise small or
   * quick shrinks are put off, and the threads of the running batch are minded.
   */
  readonly appliesAtOnce: boolean;
  /** Whether its plans say what each instance is to have (`Plan.allocations`); else all have the same. */
  readonly plansInstances: boolean;
  plan(view: PlannerView): PlanDecision;
  /**
   * Does the plan in force still hold for the snapshot? Asked on arrivals of event-driven planners, and of all when the number
   * of instances has changed.
   */
  isStillValid(view: PlannerView): boolean;
}
