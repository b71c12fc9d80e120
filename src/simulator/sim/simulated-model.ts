import type { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { Clock } from '../../scheduler/clock/clock.js';
import type { Event } from '../../scheduler/domain/event.js';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import { shapeClass, type InferRequest, type ShapeClass } from '../../scheduler/domain/request.js';
import { stream } from '../../scheduler/random/streams.js';
import { startMillicores, type System, type SystemOptions } from '../../scheduler/system.js';
import { AllocationLedger } from './allocation-ledger.js';
import { BatchLedger } from './batch-ledger.js';
import type { Environment, RunReport, SimulatedPolicy } from './environment.js';
import { EventDigest } from './event-digest.js';
import { usedMillicores, type Machine } from './machine.js';
import { OutcomeLedger } from './outcome-ledger.js';
import { ServiceNoise } from './service-noise.js';
import { simulatedScalers } from './simulated-scalers.js';
import { SimulatedWorker } from './simulated-worker.js';
import type { Workload } from '../workloads/workload.js';

/*
 * All that is simulated around one model: its worker, scalers and clients, and the ledgers of its run.
 */

export interface SimulatedModelOptions {
  readonly clock: VirtualClock;
  readonly environment: Environment;
  readonly workload: Workload;
  readonly infeasible: Uint8Array;
  readonly simulated: SimulatedPolicy;
  readonly seed: number;
  /** In force at the start, by allocation; by default what a system alone begins with. */
  readonly startMillicores?: readonly number[];
  readonly onEvent: (event: Event) => void;
}

export class SimulatedModel {
  /** What the system is made of that serves it. */
  readonly parts: Omit<SystemOptions, 'clock' | 'budget' | 'floorFraction'>;
  /** In force at the start, by allocation. */
  readonly initialMillicores: readonly number[];
  readonly #options: SimulatedModelOptions;
  readonly #workers: SimulatedWorker;
  readonly #outcomes: OutcomeLedger;
  readonly #allocation: AllocationLedger;
  readonly #batches: BatchLedger;
  readonly #noise: ServiceNoise;
  readonly #digest = new EventDigest();

  constructor(options: SimulatedModelOptions) {
    this.#options = options;
    const { clock, environment, workload, infeasible, simulated, seed, onEvent } = options;
    const { machine, cpu } = environment;
    const limits = limitsOf(options);
    const replicas = simulated.horizontal?.replicas;
    // Only the system's own timers can be late; the simulated world is punctual.
    const world: Clock = {
      nowMs: () => clock.nowMs(),
      schedule: (atMs, fire) => clock.scheduleExact(atMs, fire),
      whenSettled: (act) => clock.whenSettled(act),
    };
    this.#noise = new ServiceNoise(machine.logDeviation, environment.worker.state, stream(seed, 'service'));
    const { instances = 1 } = simulated;
    const areApart = simulated.policy.planner.plansInstances;
    this.#workers = new SimulatedWorker({
      clock: world,
      threadCounts: Array.from({ length: Math.ceil(limits.maxMillicores / 1000) }, (_, index) => index + 1),
      maxBatchSize: cpu.maxBatchSize,
      cpuMillicores: limits.maxMillicores,
      latencyMs: (batchSize, cpuMillicores) => machine.curve.latencyMs(batchSize, cpuMillicores),
      noise: (nowMs) => this.#noise.draw(nowMs),
      stagingMs: environment.worker.stagingMs,
      restartMs: environment.worker.restartMs,
      usedMillicores: usedMillicores(machine),
      interference: cpu.interference,
      ...(replicas === undefined ? {} : { replicas }),
      ...(areApart ? { ownMillicores: new Array<number>(instances).fill(0) } : {}),
    });
    const initial = options.startMillicores ?? startMillicores(instances, { ...cpu, limits });
    this.initialMillicores = initial;
    const scalers = simulatedScalers({ environment, limits, initial, clock: world, workers: this.#workers, seed });
    this.#outcomes = new OutcomeLedger(workload, infeasible);
    initial.forEach((cpuMillicores, instance) => this.#workers.setAllocation(cpuMillicores, instance));
    this.#allocation = new AllocationLedger(0, areApart ? initial : limits.maxMillicores, {
      existing: replicas?.initial ?? instances,
      ready: this.#workers.instanceCount,
      // An instance starts on the least allocation.
      startingMillicores: limits.minMillicores,
    });
    this.#batches = new BatchLedger(initial);
    this.parts = {
      workers: this.#workers,
      scalers,
      policy: simulated.policy,
      models: simulated.models,
      config: {
        queueLimits: { maxRequests: environment.queueLimit, maxBytes: Infinity },
        maxBatchBytes: Infinity,
        limits,
        idleMillicores: cpu.idleMillicores,
        idleReleaseMs: cpu.idleReleaseMs,
      },
      startMillicores: initial,
      onEvent: (event) => {
        this.#digest.observe(event);
        this.#allocation.observe(event);
        this.#batches.observe(event);
        onEvent(event);
      },
    };
  }

  /** Clients begin to send, and what is to crash will. */
  begin(system: System): void {
    const { clock, workload, environment } = this.#options;
    feed(clock, system, workload, this.#outcomes, shapeClassOf(environment.machine));
    for (const atMs of environment.worker.crashesAtMs)
      clock.scheduleExact(atMs, () => this.#workers.kill('simulated crash'));
  }

  get ended(): number {
    return this.#outcomes.ended;
  }

  /** What it is charged for now, and what is in force. */
  get allocation(): Pick<AllocationLedger, 'chargedMillicores' | 'grantedMillicores'> {
    return this.#allocation;
  }

  /** Cumulative CPU of all instances, core-seconds. */
  get usedSeconds(): number {
    return this.#workers.usedSeconds;
  }

  /** @param cpuSecondsUsed until the end, before the system was stopped */
  report(durationMs: number, cpuSecondsUsed: number): RunReport {
    const { instances = 1, policy } = this.#options.simulated;
    const areApart = policy.planner.plansInstances;
    return {
      outcomes: this.#outcomes.report(),
      allocation: this.#allocation.report(durationMs, cpuSecondsUsed),
      cpuSecondsUsed,
      durationMs,
      batches: this.#batches.count,
      restingSeconds: !areApart ? 0 : Math.max(0, (instances * durationMs - this.#batches.busyMs) / 1000),
      meanBatchSize: this.#batches.meanSize,
      leastRunningMillicores: this.#batches.leastMillicores,
      leastMultiplier: this.#noise.least,
      eventHash: this.#digest.text,
    };
  }
}

function limitsOf({ simulated, environment }: SimulatedModelOptions): AllocationLimits {
  return simulated.horizontal?.limits ?? environment.cpu.limits;
}

/** The class that was profiled; published tables name none. */
export function shapeClassOf({ name, profile }: Machine): ShapeClass {
  return shapeClass(profile.fingerprint?.shapeClassKey ?? name, profile.elementCount);
}

/** Submits each request when it is received, one pending event at a time, and lets clients leave. */
export function feed(
  clock: VirtualClock,
  system: Pick<System, 'submit' | 'cancel'>,
  workload: Workload,
  outcomes: OutcomeLedger,
  shapeClass: ShapeClass,
): void {
  const { count, receivedAtMs, leavesAtMs } = workload;
  const submit = (index: number): void => {
    system.submit(requestOf(workload, index, shapeClass), (outcome) => outcomes.finish(index, outcome, clock.nowMs()));
    if (leavesAtMs[index]! < Infinity) clock.scheduleExact(leavesAtMs[index]!, () => system.cancel(index + 1));
  };
  let index = 0;
  const next = (): void => {
    const current = index++;
    if (index < count) clock.scheduleExact(receivedAtMs[index]!, next);
    if (leavesAtMs[current]! <= receivedAtMs[current]!) outcomes.neverReceived(current);
    else submit(current);
  };
  if (count > 0) clock.scheduleExact(receivedAtMs[0]!, next);
}

export function requestOf(workload: Workload, index: number, shapeClass: ShapeClass): InferRequest {
  return {
    sequence: index + 1,
    receivedAtMs: workload.receivedAtMs[index]!,
    sloMs: workload.sloMs[index]!,
    networkDelayMs: workload.networkDelayMs[index]!,
    networkDelaySource: workload.networkDelaySources[index]!,
    replyReserveMs: workload.replyReserveMs[index]!,
    dueAtMs: workload.dueAtMs[index]!,
    client: String(workload.client[index]!),
    isDeadlineDefaulted: false,
    isBestEffort: false,
    priority: 0,
    shapeClass,
    byteCount: workload.bytes[index]!,
    inputs: [],
    outputNames: [],
  };
}
