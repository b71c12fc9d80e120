import {
  createSystem,
  edfPolicy,
  OnlineLatencyModels,
  outcomeName,
  pricedPlanner,
  publishedProfile,
  shapeClass,
  VirtualClock,
  type Scaler,
  type WorkerPool,
} from 'sponge-inference/scheduler';

/*
 * The scheduler without a server: one worker and one scaler that are a few lines each, on a clock that is told to move. It decides
 * when to start which requests, on how many cores, as it does for real ones.
 *
 *   node --import tsx examples/scheduler.ts
 */

const clock = new VirtualClock();
const limits = { minMillicores: 1000, maxMillicores: 16_000, stepMillicores: 1000 };
const models = new OnlineLatencyModels(publishedProfile('resnet18'), 0.01);
const images = shapeClass('image', 3 * 224 * 224);
let cpuMillicores = limits.maxMillicores;

/** Each batch takes as long as the profile says. */
const workers: WorkerPool = {
  instanceCount: 1,
  threadCounts: [1, 2, 4, 8, 16],
  maxBatchSize: 16,
  listen: () => undefined,
  stage: (_request, onStaged) => void clock.schedule(clock.nowMs(), onStaged),
  unstage: () => undefined,
  start: ({ sequences }, onDone) => {
    const computeMs = models.forClass(images).predictedLatencyMs(sequences.length, cpuMillicores);
    console.log(`${clock.nowMs().toFixed(0)} ms: ${sequences.length} requests start on ${cpuMillicores / 1000} cores`);
    clock.schedule(clock.nowMs() + computeMs, () =>
      onDone({ kind: 'completed', outputs: sequences.map(() => []), computeMs }),
    );
  },
};

/** In force at once. */
const scaler: Scaler = {
  kind: 'simulated',
  isActuating: true,
  limits,
  idleMillicores: limits.minMillicores,
  expectedDelayMs: 0,
  resize: (wanted, onApplied) => {
    cpuMillicores = wanted;
    clock.schedule(clock.nowMs(), () =>
      onApplied({ kind: 'applied', cpuMillicores: wanted, isWritten: true, tookMs: 0 }),
    );
  },
  readCounters: () => null,
};

const system = createSystem({
  clock,
  workers,
  scalers: [scaler],
  models,
  policy: {
    name: 'example',
    dispatch: edfPolicy,
    planner: pricedPlanner({ prefer: 'cpu' }),
    isAllocationFixed: false,
  },
  config: {
    queueLimits: { maxRequests: 1000, maxBytes: 2 ** 30 },
    maxBatchBytes: 2 ** 26,
    limits,
    idleMillicores: limits.minMillicores,
    idleReleaseMs: 100,
  },
  onEvent: () => undefined,
});

const REQUESTS = 24;
let answered = 0;

/** Every third request has little time. */
for (let sequence = 1; sequence <= REQUESTS; sequence++) {
  const receivedAtMs = 25 * sequence;
  const sloMs = sequence % 3 === 0 ? 100 : 400;
  clock.schedule(receivedAtMs, () =>
    system.submit(
      {
        sequence,
        receivedAtMs,
        sloMs,
        networkDelayMs: 0,
        networkDelaySource: 'none',
        replyReserveMs: 0,
        dueAtMs: receivedAtMs + sloMs,
        client: 'example',
        isDeadlineDefaulted: false,
        isBestEffort: false,
        priority: 1,
        shapeClass: images,
        byteCount: images.elementCount,
        inputs: [],
        outputNames: [],
      },
      (outcome) => {
        answered += 1;
        console.log(`${clock.nowMs().toFixed(0)} ms: request ${sequence} of ${sloMs} ms, ${outcomeName(outcome)}`);
      },
    ),
  );
}
while (answered < REQUESTS) clock.advanceBy(10);
system.stop();
