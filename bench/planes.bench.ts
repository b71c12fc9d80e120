import { VirtualClock } from '../src/clock/virtual-clock.js';
import { staticPlanner } from '../src/controlplane/baselines/static.js';
import type { Planner } from '../src/controlplane/planner.js';
import { eventPlanner } from '../src/controlplane/program-planner.js';
import { edfPolicy } from '../src/dataplane/policy.js';
import type { LatencyModel } from '../src/domain/latency.js';
import type { InferRequest } from '../src/domain/request.js';
import { Prng } from '../src/random/prng.js';
import { SimulatedScaler } from '../src/sim/simulated-scaler.js';
import { SimulatedWorker } from '../src/sim/simulated-worker.js';
import { createSystem } from '../src/system.js';
import { atLeast, isTiny, report, type Budget } from './harness/row.js';

/*
 * Simulated requests per second of wall time: both planes on a virtual clock, as the simulator runs them. Budgets: 1 million
 * with a static policy, 100 000 with the default planner. The baseline beside them is the clock alone: one event each for
 * a request's arrival, staging and deadline, which is what no policy can do without.
 *
 *   npx tsx bench/planes.bench.ts [--tiny]
 *
 * Poisson arrivals with SLOs of 50 to 250 ms and payload classes of one size; the worker is 60 % busy. Variants take turns;
 * the median round counts.
 */

const LIMITS = { minMillicores: 500, maxMillicores: 4000, stepMillicores: 100 };
const MAX_BATCH_SIZE = 16;
const RATE_PER_SEC = 500;

/** l(b, c) = (4·b + 2) / c + 0.1·b + 0.5 ms; planned a tenth above. At (16, 4 cores): 18.6 ms, 860 requests a second. */
function latencyMs(batchSize: number, cpuMillicores: number): number {
  return ((4 * batchSize + 2) * 1000) / cpuMillicores + 0.1 * batchSize + 0.5;
}
const MODEL: LatencyModel = {
  predictedLatencyMs: latencyMs,
  plannedLatencyMs: (batchSize, cpuMillicores) => 1.1 * latencyMs(batchSize, cpuMillicores),
};
const SHAPE_CLASS = { key: 'x', elementCount: 1 };

function requestAt(nowMs: number, sequence: number, sloMs: number): InferRequest {
  return {
    sequence,
    receivedAtMs: nowMs,
    sloMs,
    networkDelayMs: 0,
    networkDelaySource: 'none',
    replyReserveMs: 0,
    dueAtMs: nowMs + sloMs,
    isDeadlineDefaulted: false,
    isBestEffort: false,
    priority: 0,
    shapeClass: SHAPE_CLASS,
    byteCount: 1000,
    inputs: [],
    outputNames: [],
  };
}

/** Schedules `count` arrivals one after another. */
function feed(clock: VirtualClock, count: number, arrive: (request: InferRequest) => void): void {
  const prng = new Prng(1);
  let sequence = 0;
  const next = (): void => {
    const nowMs = clock.nowMs();
    arrive(requestAt(nowMs, ++sequence, 50 + 200 * prng.uniform()));
    if (sequence < count) clock.scheduleExact(nowMs + prng.exponential(1000 / RATE_PER_SEC), next);
  };
  clock.scheduleExact(0, next);
}

interface Round {
  readonly wallMs: number;
  readonly onTime: number;
}

