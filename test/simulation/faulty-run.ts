import { VirtualClock } from '../../src/scheduler/clock/virtual-clock.js';
import { pricedPlanner } from '../../src/scheduler/controlplane/priced-planner.js';
import { paperPlanner } from '../../src/scheduler/controlplane/program-planner.js';
import { edfPolicy } from '../../src/scheduler/dataplane/policy.js';
import type { Event } from '../../src/scheduler/domain/event.js';
import type { LatencyModel } from '../../src/scheduler/domain/latency.js';
import { outcomeName, type Outcome, type OutcomeName } from '../../src/scheduler/domain/outcome.js';
import { shapeClass, type InferRequest } from '../../src/scheduler/domain/request.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import { SimulatedScaler } from '../../src/simulator/sim/simulated-scaler.js';
import { SimulatedWorker } from '../../src/simulator/sim/simulated-worker.js';
import { createSystem } from '../../src/scheduler/system.js';
import { describeEvent } from './describe-event.js';

/*
 * One seeded run of the real planes under faults, with checkers. Everything in it follows from its seed.
 */

export interface RunOptions {
  readonly seed: number;
  readonly planner: 'sponge' | 'paper';
  readonly durationMs: number;
  readonly ratePerSec: number;
  readonly faults: boolean;
}

export interface RunReport {
  readonly sent: number;
  readonly outcomes: Readonly<Record<OutcomeName, number>>;
  /** Answered late although a deadline was stated. */
  readonly lateAgainstStated: number;
  readonly largestBatch: number;
  readonly resizes: number;
  readonly allocations: readonly number[];
  /** Of what a checker saw go wrong; empty when all is well. */
  readonly violations: readonly string[];
  /** One line an event: the same seed must give the same text. */
  readonly log: string;
}

const LIMITS = { minMillicores: 200, maxMillicores: 4000, stepMillicores: 100 };
/** Of requests under faults, those that end a worker: one in so many, of a client each. */
const POISON_EVERY = 150;
const CLASSES = [shapeClass('small', 1000), shapeClass('large', 3000)];

/** l(b, c) = (12·b + 3) / c + 0.5·b + 2 ms, c in cores; the large class takes three times as long. */
function latencyMs(batchSize: number, cpuMillicores: number): number {
  return ((12 * batchSize + 3) * 1000) / cpuMillicores + 0.5 * batchSize + 2;
}

function modelOf(scale: number): LatencyModel {
  return {
    predictedLatencyMs: (batchSize, cpuMillicores) => scale * latencyMs(batchSize, cpuMillicores),
    plannedLatencyMs: (batchSize, cpuMillicores) => 1.2 * scale * latencyMs(batchSize, cpuMillicores),
    leastLatencyMs: (batchSize, cpuMillicores) => 1.2 * scale * latencyMs(batchSize, cpuMillicores),
  };
}

