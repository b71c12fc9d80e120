import type { Event } from '../../scheduler/domain/event.js';
import type { ShapeClass } from '../../scheduler/domain/request.js';
import { requiredInputs, shapeText } from '../../scheduler/domain/tensor.js';
import { createScaler, type DetectedScaler } from '../scalers/detect.js';
import type { KubernetesSettings } from '../scalers/kubernetes/settings.js';
import type { ScalerKind } from '../scalers/scaler-handle.js';
import type { TensorContract } from '../triton-config/tensor-contract.js';
import { confinementOf, type ConfinementOptions } from '../workers/confinement.js';
import { oneLine } from '../workers/load-failure.js';
import { startProcessPool, type ProcessPool } from '../workers/process-pool.js';
import type { RunLimits } from '../workers/run-watch.js';
import { GivenSamples, NoiseSamples, type InputShapes, type Sample, type SampleSource } from '../workers/samples.js';
import type { SyntheticTiming } from '../workers/synthetic-load.js';
import { alone, decideBatching, type BatchingDecision, type BatchingMode } from './batching-decision.js';
import { openGroup } from './instance-groups.js';
import { assertLabelled } from '../models/label-files.js';
import { contractWith, statedThreadCounts } from '../models/as-configured.js';
import type { ModelSource } from '../models/model-repository.js';
import { resized } from './resized.js';
import { samplesOf } from '../models/model-samples.js';
import type { StartingCores } from './starting-cores.js';
import { checkShapes, shapeClassOfShapes, shapesFromSignature } from './shape-class.js';
import { usefulThreadCounts } from './thread-counts.js';

export interface WorkerOptions extends ConfinementOptions {
  readonly scaler: 'auto' | ScalerKind;
  /** Of scaler `kubernetes`. */
  readonly kubernetes?: KubernetesSettings;
  readonly groupName: string;
  /** Largest allocation, millicores; null: what the machine allows, less the router's share. */
  readonly maxMillicores: number | null;
  readonly quotaPeriodUs: number;
  readonly maxBatchSize: number;
  /** Shape of one request by input name; null: from YAML, the model or the first request. */
  readonly shapes: InputShapes | null;
  /** Files of requests that the model is profiled and tried with; null: from YAML and the model's folder. */
  readonly samplePaths: readonly string[] | null;
  /** Null: from YAML, else by what the graph says. */
  readonly batching: BatchingMode | null;
  /** ONNX Runtime threads to keep sessions for; null: what the largest allocation makes useful. */
  readonly threadCounts: readonly number[] | null;
  readonly nowMs: () => number;
  /** As of a process pool. */
  readonly unreadSinceMs?: () => number;
  readonly onLog: (line: string) => void;
  /** The cores that it shares with others while it is started; absent: it is alone. */
  readonly startingCores?: (scaling: DetectedScaler) => StartingCores;
  /** The CPU group stands, with so much in force; the worker process starts next. */
  readonly onScaling?: (scaling: DetectedScaler, cpuMillicores: number) => void;
  /** Hears of resizes before a system makes them. */
  readonly onEvent?: (event: Event) => void;
  /** A process besides the first one is about to be ended. */
  readonly onEnding?: (pid: number) => void;
  /** Input bytes that may lie in the process. */
  readonly maxStagedBytes?: number;
  /** Absent: five seconds without CPU, a minute in all. */
  readonly runLimits?: RunLimits;
  /** Instances in the process, each in a CPU group of its own; asked when the first group stands. Absent: one. */
  readonly instancesInProcess?: () => number;
  /** One of several processes: it is given the inputs of a whole batch at once, and of nothing else. */
  readonly isReplicated?: boolean;
  /** Ends the process while it starts or is profiled, so that whatever waits for it fails. */
  readonly interruption?: AbortSignal;
}

