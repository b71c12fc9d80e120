/*
 * A pod that is a whole Sponge: a node as it serves, on a simulated worker and scaler and a slice of CPU of its own.
 */
import type { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import { jointPlanner } from '../../scheduler/controlplane/joint-planner.js';
import { edfPolicy } from '../../scheduler/dataplane/policy.js';
import type { ModelOutlook } from '../../scheduler/domain/pod-report.js';
import { shapeClass, type InferRequest } from '../../scheduler/domain/request.js';
import type { LatencyModels } from '../../scheduler/perf-model/model-source.js';
import { createNode } from '../../scheduler/node.js';
import { startMillicores, type System } from '../../scheduler/system.js';
import { SimulatedScaler } from '../sim/simulated-scaler.js';
import { SimulatedWorker } from '../sim/simulated-worker.js';
import { MODEL } from './fronts.js';
import { latencyModelOf, typicalMs, type PodMachine } from './pod-machine.js';
import type { PodAnswer, PodRequest, SimulatedPod } from './pod.js';

export interface ScheduledPodOptions {
  readonly clock: VirtualClock;
  readonly machine: PodMachine;
  readonly cpuMillicores: number;
  readonly factor: () => number;
  /** That share the CPU of as many pods; 1 by default. */
  readonly instanceCount?: number;
  /** A batch begins. It must not call into the pod. */
  readonly onBatch?: (() => void) | undefined;
}

const CLASS = shapeClass('x', 1);
const STEP_MILLICORES = 100;
const RESTING_MILLICORES = 10;
/** Of a quota that is written in the pod itself. */
const RESIZE_MS = 0.1;
const RESTART_MS = 100;

export class ScheduledPod implements SimulatedPod {
  readonly #clock: VirtualClock;
  readonly #options: ScheduledPodOptions;
  #workers: SimulatedWorker;
  #system: System;
  /** Those whose answers are still to come. */
  readonly #held = new Map<number, (answer: PodAnswer) => void>();
  #usedBeforeSeconds = 0;
  batchedRequests = 0;
  batches = 0;

  constructor(options: ScheduledPodOptions) {
    this.#clock = options.clock;
    this.#options = options;
    [this.#workers, this.#system] = this.#begin();
  }

  get heldRequests(): number {
    return this.#held.size;
  }

  get usedCoreSeconds(): number {
    return this.#usedBeforeSeconds + this.#workers.usedSeconds;
  }

  submit({ sequence, dueAtMs }: PodRequest, onAnswer: (answer: PodAnswer) => void): void {
    this.#held.set(sequence, onAnswer);
    const system = this.#system;
    system.submit(requestOf(sequence, this.#clock.nowMs(), dueAtMs), ({ kind }) => {
      if (system !== this.#system) return;
      this.#held.delete(sequence);
      onAnswer(kind === 'completed' ? 'completed' : 'refused');
    });
  }

  outlook(): ModelOutlook {
    return this.#system.outlook(CLASS)!;
  }

  /** @throws Error always: what a whole system is given stays as it is; `ListedPod` is resized */
  resize(): void {
    throw new Error('a scheduled pod keeps its CPU; take listed pods where it changes');
  }

  die(): void {
    const lost = [...this.#held.values()];
    this.#held.clear();
    const dead = this.#system;
    this.#usedBeforeSeconds += this.#workers.usedSeconds;
    [this.#workers, this.#system] = this.#begin();
    dead.stop();
    for (const onAnswer of lost) onAnswer('lost');
  }

  stop(): void {
    this.#system.stop();
  }

  #begin(): [SimulatedWorker, System] {
    const { clock, machine, cpuMillicores, factor, instanceCount = 1 } = this.#options;
    const limits = {
      minMillicores: Math.min(STEP_MILLICORES, cpuMillicores),
      maxMillicores: cpuMillicores,
      stepMillicores: STEP_MILLICORES,
    };
    const idle = { limits, idleMillicores: RESTING_MILLICORES, idleReleaseMs: 1000 };
    const own =
      instanceCount === 1 ? startMillicores(1, idle) : new Array<number>(instanceCount).fill(RESTING_MILLICORES);
    const workers = new SimulatedWorker({
      clock,
      threadCounts: [Math.max(1, Math.ceil(cpuMillicores / 1000))],
      maxBatchSize: machine.maxBatchSize,
      cpuMillicores,
      latencyMs: (batchSize, millicores) => typicalMs(machine, batchSize, millicores),
      noise: factor,
      stagingMs: 0,
      restartMs: RESTART_MS,
      ownMillicores: own,
    });
    const scalers = own.map(
      (millicores, instance) =>
        new SimulatedScaler({
          clock,
          limits: { ...limits, minMillicores: RESTING_MILLICORES },
          cpuMillicores: millicores,
          delayMs: () => RESIZE_MS,
          readBackMs: () => RESIZE_MS,
          expectedDelayMs: 2 * RESIZE_MS,
          isRefused: () => false,
          apply: (granted) => workers.setAllocation(granted, instance),
        }),
    );
    const system = createNode({ clock, budgetMillicores: instanceCount * cpuMillicores }).add({
      name: MODEL,
      workers,
      scalers,
      startMillicores: own,
      policy: { name: 'sponge', dispatch: edfPolicy, planner: jointPlanner(), isAllocationFixed: false },
      models: modelsOf(machine),
      config: { queueLimits: { maxRequests: 10_000, maxBytes: 1_000_000 }, maxBatchBytes: 1_000_000, ...idle },
      onEvent: (event) => {
        if (event.kind !== 'batch-started') return;
        this.batches += 1;
        this.batchedRequests += event.batchSize;
        this.#options.onBatch?.();
      },
    });
    return [workers, system];
  }
}

function modelsOf(machine: PodMachine): LatencyModels {
  const model = latencyModelOf(machine);
  return { isProvisional: false, forClass: () => model, observe: () => undefined };
}

function requestOf(sequence: number, nowMs: number, dueAtMs: number): InferRequest {
  return {
    sequence,
    receivedAtMs: nowMs,
    sloMs: dueAtMs - nowMs,
    networkDelayMs: 0,
    networkDelaySource: 'none',
    replyReserveMs: 0,
    dueAtMs,
    client: 'a',
    isDeadlineDefaulted: false,
    isBestEffort: false,
    priority: 0,
    shapeClass: CLASS,
    byteCount: 4,
    inputs: [],
    outputNames: [],
  };
}
