import { VirtualClock } from '../../src/scheduler/clock/virtual-clock.js';
import { CoreBudget } from '../../src/scheduler/controlplane/core-budget.js';
import { jointPlanner } from '../../src/scheduler/controlplane/joint-planner.js';
import { edfPolicy } from '../../src/scheduler/dataplane/policy.js';
import type { LatencyModel } from '../../src/scheduler/domain/latency.js';
import type { Outcome } from '../../src/scheduler/domain/outcome.js';
import type { PodReport } from '../../src/scheduler/domain/pod-report.js';
import { shapeClass, type InferRequest } from '../../src/scheduler/domain/request.js';
import { logNormal } from '../../src/scheduler/random/normal.js';
import { stream } from '../../src/scheduler/random/streams.js';
import { Picker } from '../../src/route/picker.js';
import type { RoutedRequest } from '../../src/route/request.js';
import { SimulatedScaler } from '../../src/simulator/sim/simulated-scaler.js';
import { SimulatedWorker } from '../../src/simulator/sim/simulated-worker.js';
import { createSystem, startMillicores, type System } from '../../src/scheduler/system.js';
import { aRequest } from '../fixtures/events.js';
import { modelsOf } from './fixed-latency.js';

/*
 * Several pods behind one picker, on one virtual clock: each pod is a whole system with a worker of its own, and reports as a server does.
 */

const CLASS = shapeClass('x', 1);
const MODEL = 'm';

/** `central`: one queue before the workers of all pods, which no balancing can do much better than. */
export type Balancing = 'picker' | 'least-request' | 'round-robin' | 'central';

export interface PodsOptions {
  readonly seed: number;
  readonly podCount: number;
  readonly balancing: Balancing;
  /** Of what all pods can do in full batches on all they have. */
  readonly load: number;
  readonly durationMs: number;
  /** Equally likely; null: none stated. */
  readonly budgetsMs: readonly (number | null)[];
  /** Arrivals come in bursts of up to so many. */
  readonly burst: number;
  readonly reportEveryMs: number;
  /** From the report to its being heard, and from a pick to the request's being there. */
  readonly wayMs?: number;
  /** Standard deviation of the logarithm of what a batch takes. */
  readonly noise?: number;
  /** Of each pod, what its batches take of what it believes; 1 by default. */
  readonly slowness?: readonly number[];
  /** Of each pod; half a core by default. */
  readonly millicores?: readonly number[];
}

export interface PodsResult {
  readonly sent: number;
  readonly onTime: number;
  readonly late: number;
  readonly refusedByPicker: number;
  readonly refusedByPod: number;
  readonly lostByBudget: ReadonlyMap<number | null, number>;
  readonly coreSeconds: number;
}

const MAX_MILLICORES = 500;
const MAX_BATCH = 8;

/** On half a core 59 ms for one, 42 each for eight. */
const POD_MODEL: LatencyModel = {
  predictedLatencyMs: (batchSize, cpuMillicores) => typicalMs(batchSize, cpuMillicores),
  plannedLatencyMs: (batchSize, cpuMillicores) => 1.18 * typicalMs(batchSize, cpuMillicores),
  leastLatencyMs: (batchSize, cpuMillicores) => 1.18 * typicalMs(batchSize, cpuMillicores),
};

function typicalMs(batchSize: number, cpuMillicores: number): number {
  return ((18 * batchSize + 8) * 1000) / cpuMillicores + batchSize + 6;
}

/** Requests per second that a pod can do. */
const POD_RATE_PER_SEC = (1000 * MAX_BATCH) / typicalMs(MAX_BATCH, MAX_MILLICORES);