/** A loaded model in its CPU group, probed for batching where its shapes are known. */
export interface OpenWorker {
  readonly pool: ProcessPool;
  /** Its inputs and outputs, as the model and as clients see them. */
  readonly contract: TensorContract;
  readonly scaling: DetectedScaler;
  /** Of each instance in the process; the first is `scaling`, and the others rest. */
  readonly scalings: readonly DetectedScaler[];
  readonly quotaPeriodUs: number;
  /** Of one request; null until the first request tells. */
  readonly shapes: InputShapes | null;
  /** Of `shapes`. @throws while they are not known */
  readonly shapeClass: ShapeClass;
  /** Whether requests share batches, and why. */
  readonly batching: BatchingDecision;
  /** Nobody knows what a request looks like, or the model does not run on what was made up. */
  forgetSamples(): void;
  /** Real requests of one shape class, better than what was made up. */
  useSamples(samples: readonly Sample[]): void;
  /** Finds out whether the model is batchable, with the samples there are; the worker must be free. */
  decideBatching(): Promise<void>;
  /** Turns it off, because of what was found while serving. */
  refuteBatching(reason: string): void;
  /** The largest allocation that it can have now: others rest on the rest. */
  readonly mostMillicores: number;
  /** Resolves when in force, once others leave so much. @throws Error when refused */
  resize(cpuMillicores: number): Promise<void>;
  /**
   * Does something that runs the model, and is ended for a model that is served, which goes first: then once more, or not at all
   * where it is long and can be done without.
   */
  preemptible<Result>(step: () => Promise<Result>, whenEnded?: 'again' | 'give-up'): Promise<Result>;
  /** Resolves when there are cores for another process of the model to be loaded on, in a group of its own; `resize` gives them up. */
  coresToLoadAnother(): Promise<number>;
  /** From now on somebody else holds its cores. */
  handOver(): void;
  /** @param instance of the process; the first by default */
  runSynthetic(batchSize: number, threadCount: number, instance?: number): Promise<SyntheticTiming>;
  /** What so many instances of the process can have each: a core, or an equal share of what there is. */
  millicoresOfEach(instances: number): number;
  /** The first ones have so much each while a step goes on; then all but the very first rest again. @throws Error when refused */
  sideBySide<Result>(instances: number, cpuMillicores: number, step: () => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

/** Instances are beside each other on a core each: that is what they run on where several pay. */
const LONE_CORE_MILLICORES = 1000;

/**
 * Staged bytes of a replica: they are those of its batch, which the largest batch bounds. A bound of their own, below that,
 * would leave a batch waiting for room that only its end could make.
 */
export const ONLY_ITS_BATCH = Infinity;

/** @throws Error, in one line: model not loadable, scaler not possible, shapes that do not fit */
export async function openWorker(source: ModelSource, options: WorkerOptions): Promise<OpenWorker> {
  const scaling = await createScaler({
    kind: options.scaler,
    ...(options.kubernetes === undefined ? {} : { kubernetes: options.kubernetes }),
    groupName: options.groupName,
    limits: options.maxMillicores === null ? {} : { maxMillicores: options.maxMillicores },
    periodUs: options.quotaPeriodUs,
    onWarning: options.onLog,
  });
  const { limits } = scaling.scaler;
  const scalings = [scaling];
  let cores: StartingCores | null = null;
  try {
    cores = options.startingCores?.(scaling) ?? null;
    const startMillicores = cores?.loadingMillicores(limits) ?? limits.maxMillicores;
    await cores?.acquire(startMillicores);
    await resized(scaling.scaler, startMillicores);
    options.onScaling?.(scaling, startMillicores);
    await addRestingGroups(scalings, options);
    const pool = await startProcessPool({
      modelPath: source.modelPath,
      threadCounts: options.threadCounts ?? statedThreadCounts(source) ?? usefulThreadCounts(limits.maxMillicores),
      joins: scalings.map(({ join }) => join),
      rejoin: () => scalings.map((each) => each.rejoin()),
      maxBatchSize: Math.min(options.maxBatchSize, source.settings.maxBatchSize ?? Infinity),
      ...confinementOf(options),
      nowMs: options.nowMs,
      ...(options.unreadSinceMs === undefined ? {} : { unreadSinceMs: options.unreadSinceMs }),
      onLog: options.onLog,
      lendsOutputs: true,
      maxStagedBytes: options.isReplicated === true ? ONLY_ITS_BATCH : options.maxStagedBytes,
      ...(options.runLimits === undefined ? {} : { runLimits: options.runLimits }),
      ...(options.interruption === undefined ? {} : { interruption: options.interruption }),
      onSpawn: (pid, tids) => scalings.forEach((each, instance) => each.attachProcess(pid, tids[instance]!)),
    });
    const mode = options.batching ?? source.settings.batching ?? 'auto';
    try {
      const contract = contractWith(source, pool.signature);
      const worker = new LiveWorker(pool, contract, scalings, options, mode, cores, startMillicores);
      assertLabelled(source.settings.labels, pool.signature);
      const samples = await samplesOf(source, { ...options, contract, facts: pool.facts });
      const shapes = options.shapes ?? source.settings.shapes ?? shapesFromSignature(contract.model, source);
      if (samples.length > 0) worker.useSamples(samples);
      else if (shapes !== null) {
        checkShapes(pool.signature, shapes);
        worker.makeUpSamples(shapes);
      }
      await worker.decideBatching();
      return worker;
    } catch (error) {
      await pool.close();
      throw error;
    }
  } catch (error) {
    cores?.leave();
    await closeAll(scalings);
    throw error;
  }
}

/** Of the instances besides the first: whose model is loaded, and profiled, while they rest. */
async function addRestingGroups(scalings: DetectedScaler[], options: WorkerOptions): Promise<void> {
  const first = scalings[0]!;
  const count = options.instancesInProcess?.() ?? 1;
  for (let slot = 2; slot <= count; slot++) {
    const group = await openGroup(first, options, slot, first.scaler.limits.maxMillicores, '--instances');
    scalings.push(group);
    await resized(group.scaler, group.scaler.idleMillicores);
  }
}

async function closeAll(scalings: readonly DetectedScaler[]): Promise<void> {
  for (const scaling of scalings) await scaling.close();
}

/** @throws Error, in one line with the flags that help, where only the first request would tell */
export function assertShapesKnown({ name }: ModelSource, worker: OpenWorker): void {
  if (worker.shapes !== null) return;
  const inputs = requiredInputs(worker.pool.signature);
  const isOpen = (size: number, axis: number): boolean => size === -1 && axis > 0;
  const open = inputs.filter(({ shape }) => shape === null || shape.some(isOpen));
  const flags = inputs.map(({ name: input, shape }) => {
    const sizes =
      shape === null
        ? ['<sizes>']
        : shape.map((size, axis) => (isOpen(size, axis) ? '<size>' : size === -1 ? 1 : size));
    return `--shape ${input}=${sizes.join(',')}`;
  });
  throw new Error(
    `model ${name} leaves sizes open: ${open.map((input) => `${input.name} ${shapeText(input.shape)}`).join(', ')}; ` +
      `say what a request has, with ${flags.join(' ')}`,
  );
}

class LiveWorker implements OpenWorker {
  readonly pool: ProcessPool;
  readonly contract: TensorContract;
  readonly scaling: DetectedScaler;
  readonly scalings: readonly DetectedScaler[];
  readonly quotaPeriodUs: number;
  readonly #options: WorkerOptions;
  readonly #mode: BatchingMode;
  #shapes: InputShapes | null = null;
  #samples: SampleSource | null = null;
  #batching = alone('it is being loaded');
  /** Null once handed over, or where it is alone. */
  #cores: StartingCores | null;
  #cpuMillicores: number;

  constructor(
    pool: ProcessPool,
    contract: TensorContract,
    scalings: readonly DetectedScaler[],
    options: WorkerOptions,
    mode: BatchingMode,
    cores: StartingCores | null,
    cpuMillicores: number,
  ) {
    this.#mode = mode;
    this.pool = pool;
    this.contract = contract;
    this.scaling = scalings[0]!;
    this.scalings = scalings;
    this.quotaPeriodUs = options.quotaPeriodUs;
    this.#options = options;
    this.#cores = cores;
    this.#cpuMillicores = cpuMillicores;
  }

  get shapes(): InputShapes | null {
    return this.#shapes;
  }

  get shapeClass(): ShapeClass {
    return shapeClassOfShapes(this.pool.signature, this.#knownShapes(), this.pool.maxBatchSize > 1);
  }

  get batching(): BatchingDecision {
    return this.#batching;
  }

  forgetSamples(): void {
    this.#shapes = null;
    this.#samples = null;
  }

  /** @throws RangeError when the shapes do not fit the model */
  makeUpSamples(shapes: InputShapes): void {
    this.#samples = new NoiseSamples(this.pool.signature, shapes, this.pool.facts.hints);
    this.#shapes = shapes;
  }

  useSamples(samples: readonly Sample[]): void {
    this.#samples = new GivenSamples(samples);
    this.#shapes = Object.fromEntries(samples[0]!.map(({ name, shape }) => [name, shape]));
  }

  async decideBatching(): Promise<void> {
    const { pool } = this;
    if (this.#batching.hasKilled) return;
    const decision = await decideBatching({
      mode: this.#mode,
      verdict: pool.facts.batching,
      signature: pool.signature,
      samples: this.#samples,
      hints: pool.facts.hints,
      run: (batch) => pool.runBatch(batch),
    });
    if (decision.warning !== null) this.#options.onLog(decision.warning);
    this.#batching = decision;
    pool.setBatchable(decision.isBatchable);
    if (decision.hasKilled) await pool.recovered();
  }

  refuteBatching(reason: string): void {
    this.#batching = alone(reason);
    this.pool.setBatchable(false);
  }

  get mostMillicores(): number {
    const { limits, reachableMillicores = limits.maxMillicores } = this.scaling.scaler;
    return Math.min(limits.maxMillicores, reachableMillicores, this.#cores?.mostMillicores ?? Infinity);
  }

  async preemptible<Result>(step: () => Promise<Result>, whenEnded: 'again' | 'give-up' = 'again'): Promise<Result> {
    const cores = this.#cores;
    if (cores === null) return step();
    const ended = new AbortController();
    cores.onWanted = () => {
      ended.abort();
      this.pool.abortSynthetic();
    };
    try {
      return await step();
    } catch (error) {
      if (!ended.signal.aborted || whenEnded === 'give-up') throw error;
    } finally {
      cores.onWanted = () => undefined;
    }
    await this.resize(this.scaling.scaler.idleMillicores);
    return step();
  }

  async coresToLoadAnother(): Promise<number> {
    const { limits } = this.scaling.scaler;
    const cpuMillicores = this.#cores?.loadingMillicores(limits) ?? limits.maxMillicores;
    return (await this.#cores?.acquire(cpuMillicores)) ?? cpuMillicores;
  }

  handOver(): void {
    this.#cores?.leave();
    this.#cores = null;
  }

  async resize(wantedMillicores: number): Promise<void> {
    const cpuMillicores = (await this.#cores?.acquire(wantedMillicores)) ?? wantedMillicores;
    await this.#apply(cpuMillicores);
  }

  millicoresOfEach(instances: number): number {
    const { limits } = this.scaling.scaler;
    const most = Math.min(limits.maxMillicores, this.#cores?.mostTogetherMillicores ?? Infinity);
    const each = Math.min(LONE_CORE_MILLICORES, most / instances);
    return limits.minMillicores + floorTo(limits.stepMillicores, each - limits.minMillicores);
  }

  async sideBySide<Result>(instances: number, cpuMillicores: number, step: () => Promise<Result>): Promise<Result> {
    await this.#cores?.acquireTogether(instances * cpuMillicores);
    const others = this.scalings.slice(1, instances).map(({ scaler }) => scaler);
    try {
      // Shrinks go first: together they never have more than there is.
      const applied = await resized(this.scaling.scaler, cpuMillicores);
      this.#cpuMillicores = applied.cpuMillicores;
      for (const other of others) await resized(other, cpuMillicores);
      return await step();
    } finally {
      for (const other of others) await resized(other, other.idleMillicores);
      this.#cores?.keep(this.#cpuMillicores);
    }
  }

  /** What was acquired. */
  async #apply(cpuMillicores: number): Promise<void> {
    const { nowMs, onEvent = () => undefined } = this.#options;
    const fromMillicores = this.#cpuMillicores;
    // Before the system exists, whose controller counts from 1; one at a time.
    const ofFirst = { resizeId: 0, instance: 0 } as const;
    onEvent({ kind: 'resize-requested', atMs: nowMs(), ...ofFirst, fromMillicores, toMillicores: cpuMillicores });
    try {
      const applied = await resized(this.scaling.scaler, cpuMillicores);
      this.#cpuMillicores = applied.cpuMillicores;
      this.#cores?.keep(applied.cpuMillicores);
      onEvent({ ...applied, kind: 'resized', atMs: nowMs(), ...ofFirst });
    } catch (error) {
      this.#cores?.keep(fromMillicores);
      onEvent({ kind: 'resize-refused', atMs: nowMs(), ...ofFirst, message: oneLine(error) });
      throw error;
    }
  }

  runSynthetic(batchSize: number, threadCount: number, instance = 0): Promise<SyntheticTiming> {
    if (this.#samples === null) throw new Error('nobody knows what a request looks like');
    return this.pool.runSynthetic({ samples: this.#samples, batchSize, threadCount, instance });
  }

  async close(): Promise<void> {
    this.handOver();
    await this.pool.close();
    await closeAll(this.scalings);
  }

  #knownShapes(): InputShapes {
    if (this.#shapes === null) throw new Error('the shapes of a request are not known yet');
    return this.#shapes;
  }
}

function floorTo(step: number, value: number): number {
  return Math.floor(value / step) * step;
}