export function faultyRun(options: RunOptions): RunReport {
  const prng = new Prng(options.seed);
  const clock = new VirtualClock({ timerLatenessMs: options.faults ? 1 : 0 });
  const violations: string[] = [];
  const models = CLASSES.map((_, index) => modelOf(index === 0 ? 1 : 3));
  const forClass = (shapeClass: { key: string }): LatencyModel =>
    models[CLASSES.findIndex((each) => each.key === shapeClass.key)]!;

  const isPoison = (sequence: number): boolean => options.faults && sequence % POISON_EVERY === 0;

  // The worker is told batches by size only; the class of the running batch comes from the event stream.
  let runningScale = 1;
  const workers = new SimulatedWorker({
    clock,
    threadCounts: [1, 2, 4],
    maxBatchSize: 8,
    cpuMillicores: LIMITS.maxMillicores,
    latencyMs: (batchSize, cpuMillicores) => runningScale * latencyMs(batchSize, cpuMillicores),
    noise: () => (options.faults && prng.uniform() < 0.02 ? 3 : 0.9 + 0.2 * prng.uniform()),
    stagingMs: 0.3,
    restartMs: 400,
    isPoison,
  });
  const scaler = new SimulatedScaler({
    clock,
    limits: { ...LIMITS, minMillicores: 100 },
    cpuMillicores: LIMITS.maxMillicores,
    delayMs: () => (options.faults && prng.uniform() < 0.05 ? 40 : 0.2),
    expectedDelayMs: 0.2,
    isRefused: () => options.faults && prng.uniform() < 0.05,
    apply: (cpuMillicores) => workers.setAllocation(cpuMillicores),
  });

  const lines: string[] = [];
  const allocations: number[] = [];
  const started = new Set<number>();
  let lateAgainstStated = 0;
  let largestBatch = 0;
  let resizes = 0;
  const onEvent = (event: Event): void => {
    lines.push(describeEvent(event));
    if (event.kind === 'batch-started') {
      for (const sequence of event.sequences) started.add(sequence);
      largestBatch = Math.max(largestBatch, event.batchSize);
      runningScale = event.shapeClassKey === 'large' ? 3 : 1;
      if (event.threadCount > Math.ceil(event.cpuMillicores / 1000)) {
        violations.push(`batch ${event.batchId} has ${event.threadCount} threads on ${event.cpuMillicores} millicores`);
      }
    }
    if (event.kind === 'resized') {
      resizes += 1;
      allocations.push(event.cpuMillicores);
    }
  };

  const system = createSystem({
    clock,
    workers,
    scalers: [scaler],
    policy: {
      name: options.planner,
      dispatch: edfPolicy,
      planner: options.planner === 'sponge' ? pricedPlanner({ prefer: 'cpu' }) : paperPlanner('cpu'),
      isAllocationFixed: false,
    },
    models: { isProvisional: false, forClass, observe: () => undefined },
    config: {
      queueLimits: { maxRequests: 500, maxBytes: 1_000_000 },
      maxBatchBytes: 1_000_000,
      limits: LIMITS,
      idleMillicores: 100,
      idleReleaseMs: 100,
    },
    onEvent,
  });

  const outcomes: Record<OutcomeName, number> = {
    completed_on_time: 0,
    completed_late: 0,
    rejected_infeasible: 0,
    rejected_overload: 0,
    expired: 0,
    cancelled: 0,
    failed: 0,
  };
  const answers = new Map<number, Outcome>();
  let sent = 0;
  const send = (): void => {
    const made = makeRequest(prng, clock.nowMs(), ++sent);
    const request = isPoison(sent) ? { ...made, client: `bad ${sent}` } : made;
    system.submit(request, (outcome) => {
      if (answers.has(request.sequence)) violations.push(`request ${request.sequence} had two outcomes`);
      answers.set(request.sequence, outcome);
      checkPoison(request.sequence, isPoison(request.sequence), outcome, violations);
      outcomes[outcomeName(outcome)] += 1;
      checkOutcome(request, outcome, clock.nowMs(), started.has(request.sequence), violations);
      const mayBeLate = request.isBestEffort || request.isDeadlineDefaulted;
      if (outcome.kind === 'completed' && outcome.isLate && !mayBeLate) lateAgainstStated += 1;
    });
    if (options.faults && prng.uniform() < 0.05) {
      clock.schedule(clock.nowMs() + 100 * prng.uniform(), () => system.cancel(request.sequence));
    }
  };
  const scheduleNext = (): void => {
    const atMs = clock.nowMs() + prng.exponential(1000 / options.ratePerSec);
    if (atMs > options.durationMs) return;
    clock.schedule(atMs, () => {
      send();
      scheduleNext();
    });
  };
  scheduleNext();
  if (options.faults) {
    for (let crash = 0; crash < 3; crash++) {
      clock.schedule(options.durationMs * prng.uniform(), () => workers.kill('simulated crash'));
    }
  }

  clock.advanceTo(options.durationMs + 20_000);
  const { heldRequests } = system.status();
  if (heldRequests !== 0) violations.push(`${heldRequests} requests are still held 20 s after the last one`);
  if (answers.size !== sent) violations.push(`${sent - answers.size} of ${sent} requests have no outcome`);
  system.stop();
  return { sent, outcomes, lateAgainstStated, largestBatch, resizes, allocations, violations, log: lines.join('\n') };
}

function makeRequest(prng: Prng, nowMs: number, sequence: number): InferRequest {
  const sloMs = 60 + 600 * prng.uniform();
  const networkDelayMs = Math.min(sloMs, prng.exponential(60));
  const kind = prng.uniform();
  return {
    sequence,
    receivedAtMs: nowMs,
    sloMs,
    networkDelayMs,
    networkDelaySource: 'transfer',
    replyReserveMs: 0,
    dueAtMs: nowMs + sloMs - networkDelayMs,
    client: 'a',
    isDeadlineDefaulted: kind < 0.05,
    isBestEffort: kind > 0.95,
    priority: 0,
    shapeClass: CLASSES[prng.uniform() < 0.8 ? 0 : 1]!,
    byteCount: 1000,
    inputs: [],
    outputNames: [],
  };
}

function checkPoison(sequence: number, isPoison: boolean, outcome: Outcome, violations: string[]): void {
  if (isPoison && outcome.kind === 'completed') violations.push(`request ${sequence} is poison, and was completed`);
  const isBlamed = outcome.kind === 'failed' && outcome.reason === 'poison';
  if (isBlamed && !isPoison) violations.push(`request ${sequence} was blamed for what another did`);
}

function checkOutcome(
  request: InferRequest,
  outcome: Outcome,
  nowMs: number,
  wasStarted: boolean,
  violations: string[],
): void {
  const mayBeLate = request.isBestEffort || request.isDeadlineDefaulted;
  const name = `request ${request.sequence}`;
  if (outcome.kind === 'completed' && outcome.isLate !== nowMs > request.dueAtMs)
    violations.push(`${name}: wrong late flag`);
  if (outcome.kind === 'expired' && nowMs < request.dueAtMs) violations.push(`${name} expired before its deadline`);
  // Expiring later is right where the client left, or the worker died, while it was overdue.
  const isToldLate = outcome.kind === 'expired' && !wasStarted && !mayBeLate && nowMs > request.dueAtMs + 5;
  if (isToldLate) violations.push(`${name} was told of its expiry too late`);
  const isRefused =
    outcome.kind === 'rejected-infeasible' || (outcome.kind === 'rejected-overload' && outcome.reason !== 'queue_full');
  if (mayBeLate && isRefused) violations.push(`${name} may be late but was refused`);
}