export function runPods(options: PodsOptions): PodsResult {
  const { seed, podCount, balancing, budgetsMs, durationMs, reportEveryMs, wayMs = 1 } = options;
  const clock = new VirtualClock();
  const [arrivals, budgets, choices] = ['arrivals', 'budgets', 'choices'].map((what) => stream(seed, `pods ${what}`));
  const isCentral = balancing === 'central';
  const pods = Array.from({ length: isCentral ? 1 : podCount }, (_, index) => makePod(clock, options, index));
  const picker = new Picker({ random: () => choices!.uniform() });
  picker.setPods(pods.map((_, index) => String(index)));
  const result = { sent: 0, onTime: 0, late: 0, refusedByPicker: 0, refusedByPod: 0 };
  const lostByBudget = new Map<number | null, number>(budgetsMs.map((each) => [each, 0]));
  let sequence = 0;
  let turn = 0;

  const report = (index: number): void => {
    const pod = pods[index]!;
    const made: PodReport = reportOf(pod);
    pod.arrived = [];
    clock.schedule(clock.nowMs() + wayMs, () => picker.hear(clock.nowMs(), String(index), made));
    clock.schedule(clock.nowMs() + reportEveryMs, () => report(index));
  };
  if (balancing === 'picker') for (let index = 0; index < podCount; index++) report(index);

  const finish = (pod: PodUnderTest, outcome: Outcome, dueAtMs: number, budgetMs: number | null): void => {
    pod.outstanding -= 1;
    if (outcome.kind === 'completed') result[clock.nowMs() <= dueAtMs ? 'onTime' : 'late'] += 1;
    else {
      result.refusedByPod += 1;
      lostByBudget.set(budgetMs, lostByBudget.get(budgetMs)! + 1);
    }
  };
  const send = (index: number, budgetMs: number | null, number: number): void => {
    const pod = pods[index]!;
    pod.outstanding += 1;
    const sentAtMs = clock.nowMs();
    const dueAtMs = sentAtMs + (budgetMs ?? 1000);
    clock.schedule(sentAtMs + wayMs, () => {
      pod.arrived.push(number);
      const request: InferRequest = aRequest({
        sequence: ++sequence,
        receivedAtMs: clock.nowMs(),
        sloMs: dueAtMs - sentAtMs,
        networkDelayMs: wayMs,
        dueAtMs,
        isDeadlineDefaulted: budgetMs === null,
        shapeClass: CLASS,
      });
      pod.system.submit(request, (outcome) => finish(pod, outcome, dueAtMs, budgetMs));
    });
  };
  const arrive = (): void => {
    const budgetMs = budgetsMs[budgets!.int(budgetsMs.length)]!;
    result.sent += 1;
    switch (balancing) {
      case 'central':
        send(0, budgetMs, 0);
        return;
      case 'round-robin':
        send(turn++ % podCount, budgetMs, 0);
        return;
      case 'least-request': {
        // As Envoy's: of two by chance the one with fewer under way.
        const [one, other] = [choices!.int(podCount), choices!.int(podCount)];
        send(pods[other]!.outstanding < pods[one]!.outstanding ? other : one, budgetMs, 0);
        return;
      }
      case 'picker': {
        const request: RoutedRequest = { model: MODEL, version: null, budgetMs, inputBytes: null };
        const pick = picker.pick(clock.nowMs(), request);
        if (pick.kind === 'refuse') {
          result.refusedByPicker += 1;
          lostByBudget.set(budgetMs, lostByBudget.get(budgetMs)! + 1);
        } else send(Number(pick.pod), budgetMs, pick.number);
      }
    }
  };
  const ratePerMs = (options.load * podCount * POD_RATE_PER_SEC) / 1000;
  const arriveNext = (atMs: number): void => {
    if (atMs > durationMs) return;
    clock.schedule(atMs, () => {
      const count = 1 + arrivals!.int(options.burst);
      for (let index = 0; index < count; index++) arrive();
      arriveNext(atMs + arrivals!.exponential((options.burst + 1) / 2 / ratePerMs));
    });
  };
  arriveNext(100);
  clock.advanceTo(durationMs + 10_000);
  for (const { system } of pods) system.stop();
  return { ...result, lostByBudget, coreSeconds: pods.reduce((sum, { workers }) => sum + workers.usedSeconds, 0) };
}

interface PodUnderTest {
  readonly system: System;
  readonly workers: SimulatedWorker;
  outstanding: number;
  arrived: number[];
}

function makePod(clock: VirtualClock, options: PodsOptions, index: number): PodUnderTest {
  const { seed, noise = 0.07, slowness = [], millicores = [], balancing, podCount } = options;
  const maxMillicores = millicores[index] ?? MAX_MILLICORES;
  const instances = balancing === 'central' ? podCount : 1;
  const prng = stream(seed, `pods noise ${index}`);
  const limits = { minMillicores: 100, maxMillicores, stepMillicores: 100 };
  const idle = { limits, idleMillicores: 10, idleReleaseMs: 1000 };
  const own = instances === 1 ? startMillicores(1, idle) : new Array<number>(instances).fill(10);
  const factor = slowness[index] ?? 1;
  const workers = new SimulatedWorker({
    clock,
    threadCounts: [1],
    maxBatchSize: MAX_BATCH,
    cpuMillicores: maxMillicores,
    latencyMs: (batchSize, cpuMillicores) => factor * typicalMs(batchSize, cpuMillicores),
    noise: () => logNormal(prng, noise),
    stagingMs: 0,
    restartMs: 100,
    ownMillicores: own,
  });
  const scalers = own.map(
    (cpuMillicores, instance) =>
      new SimulatedScaler({
        clock,
        limits: { ...limits, minMillicores: 10 },
        cpuMillicores,
        delayMs: () => 0.1,
        readBackMs: () => 0.1,
        expectedDelayMs: 0.2,
        isRefused: () => false,
        apply: (millicores) => workers.setAllocation(millicores, instance),
      }),
  );
  const system = createSystem({
    clock,
    workers,
    scalers,
    budget: new CoreBudget(instances * maxMillicores),
    startMillicores: own,
    policy: { name: 'sponge', dispatch: edfPolicy, planner: jointPlanner(), isAllocationFixed: false },
    models: modelsOf(POD_MODEL),
    config: { queueLimits: { maxRequests: 10_000, maxBytes: 1_000_000 }, maxBatchBytes: 1_000_000, ...idle },
    onEvent: () => undefined,
  });
  return { system, workers, outstanding: 0, arrived: [] };
}

function reportOf({ system, arrived }: PodUnderTest): PodReport {
  const model = {
    name: MODEL,
    version: '1',
    isLatest: true,
    isReady: true,
    heldRequests: system.status().heldRequests,
    defaultSloMs: 1000,
    requestBytes: 0,
    ...system.outlook(CLASS)!,
  };
  return { schemaVersion: 1, isDraining: false, grpcPort: 0, models: [model], arrived, isArrivedCut: false };
}
