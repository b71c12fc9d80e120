/*
 * The one way a Sponge exists: `serve` makes it with real adapters, the simulator with simulated ones. It joins the two
 * planes: the data plane emits events, the control plane publishes plans.
 */
import type { Clock } from './clock/clock.js';
import { restingMillicores, type IdleRules } from './controlplane/allocations.js';
import { Controller } from './controlplane/controller.js';
import { CoreBudget } from './controlplane/core-budget.js';
import type { Planner } from './controlplane/planner.js';
import type { ResizeResult, Scaler } from './controlplane/scaler.js';
import { Pipeline, type PipelineConfig } from './dataplane/pipeline.js';
import type { DispatchPolicy } from './dataplane/policy.js';
import type { OnOutcome } from './dataplane/queue-entry.js';
import type { WorkerPool } from './dataplane/worker-pool.js';
import type { Event } from './domain/event.js';
import type { AllocationLimits, Plan } from './domain/plan.js';
import type { ModelDemandReport } from './domain/demand-report.js';
import type { ModelOutlook } from './domain/pod-report.js';
import type { InferRequest, ShapeClass } from './domain/request.js';
import type { LatencyModels } from './perf-model/model-source.js';

/** In which order, who enters, what runs next, and on how much CPU. Baselines are policies, not forks. */
export interface Policy {
  readonly name: string;
  readonly dispatch: DispatchPolicy;
  readonly planner: Planner;
  /** The allocation never follows the queue: waiting for batch-mates is then what saves CPU. */
  readonly isAllocationFixed: boolean;
  /** For baselines that learn from what happened: told of every event before the control plane is. */
  readonly observe?: (event: Event) => void;
}

export interface SystemConfig {
  readonly queueLimits: PipelineConfig['queueLimits'];
  readonly maxBatchBytes: PipelineConfig['maxBatchBytes'];
  /** Allocations on which batches may run; within the scaler's own limits. */
  readonly limits: AllocationLimits;
  readonly idleMillicores: number;
  readonly idleReleaseMs: IdleRules['idleReleaseMs'];
}

export interface SystemOptions {
  readonly clock: Clock;
  readonly workers: WorkerPool;
  /** One that resizes all instances alike, or one for each of them, whose sum then stays within the budget. */
  readonly scalers: readonly Scaler[];
  /** That several systems share; by default the largest allocation, for this one alone. */
  readonly budget?: CoreBudget;
  /** Of a shared budget: what this one may have in a backlog before others get more; an equal share by default. */
  readonly floorFraction?: number | undefined;
  /** In force when it is made, by allocation; `startMillicores` by default. */
  readonly startMillicores?: readonly number[];
  readonly policy: Policy;
  readonly models: LatencyModels;
  readonly config: SystemConfig;
  /** A worker died of this request, and of it alone. It must not call into the system. */
  readonly onPoison?: (request: InferRequest) => void;
  /** Told of everything, causes before their effects. It must not call into the system. */
  readonly onEvent: (event: Event) => void;
}

export interface SystemStatus {
  readonly queueDepth: number;
  readonly heldRequests: number;
  readonly runningBatches: number;
  readonly isWorkerReady: boolean;
  /** Why it is not; '' while it is. */
  readonly workerLoss: string;
  readonly plan: Plan;
  /** Of each instance where they are alike, else of all together. */
  readonly grantedMillicores: number;
  /** The same, by instance; one where they are alike. */
  readonly allocations: readonly number[];
}

/** The worker and its allocation, lent while there is nothing else to do: for refining the profile in the background. */
export interface Lease {
  resize(cpuMillicores: number, onApplied: (result: ResizeResult) => void): void;
  /** Gives both back. Calling it again does nothing. */
  release(): void;
}

export interface System {
  /** `onOutcome` is called exactly once; before this returns when the request is refused at once. It may submit and cancel. */
  submit(request: InferRequest, onOutcome: OnOutcome): void;
  /** The client left. */
  cancel(sequence: number): void;
  /** Whether it is held and no batch has taken it. */
  isWaiting(sequence: number): boolean;
  status(): SystemStatus;
  /**
   * How much room there is for one more request; null once it is stopped. Reckoned when it is asked for, and only then.
   * @param likely its class, while none has come
   */
  outlook(likely: ShapeClass): ModelOutlook | null;
  /** What was asked of it since it was made, and what became of it; null once it is stopped. @param likely as for `outlook` */
  demand(likely: ShapeClass): ModelDemandReport | null;
  /**
   * Lends the worker. `when: 'idle'`: null unless nothing is held; `'free'`: null while a batch runs, and queued requests
   * wait. `onWanted` is called, once, when a request arrives meanwhile (growing the allocation helps then), or another model lacks
   * cores: finish soon, release.
   */
  lease(when: 'idle' | 'free', onWanted: () => void): Lease | null;
  /** Of a shared budget: what this one may have in a backlog from now on; undefined for an equal share. */
  setFloor(floorFraction: number | undefined): void;
  /** Refuses new requests; calls back when every held one has its outcome. */
  drain(onDrained: () => void): void;
  /** Ends whatever is still held as failed, and stops all timers. */
  stop(): void;
}

