import { VirtualClock } from '../clock/virtual-clock.js';
import type { Clock } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import type { AllocationLimits } from '../domain/plan.js';
import { shapeClass, type InferRequest, type ShapeClass } from '../domain/request.js';
import type { LatencyModels } from '../perf-model/model-source.js';
import { stream } from '../random/streams.js';
import { createSystem, startMillicores, type Policy, type System } from '../system.js';
import { AllocationLedger, type AllocationReport } from './allocation-ledger.js';
import { EventDigest } from './event-digest.js';
import { usedMillicores, type Machine } from './machine.js';
import { OutcomeLedger, type OutcomeReport } from './outcome-ledger.js';
import { ServiceNoise, type MachineState } from './service-noise.js';
import { SimulatedScaler } from './simulated-scaler.js';
import { SimulatedWorker, type Replicas } from './simulated-worker.js';
import { draw, type Range, type Workload } from './workload/workload.js';

/*
 * One run: the system that serves, on a virtual clock, with a simulated worker, scaler and clients. It differs from serving
 * in nothing but what is handed to `createSystem`.
 *
 * Everything follows from the seed. Each part draws from a stream of its own, so policies meet the same clients, and a
 * policy that asks for one more resize does not change what batches take.
 */

/** What is simulated around the policy. */
export interface Environment {
  readonly machine: Machine;
  readonly cpu: {
    /** Allocations on which batches may run. */
    readonly limits: AllocationLimits;
    /** Kept while idle. */
    readonly idleMillicores: number;
    /** Release CPU this long after the last work; null never. */
    readonly idleReleaseMs: number | null;
    readonly maxBatchSize: number;
    /** φ: how much busy neighbours slow a batch down (`SimulatedWorkerOptions.interference`). */
    readonly interference: number;
  };
  readonly scaler: {
    /** Request → in force, and in force → told. */
    readonly delayMs: Range;
    readonly readBackMs: Range;
    readonly refusedFraction: number;
  };
  readonly worker: {
    /** Received → can be started. */
    readonly stagingMs: number;
    readonly restartMs: number;
    readonly crashesAtMs: readonly number[];
    readonly state: MachineState;
  };
  /** How late the system's own timers are; live about 1 ms. */
  readonly timerLatenessMs: number;
  readonly queueLimit: number;
}

/** A policy, made anew for each run, and what it has to be run with. */
export interface SimulatedPolicy {
  readonly policy: Policy;
  readonly models: LatencyModels;
  /** Where it scales horizontally: its instances, and the allocations that one of them may have. */
  /** Warm instances, each with an allocation of its own; 1 where absent. */
  readonly instances?: number;
  readonly horizontal?: { readonly replicas: Replicas; readonly limits: AllocationLimits };
}

export interface RunReport {
  readonly outcomes: OutcomeReport;
  readonly allocation: AllocationReport;
  readonly cpuSecondsUsed: number;
  /** Until the last outcome, and at least as long as clients send. */
  readonly durationMs: number;
  readonly batches: number;
  /** Instances × time without a batch, s; 0 where instances share one allocation. */
  readonly restingSeconds: number;
  readonly meanBatchSize: number;
  /** The least allocation that was in force while a batch ran; Infinity where none did. */
  readonly leastRunningMillicores: number;
  /** Of all batches: actual over typical latency of the machine as it is described. Infinity where none ran. */
  readonly leastMultiplier: number;
  readonly eventHash: string;
}

/** A run that is under way: for showing progress, and for driving it event by event. */
export interface Run {
  readonly endedFraction: number;
  /** Fires up to so many events; false when the run is over. */
  advance(eventLimit: number): boolean;
  report(): RunReport;
}

