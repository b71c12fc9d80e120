import { VirtualClock } from '../../src/scheduler/clock/virtual-clock.js';
import { pricedPlanner } from '../../src/scheduler/controlplane/priced-planner.js';
import { edfPolicy } from '../../src/scheduler/dataplane/policy.js';
import type { Outcome } from '../../src/scheduler/domain/outcome.js';
import type { InferRequest, ShapeClass } from '../../src/scheduler/domain/request.js';
import { OnlineLatencyModels } from '../../src/scheduler/perf-model/latency-model.js';
import { profileCell } from '../../src/scheduler/perf-model/profile-cell.js';
import type { Profile } from '../../src/scheduler/perf-model/profile.js';
import { logNormal } from '../../src/scheduler/random/normal.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import { SimulatedScaler } from '../../src/simulator/sim/simulated-scaler.js';
import { SimulatedWorker } from '../../src/simulator/sim/simulated-worker.js';
import { createSystem, type Policy } from '../../src/scheduler/system.js';

/*
 * A whole system that believes something about latencies, on a machine for which something else is true, which may change.
 */

export const LIMITS = { minMillicores: 200, maxMillicores: 2000, stepMillicores: 100 };

/** l(b, c) = (24·b + 4) / c + b + 2 ms, c in cores: 17 ms alone at the largest allocation. */
function usualMs(batchSize: number, cpuMillicores: number): number {
  return ((24 * batchSize + 4) * 1000) / cpuMillicores + batchSize + 2;
}

export const ALONE_MS = usualMs(1, LIMITS.maxMillicores);

/** What `sponge profile` stored of the usual model: `factor` times what it takes. */
export function profileOf(shapeClass: ShapeClass, factor: number): Profile {
  return {
    schemaVersion: 1,
    name: 'believed',
    fingerprint: {
      modelSha256: '',
      cpuModel: '',
      cpuCount: 2,
      scaler: 'simulated',
      quotaPeriodUs: 10_000,
      threadCounts: [1, 2],
      onnxRuntimeVersion: '',
      shapeClassKey: shapeClass.key,
    },
    elementCount: shapeClass.elementCount,
    quality: 'full',
    measuredAt: '',
    cells: [1, 2, 4, 8].flatMap((batchSize) =>
      [200, 500, 1000, 2000].map((cpuMillicores) => {
        const latencyMs = factor * usualMs(batchSize, cpuMillicores);
        const samplesMs = Array.from({ length: 20 }, (_, run) => latencyMs * (0.95 + 0.005 * run));
        return profileCell({ batchSize, cpuMillicores, threadCount: 1 }, samplesMs);
      }),
    ),
  };
}

export interface Sender {
  readonly shapeClass: ShapeClass;
  readonly ratePerSec: number;
  readonly sloMs: number;
  /** When clients leave, after they have sent; never by default. */
  readonly leavesAfterMs?: number;
}

export interface BelievingRun {
  readonly seed: number;
  readonly profile: Profile;
  readonly senders: readonly Sender[];
  readonly durationMs: number;
  /** Times the usual latency that a batch of a class takes which starts now. */
  readonly slownessOf: (classKey: string, nowMs: number) => number;
  readonly policy?: Policy;
}

export interface Answer {
  readonly sender: number;
  readonly sentAtMs: number;
  /** Null where the client left first. */
  readonly outcome: Outcome;
}

export interface Exploring {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly classKey: string;
}

export interface BelievingReport {
  readonly answers: readonly Answer[];
  readonly explorings: readonly Exploring[];
  readonly coreMs: number;
  /** Of the batches in their order. */
  readonly ratios: readonly { readonly endedAtMs: number; readonly actualToPredicted: number }[];
}

export const SPONGE: Policy = {
  name: 'sponge',
  dispatch: edfPolicy,
  planner: pricedPlanner({ prefer: 'cpu' }),
  isAllocationFixed: false,
};