/**
 * What is in force when a system is made, by allocation: start-up is over on the largest one. Of several instances the first has all
 * that the others, which rest, do not hold.
 */
export function startMillicores(count: number, config: IdleRules): number[] {
  const resting = restingMillicores(config);
  const first = config.limits.maxMillicores - (count - 1) * resting;
  return Array.from({ length: count }, (_, index) => (index === 0 ? first : resting));
}

export function createSystem(options: SystemOptions): System {
  const { clock, workers, scalers, policy, models, config } = options;
  const { maxMillicores } = config.limits;
  const areApart = policy.planner.plansInstances;
  if (!areApart && scalers.length !== 1) throw new Error(`${policy.name} plans one allocation, not ${scalers.length}`);
  const allocations = options.startMillicores ?? startMillicores(scalers.length, config);
  const initialPlan: Plan = {
    kind: 'feasible',
    // A pool may begin with none that is ready.
    instances: Math.max(1, workers.instanceCount),
    cpuMillicores: maxMillicores,
    batchSize: 1,
    boundBy: { kind: 'start' },
    ...(areApart ? { allocations } : {}),
  };
  let onWanted: (() => void) | null = null;
  const emit = (event: Event): void => {
    options.onEvent(event);
    policy.observe?.(event);
    controller.observe(event);
    if (event.kind === 'request-admitted') tellWanted();
  };
  const tellWanted = (): void => {
    const wanted = onWanted;
    onWanted = null;
    wanted?.();
  };
  const controller = new Controller({
    clock,
    scalers,
    budget: options.budget ?? new CoreBudget(maxMillicores),
    floorFraction: options.floorFraction,
    models,
    planner: policy.planner,
    config,
    initialPlan,
    emit,
  });
  const pipeline = new Pipeline({
    clock,
    workers,
    models,
    policy: policy.dispatch,
    config: {
      queueLimits: config.queueLimits,
      get maxMillicores() {
        return controller.mostMillicores;
      },
      allocations,
      areInstancesApart: areApart,
      restingMillicores: areApart ? restingMillicores(config) : 0,
      maxBatchBytes: config.maxBatchBytes,
      isAllocationFixed: policy.isAllocationFixed,
    },
    initialPlan,
    busyBesideMillicores: () => controller.busyBesideMillicores,
    onPoison: options.onPoison,
    emit,
  });
  controller.start(pipeline);
  let lease: Lease | null = null;

  return {
    submit: (request, onOutcome) => pipeline.submit(request, onOutcome),
    cancel: (sequence) => pipeline.cancel(sequence),
    isWaiting: (sequence) => pipeline.isWaiting(sequence),
    status: () => ({
      queueDepth: pipeline.queueDepth,
      heldRequests: pipeline.heldRequests,
      runningBatches: pipeline.runningBatches,
      isWorkerReady: pipeline.isWorkerReady,
      workerLoss: pipeline.workerLoss,
      plan: controller.plan,
      grantedMillicores: controller.grantedMillicores,
      allocations: controller.allocations,
    }),
    outlook: (likely) => controller.outlook(likely, pipeline.readyInMs),
    demand: (likely) => controller.demand(likely, pipeline.heldRequests),
    lease: (when, wanted) => {
      const isAvailable = when === 'idle' ? pipeline.isIdle : !pipeline.isRunning;
      if (lease !== null || !isAvailable || !pipeline.isWorkerReady) return null;
      if (!controller.lend(tellWanted)) return null;
      onWanted = wanted;
      pipeline.setLeased(true);
      const granted: Lease = {
        resize: (cpuMillicores, onApplied) => controller.resizeTo(cpuMillicores, onApplied),
        release: () => {
          if (lease !== granted) return;
          lease = null;
          onWanted = null;
          controller.takeBack();
          pipeline.setLeased(false);
        },
      };
      lease = granted;
      return granted;
    },
    setFloor: (floorFraction) => controller.setFloor(floorFraction),
    drain: (onDrained) => pipeline.drain(onDrained),
    stop: () => {
      pipeline.abandon();
      controller.stop();
    },
  };
}