/** Sequences count from 1: request `i` of the workload is sequence `i + 1`. */
export function startRun(
  environment: Environment,
  workload: Workload,
  infeasible: Uint8Array,
  simulated: SimulatedPolicy,
  seed: number,
  onEvent: (event: Event) => void = () => undefined,
): Run {
  const { machine, cpu } = environment;
  const limits = simulated.horizontal?.limits ?? cpu.limits;
  const replicas = simulated.horizontal?.replicas;
  // The server was started some time within the second before the clients: its ticks have no phase in common with theirs.
  const startAtMs = -1000 * stream(seed, 'start').uniform();
  const clock = new VirtualClock({ startAtMs, timerLatenessMs: environment.timerLatenessMs });
  // Only the system's own timers can be late; the simulated world is punctual.
  const world: Clock = {
    nowMs: () => clock.nowMs(),
    schedule: (atMs, fire) => clock.scheduleExact(atMs, fire),
  };
  const noise = new ServiceNoise(machine.logDeviation, environment.worker.state, stream(seed, 'service'));
  const { instances = 1 } = simulated;
  const areApart = simulated.policy.planner.plansInstances;
  const workers = new SimulatedWorker({
    clock: world,
    threadCounts: Array.from({ length: Math.ceil(limits.maxMillicores / 1000) }, (_, index) => index + 1),
    maxBatchSize: cpu.maxBatchSize,
    cpuMillicores: limits.maxMillicores,
    latencyMs: (batchSize, cpuMillicores) => machine.curve.latencyMs(batchSize, cpuMillicores),
    noise: (nowMs) => noise.draw(nowMs),
    stagingMs: environment.worker.stagingMs,
    restartMs: environment.worker.restartMs,
    usedMillicores: usedMillicores(machine),
    interference: cpu.interference,
    ...(replicas === undefined ? {} : { replicas }),
    ...(areApart ? { ownMillicores: new Array<number>(instances).fill(0) } : {}),
  });
  const scalers = simulatedScalers(environment, limits, instances, world, workers, seed);

  const outcomes = new OutcomeLedger(workload, infeasible);
  const initial = startMillicores(instances, { ...cpu, limits });
  initial.forEach((cpuMillicores, instance) => workers.setAllocation(cpuMillicores, instance));
  const allocation = new AllocationLedger(0, areApart ? initial : limits.maxMillicores, {
    existing: replicas?.initial ?? instances,
    ready: workers.instanceCount,
    // An instance starts on the least allocation.
    startingMillicores: limits.minMillicores,
  });
  const digest = new EventDigest();
  const batches = new BatchLedger(initial);
  const system = createSystem({
    clock,
    workers,
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
    onEvent: (event) => {
      digest.observe(event);
      allocation.observe(event);
      batches.observe(event);
      onEvent(event);
    },
  });
  feed(clock, system, workload, outcomes, shapeClassOf(machine));
  for (const atMs of environment.worker.crashesAtMs) clock.scheduleExact(atMs, () => workers.kill('simulated crash'));

  const mustEndByMs = lastInstantMs(workload) + MOST_OVERTIME_MS;
  const isOver = (): boolean => outcomes.ended === workload.count && clock.nextAtMs() > workload.durationMs;
  return {
    get endedFraction() {
      return workload.count === 0 ? 1 : outcomes.ended / workload.count;
    },
    advance(eventLimit) {
      for (let fired = 0; fired < eventLimit; fired++) {
        if (isOver() || !clock.fireNext()) return false;
      }
      if (clock.nowMs() > mustEndByMs) {
        const left = workload.count - outcomes.ended;
        throw new Error(
          `policy ${simulated.policy.name}: ${left} requests were not answered a week after the last was due`,
        );
      }
      return !isOver();
    },
    report() {
      const durationMs = Math.max(workload.durationMs, clock.nowMs());
      const cpuSecondsUsed = workers.usedSeconds;
      system.stop();
      return {
        outcomes: outcomes.report(),
        allocation: allocation.report(durationMs, cpuSecondsUsed),
        cpuSecondsUsed,
        durationMs,
        batches: batches.count,
        restingSeconds: !areApart ? 0 : Math.max(0, (instances * durationMs - batches.busyMs) / 1000),
        meanBatchSize: batches.meanSize,
        leastRunningMillicores: batches.leastMillicores,
        leastMultiplier: noise.least,
        eventHash: digest.text,
      };
    },
  };
}