export function believingRun(options: BelievingRun): BelievingReport {
  const { seed, profile, senders, durationMs, slownessOf, policy = SPONGE } = options;
  const prng = new Prng(seed);
  const serviceNoise = new Prng(seed + 1000);
  const clock = new VirtualClock({ timerLatenessMs: 1 });
  // The worker is not told of classes: the class of the batch that starts comes from the event stream.
  let startingKey = '';
  const workers = new SimulatedWorker({
    clock,
    threadCounts: [1, 2],
    maxBatchSize: 8,
    cpuMillicores: LIMITS.maxMillicores,
    latencyMs: usualMs,
    noise: (nowMs) => slownessOf(startingKey, nowMs) * logNormal(serviceNoise, 0.05),
    stagingMs: 0.3,
    restartMs: 400,
  });
  const scaler = new SimulatedScaler({
    clock,
    limits: { ...LIMITS, minMillicores: 100 },
    cpuMillicores: LIMITS.maxMillicores,
    delayMs: () => 0.2,
    expectedDelayMs: 0.2,
    isRefused: () => false,
    usedSeconds: () => workers.usedSeconds,
    apply: (cpuMillicores) => workers.setAllocation(cpuMillicores),
  });
  const explorings: Exploring[] = [];
  const ratios: BelievingReport['ratios'][number][] = [];
  let exploring: { readonly batchId: number; readonly startedAtMs: number; readonly classKey: string } | null = null;
  const system = createSystem({
    clock,
    workers,
    scalers: [scaler],
    policy,
    models: new OnlineLatencyModels(profile),
    config: {
      queueLimits: { maxRequests: 500, maxBytes: 1_000_000 },
      maxBatchBytes: 1_000_000,
      limits: LIMITS,
      idleMillicores: 100,
      idleReleaseMs: 100,
    },
    onEvent: (event) => {
      if (event.kind === 'batch-started') {
        startingKey = event.shapeClassKey;
        if (!event.isExploring) return;
        if (exploring !== null) throw new Error('two are tried at a time');
        exploring = { batchId: event.batchId, startedAtMs: event.atMs, classKey: event.shapeClassKey };
      } else if (event.kind === 'batch-ended') {
        if (event.actualToPredicted !== null)
          ratios.push({ endedAtMs: event.atMs, actualToPredicted: event.actualToPredicted });
        if (exploring?.batchId !== event.batchId) return;
        explorings.push({ startedAtMs: exploring.startedAtMs, endedAtMs: event.atMs, classKey: exploring.classKey });
        exploring = null;
      }
    },
  });

  const answers: Answer[] = [];
  let sequence = 0;
  senders.forEach(({ shapeClass, ratePerSec, sloMs, leavesAfterMs }, sender) => {
    for (
      let atMs = prng.exponential(1000 / ratePerSec);
      atMs < durationMs;
      atMs += prng.exponential(1000 / ratePerSec)
    ) {
      const request = requestOf(++sequence, atMs, sloMs, sender, shapeClass);
      clock.scheduleExact(atMs, () =>
        system.submit(request, (outcome) => answers.push({ sender, sentAtMs: atMs, outcome })),
      );
      if (leavesAfterMs !== undefined) {
        clock.scheduleExact(atMs + leavesAfterMs, () => system.cancel(request.sequence));
      }
    }
  });
  clock.advanceTo(durationMs + 60_000);
  const { heldRequests } = system.status();
  if (heldRequests > 0 || answers.length !== sequence) throw new Error(`${heldRequests} requests are still held`);
  system.stop();
  return { answers, explorings, coreMs: 1000 * workers.usedSeconds, ratios };
}

function requestOf(
  sequence: number,
  atMs: number,
  sloMs: number,
  sender: number,
  shapeClass: ShapeClass,
): InferRequest {
  return {
    sequence,
    receivedAtMs: atMs,
    sloMs,
    networkDelayMs: 0,
    networkDelaySource: 'none',
    replyReserveMs: 0,
    dueAtMs: atMs + sloMs,
    client: String(sender),
    isDeadlineDefaulted: false,
    isBestEffort: false,
    priority: 0,
    shapeClass,
    byteCount: 1000,
    inputs: [],
    outputNames: [],
  };
}

/** Of a sender's requests sent from then on (and until then), the share answered in time; NaN of none. */
export function shareInTime({ answers }: BelievingReport, sender: number, fromMs: number, untilMs = Infinity): number {
  const own = answers.filter((each) => each.sender === sender && each.sentAtMs >= fromMs && each.sentAtMs < untilMs);
  return own.filter(({ outcome }) => outcome.kind === 'completed' && !outcome.isLate).length / own.length;
}
