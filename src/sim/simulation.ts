import { VirtualClock } from '../clock/virtual-clock.js';
import type { Clock } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import type { AllocationLimits } from '../domain/plan.js';
import { shapeClass, type InferRequest, type ShapeClass } from '../domain/request.js';
import type { LatencyModels } from '../perf-model/model-source.js';
import { stream } from '../random/streams.js';
import { createSystem, type Policy, type System } from '../system.js';
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
  readonly horizontal?: { readonly replicas: Replicas; readonly limits: AllocationLimits };
}

export interface RunReport {
  readonly outcomes: OutcomeReport;
  readonly allocation: AllocationReport;
  readonly cpuSecondsUsed: number;
  /** Until the last outcome, and at least as long as clients send. */
  readonly durationMs: number;
  readonly batches: number;
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
    ...(replicas === undefined ? {} : { replicas }),
  });
  const scaler = simulatedScaler(environment, limits, world, workers, seed);

  const outcomes = new OutcomeLedger(workload, infeasible);
  const allocation = new AllocationLedger(0, limits.maxMillicores, {
    existing: replicas?.initial ?? 1,
    ready: workers.instanceCount,
    // An instance starts on the least allocation.
    startingMillicores: limits.minMillicores,
  });
  const digest = new EventDigest();
  const batches = new BatchLedger(limits.maxMillicores);
  const system = createSystem({
    clock,
    workers,
    scaler,
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
  #requests = 0;
  #running = 0;
  #inForceMillicores: number;

  constructor(cpuMillicores: number) {
    this.#inForceMillicores = cpuMillicores;
  }

  get meanSize(): number {
    return this.count === 0 ? 0 : this.#requests / this.count;
  }

  observe(event: Event): void {
    switch (event.kind) {
      case 'batch-started':
        this.count += 1;
        this.#requests += event.batchSize;
        this.#running += 1;
        break;
      case 'batch-ended':
        this.#running -= 1;
        return;
      case 'resized':
        this.#inForceMillicores = event.cpuMillicores;
        break;
      default:
        return;
    }
    if (this.#running > 0) this.leastMillicores = Math.min(this.leastMillicores, this.#inForceMillicores);
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

function simulatedScaler(
  { cpu, scaler }: Environment,
  limits: AllocationLimits,
  clock: Clock,
  workers: SimulatedWorker,
  seed: number,
): SimulatedScaler {
  const delays = stream(seed, 'resize delays');
  const refusals = stream(seed, 'resize refusals');
  return new SimulatedScaler({
    clock,
    limits: { ...limits, minMillicores: Math.min(cpu.idleMillicores, limits.minMillicores) },
    cpuMillicores: limits.maxMillicores,
    delayMs: () => draw(scaler.delayMs, delays),
    readBackMs: () => draw(scaler.readBackMs, delays),
    expectedDelayMs: typeof scaler.delayMs === 'number' ? scaler.delayMs : (scaler.delayMs[0] + scaler.delayMs[1]) / 2,
    isRefused: () => scaler.refusedFraction > 0 && refusals.uniform() < scaler.refusedFraction,
    usedSeconds: () => workers.usedSeconds,
    apply: (cpuMillicores) => workers.setAllocation(cpuMillicores),
  });
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