/** How many batches there were, and on how little they ran. */
class BatchLedger {
  count = 0;
  leastMillicores = Infinity;
  /** Of all batches together. */
  busyMs = 0;
  #requests = 0;
  /** By allocation: one that all instances share, or one for each. */
  readonly #inForceMillicores: number[];
  readonly #running: number[];
  /** Where each batch runs. */
  readonly #allocationOf = new Map<number, number>();

  constructor(cpuMillicores: readonly number[]) {
    this.#inForceMillicores = [...cpuMillicores];
    this.#running = cpuMillicores.map(() => 0);
  }

  get meanSize(): number {
    return this.count === 0 ? 0 : this.#requests / this.count;
  }

  observe(event: Event): void {
    let allocation: number;
    switch (event.kind) {
      case 'batch-started':
        allocation = event.instance ?? 0;
        this.count += 1;
        this.#requests += event.batchSize;
        this.#running[allocation]! += 1;
        this.#allocationOf.set(event.batchId, allocation);
        break;
      case 'batch-ended':
        this.busyMs += event.latencyMs;
        this.#running[this.#allocationOf.get(event.batchId)!]! -= 1;
        this.#allocationOf.delete(event.batchId);
        return;
      case 'resized':
        allocation = event.instance ?? 0;
        this.#inForceMillicores[allocation] = event.cpuMillicores;
        break;
      default:
        return;
    }
    if (this.#running[allocation]! === 0) return;
    this.leastMillicores = Math.min(this.leastMillicores, this.#inForceMillicores[allocation]!);
  }
}

/** The class that was profiled; published tables name none. */
function shapeClassOf({ name, profile }: Machine): ShapeClass {
  return shapeClass(profile.fingerprint?.shapeClassKey ?? name, profile.elementCount);
}

/** A backlog may take long to be served; a request that is never served is a broken policy, not a long run. */
const MOST_OVERTIME_MS = 7 * 86_400_000;

function lastInstantMs({ durationMs, latestFinishAtMs }: Workload): number {
  return latestFinishAtMs.reduce((latest, atMs) => Math.max(latest, atMs), durationMs);
}

/** One of all instances where they are alike; else one of each, all of which draw from the same streams. */
function simulatedScalers(
  { cpu, scaler }: Environment,
  limits: AllocationLimits,
  instances: number,
  clock: Clock,
  workers: SimulatedWorker,
  seed: number,
): SimulatedScaler[] {
  const delays = stream(seed, 'resize delays');
  const refusals = stream(seed, 'resize refusals');
  const initial = startMillicores(instances, { ...cpu, limits });
  const scalerOf = (cpuMillicores: number, instance: number): SimulatedScaler =>
    new SimulatedScaler({
      clock,
      limits: { ...limits, minMillicores: Math.min(cpu.idleMillicores, limits.minMillicores) },
      cpuMillicores,
      delayMs: () => draw(scaler.delayMs, delays),
      readBackMs: () => draw(scaler.readBackMs, delays),
      expectedDelayMs:
        typeof scaler.delayMs === 'number' ? scaler.delayMs : (scaler.delayMs[0] + scaler.delayMs[1]) / 2,
      isRefused: () => scaler.refusedFraction > 0 && refusals.uniform() < scaler.refusedFraction,
      usedSeconds: () => workers.usedSeconds,
      apply: (millicores) => workers.setAllocation(millicores, instance),
    });
  return initial.map(scalerOf);
}

/** Submits each request when it is received, one pending event at a time, and lets clients leave. */
function feed(
  clock: VirtualClock,
  system: System,
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
