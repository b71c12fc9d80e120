import type * as JointModule from '../../src/scheduler/controlplane/joint-planner.js';
import type * as PricedModule from '../../src/scheduler/controlplane/priced-planner.js';
import type * as StaticModule from '../../src/scheduler/controlplane/baselines/static.js';
import type * as PolicyModule from '../../src/scheduler/dataplane/policy.js';
import type { BatchResult, BatchRun, WorkerPool } from '../../src/scheduler/dataplane/worker-pool.js';
import type { AdmittedRequest, InferRequest, ShapeClass } from '../../src/scheduler/domain/request.js';
import type * as RequestModule from '../../src/scheduler/domain/request.js';
import type { Planner } from '../../src/scheduler/controlplane/planner.js';
import type * as NodeModule from '../../src/scheduler/node.js';
import type * as ModelsModule from '../../src/scheduler/perf-model/latency-model.js';
import type * as PublishedModule from '../../src/scheduler/perf-model/published.js';
import type * as ScalerModule from '../../src/simulator/sim/simulated-scaler.js';
import type * as ClockModule from '../../src/scheduler/clock/virtual-clock.js';
import type { System } from '../../src/scheduler/system.js';

/*
 * A whole node on a virtual clock whose batches end when the bench says so: what the router itself does can then be timed by
 * itself, with as many waiting as is asked for. Of the built code: tsx names every closure at run time, which costs more than
 * some of them do.
 */

const built = async <T>(path: string): Promise<T> =>
  (await import(new URL(`../../dist/${path}`, import.meta.url).href)) as T;
const { VirtualClock } = await built<typeof ClockModule>('scheduler/clock/virtual-clock.js');
const { staticPlanner } = await built<typeof StaticModule>('scheduler/controlplane/baselines/static.js');
const { jointPlanner } = await built<typeof JointModule>('scheduler/controlplane/joint-planner.js');
const { pricedPlanner } = await built<typeof PricedModule>('scheduler/controlplane/priced-planner.js');
const { edfPolicy } = await built<typeof PolicyModule>('scheduler/dataplane/policy.js');
const { shapeClass } = await built<typeof RequestModule>('scheduler/domain/request.js');
const { createNode, nodeStartMillicores } = await built<typeof NodeModule>('scheduler/node.js');
const { OnlineLatencyModels } = await built<typeof ModelsModule>('scheduler/perf-model/latency-model.js');
const { publishedProfile } = await built<typeof PublishedModule>('scheduler/perf-model/published.js');
const { SimulatedScaler } = await built<typeof ScalerModule>('simulator/sim/simulated-scaler.js');

const BUDGET_MILLICORES = 16_000;
const MAX_BATCH_SIZE = 32;
const RESTING_MILLICORES = 100;
const RESIZE_MS = 0.1;

const profile = publishedProfile('yolov5s');
/** The profiled one. */
const SHAPE: ShapeClass = shapeClass('x', profile.elementCount);

export type BenchPolicy = 'static' | 'sponge' | 'sponge, 4 instances' | 'sponge, 2 instances';

const POLICIES: Readonly<Record<BenchPolicy, { readonly instances: number; readonly planner: () => Planner }>> = {
  static: { instances: 1, planner: () => staticPlanner(BUDGET_MILLICORES, 8) },
  sponge: { instances: 1, planner: () => pricedPlanner({ prefer: 'cpu' }) },
  'sponge, 2 instances': { instances: 2, planner: () => jointPlanner() },
  'sponge, 4 instances': { instances: 4, planner: () => jointPlanner() },
};

/** Workers whose batches run until they are ended. */
class HeldWorkers implements WorkerPool {
  readonly threadCounts = Array.from({ length: BUDGET_MILLICORES / 1000 }, (_, index) => index + 1);
  readonly maxBatchSize = MAX_BATCH_SIZE;
  readonly instanceCount: number;
  readonly #clock: ClockModule.VirtualClock;
  readonly #running: { readonly run: BatchRun; readonly onDone: (result: BatchResult) => void }[] = [];

  constructor(clock: ClockModule.VirtualClock, instanceCount: number) {
    this.#clock = clock;
    this.instanceCount = instanceCount;
  }

  get runningCount(): number {
    return this.#running.length;
  }

  listen(): void {
    // Nothing ever happens to them.
  }

  stage(_: AdmittedRequest, onStaged: () => void): void {
    this.#clock.schedule(this.#clock.nowMs(), onStaged);
  }

  unstage(): void {
    // Nothing is kept.
  }

  start(run: BatchRun, onDone: (result: BatchResult) => void): void {
    this.#running.push({ run, onDone });
  }

  /** The oldest batch. @returns how many were in it */
  end(): number {
    const { run, onDone } = this.#running.shift()!;
    onDone({ kind: 'completed', outputs: run.sequences.map(() => []), computeMs: 1 });
    return run.sequences.length;
  }
}