function runSystem(planner: Planner, isAllocationFixed: boolean, count: number): Round {
  const clock = new VirtualClock();
  const workers = new SimulatedWorker({
    clock,
    threadCounts: [1, 2, 4],
    maxBatchSize: MAX_BATCH_SIZE,
    cpuMillicores: LIMITS.maxMillicores,
    latencyMs,
    noise: () => 1,
    stagingMs: 0.1,
    restartMs: 1000,
  });
  const scaler = new SimulatedScaler({
    clock,
    limits: LIMITS,
    cpuMillicores: LIMITS.maxMillicores,
    delayMs: () => 0.1,
    expectedDelayMs: 0.1,
    isRefused: () => false,
    apply: (cpuMillicores) => workers.setAllocation(cpuMillicores),
  });
  const system = createSystem({
    clock,
    workers,
    scaler,
    policy: { name: planner.name, dispatch: edfPolicy, planner, isAllocationFixed },
    models: { isProvisional: false, forClass: () => MODEL, observe: () => undefined, relax: () => undefined },
    config: {
      queueLimits: { maxRequests: 10_000, maxBytes: 100_000_000 },
      maxBatchBytes: 1_000_000,
      hangTimeoutMs: 5000,
      limits: LIMITS,
      idleMillicores: LIMITS.minMillicores,
      idleReleaseMs: null,
    },
    onEvent: () => undefined,
  });
  let onTime = 0;
  let answered = 0;
  feed(clock, count, (request) =>
    system.submit(request, (outcome) => {
      answered += 1;
      if (outcome.kind === 'completed' && !outcome.isLate) onTime += 1;
    }),
  );
  const startMs = performance.now();
  while (answered < count) clock.fireNext();
  const wallMs = performance.now() - startMs;
  system.stop();
  return { wallMs, onTime };
}

/** Arrival, staging and a deadline that is cancelled as the request is answered. */
function runClock(count: number): Round {
  const clock = new VirtualClock();
  let onTime = 0;
  feed(clock, count, (request) => {
    const deadline = clock.schedule(request.dueAtMs, () => undefined);
    clock.schedule(clock.nowMs() + 0.1, () => {
      deadline.cancel();
      onTime += 1;
    });
  });
  const startMs = performance.now();
  clock.runUntilIdle();
  return { wallMs: performance.now() - startMs, onTime };
}

const roundCount = isTiny ? 2 : 5;
const count = isTiny ? 2000 : 200_000;
const variants = [
  { name: 'clock alone', run: (): Round => runClock(count) },
  { name: 'static, 4 cores, b ≤ 16', run: (): Round => runSystem(staticPlanner(4000, MAX_BATCH_SIZE), false, count) },
  { name: 'static, waiting to fill', run: (): Round => runSystem(staticPlanner(4000, MAX_BATCH_SIZE), true, count) },
  { name: 'sponge', run: (): Round => runSystem(eventPlanner('cpu'), false, count) },
];

const rounds = new Map<string, Round[]>(variants.map(({ name }) => [name, []]));
for (let round = 0; round < roundCount; round += 1) {
  for (const { name, run } of variants) rounds.get(name)!.push(run());
}
console.log(
  `simulated requests per second of wall time; median (least … most) of ${roundCount} × ${count} requests, node ${process.version}`,
);
for (const [name, results] of rounds) {
  const rates = results.map(({ wallMs }) => (1000 * count) / wallMs).sort((a, b) => a - b);
  const [median, least, most] = [rates[rates.length >> 1]!, rates[0]!, rates.at(-1)!].map((rate) =>
    Math.round(rate).toLocaleString('en'),
  );
  const onTimeShare = ((100 * results[0]!.onTime) / count).toFixed(2);
  console.log(`${name.padEnd(26)} ${median!.padStart(10)}  (${least} … ${most})  ${onTimeShare} % on time`);
}

/** Which variants the budgets are for. */
const BUDGETS: Readonly<Record<string, Budget>> = { 'static, 4 cores, b ≤ 16': atLeast(1e6), sponge: atLeast(1e5) };
const ratesOf = (name: string): readonly number[] => rounds.get(name)!.map(({ wallMs }) => (1000 * count) / wallMs);
for (const [name, budget] of Object.entries(BUDGETS)) {
  report({
    what: `simulated, ${name}`,
    unit: 'requests/s',
    ours: ratesOf(name),
    baseline: { what: 'clock alone', values: ratesOf('clock alone') },
    budget,
    note: `${count} requests a round`,
  });
}