/** One model of the node. */
export class HeldModel {
  readonly system: System;
  readonly #clock: ClockModule.VirtualClock;
  readonly #workers: HeldWorkers;
  readonly #planCount: () => number;
  #nextSequence = 1;

  constructor(clock: ClockModule.VirtualClock, system: System, workers: HeldWorkers, planCount: () => number) {
    this.#clock = clock;
    this.system = system;
    this.#workers = workers;
    this.#planCount = planCount;
  }

  /** Since it was made. */
  get planCount(): number {
    return this.#planCount();
  }

  /** @returns its sequence */
  submit(dueAtMs: number, fields: Partial<InferRequest> = {}): number {
    const nowMs = this.#clock.nowMs();
    const sequence = this.#nextSequence++;
    this.system.submit(
      {
        sequence,
        receivedAtMs: nowMs,
        sloMs: dueAtMs - nowMs,
        networkDelayMs: 0,
        networkDelaySource: 'none',
        replyReserveMs: 0,
        dueAtMs,
        client: 'bench',
        isDeadlineDefaulted: false,
        isBestEffort: false,
        priority: 0,
        shapeClass: SHAPE,
        byteCount: 4096,
        inputs: [],
        outputNames: [],
        ...fields,
      },
      ignoreOutcome,
    );
    return sequence;
  }

  /** While it is lent nothing is planned, so that a queue can be filled before it is looked at. */
  fill(submitAll: () => void): void {
    const lease = this.system.lease('free', () => undefined)!;
    submitAll();
    lease.release();
    this.#clock.advanceBy(1);
  }

  get hasBatch(): boolean {
    return this.#workers.runningCount > 0;
  }

  get isBusy(): boolean {
    return this.#workers.runningCount === this.#workers.instanceCount;
  }

  get queueDepth(): number {
    return this.system.status().queueDepth;
  }

  /** A batch ends, and the next begins on what is then granted. @returns how many the first one had */
  endBatch(): number {
    const size = this.#workers.end();
    this.#clock.advanceBy(2 * RESIZE_MS);
    return size;
  }
}

const ignoreOutcome = (): void => undefined;

/** @param count models that are alike */
export function heldNode(policy: BenchPolicy, count = 1): { clock: ClockModule.VirtualClock; models: HeldModel[] } {
  const clock = new VirtualClock();
  const { instances, planner } = POLICIES[policy];
  const workers = Array.from({ length: count }, () => new HeldWorkers(clock, instances));
  const limits = { minMillicores: 1000, maxMillicores: BUDGET_MILLICORES, stepMillicores: 100 };
  const start = nodeStartMillicores(
    workers.map(() => ({ count: instances, restingMillicores: RESTING_MILLICORES, limits })),
    BUDGET_MILLICORES,
  );
  const node = createNode({ clock, budgetMillicores: BUDGET_MILLICORES });
  const planCounts = workers.map(() => 0);
  workers.forEach((each, index) =>
    node.add({
      name: `model ${index}`,
      workers: each,
      scalers: start[index]!.map(
        (cpuMillicores) =>
          new SimulatedScaler({
            clock,
            limits: { ...limits, minMillicores: RESTING_MILLICORES },
            cpuMillicores,
            delayMs: () => RESIZE_MS,
            expectedDelayMs: RESIZE_MS,
            isRefused: () => false,
            apply: () => undefined,
          }),
      ),
      startMillicores: start[index]!,
      policy: {
        name: policy,
        dispatch: edfPolicy,
        planner: planner(),
        isAllocationFixed: policy === 'static',
      },
      models: new OnlineLatencyModels(profile),
      config: {
        queueLimits: { maxRequests: 1_000_000, maxBytes: 1e12 },
        maxBatchBytes: 1e9,
        limits,
        idleMillicores: RESTING_MILLICORES,
        // One worker keeps what it has; of several, those that rest hold next to nothing.
        idleReleaseMs: instances === 1 ? null : 100,
      },
      onEvent: ({ kind }) => {
        if (kind === 'planned') planCounts[index]! += 1;
      },
    }),
  );
  const modelOf = (system: System, index: number): HeldModel =>
    new HeldModel(clock, system, workers[index]!, () => planCounts[index]!);
  return { clock, models: node.systems.map(modelOf) };
}

/** Time that a request takes of the busiest worker there can be: full batches, all cores. */
export function leastMsEach(): number {
  return (
    new OnlineLatencyModels(profile).forClass(SHAPE).predictedLatencyMs(MAX_BATCH_SIZE, BUDGET_MILLICORES) /
    MAX_BATCH_SIZE
  );
}

export function classOf(index: number): ShapeClass {
  return shapeClass(`class ${index}`, profile.elementCount);
}
