import type { ResizeResult } from '../../controlplane/scaler.js';
import type { Event } from '../../domain/event.js';
import type { ShapeClass } from '../../domain/request.js';
import { requiredInputs, shapeText, type ModelSignature } from '../../domain/tensor.js';
import { createScaler, type DetectedScaler } from '../scalers/detect.js';
import type { ScalerKind } from '../scalers/scaler-handle.js';
import { oneLine } from '../workers/load-failure.js';
import { startProcessPool, type ProcessPool, type RunLimits } from '../workers/process-pool.js';
import { GivenSamples, NoiseSamples, type InputShapes, type Sample, type SampleSource } from '../workers/samples.js';
import type { SyntheticTiming } from '../workers/synthetic-load.js';
import { alone, decideBatching, type BatchingDecision, type BatchingMode } from './batching-decision.js';
import type { ModelSource } from './model-repository.js';
import { readSample } from './sample-files.js';
import { checkShapes, shapeClassOf, shapeClassOfShapes, shapesFromSignature } from './shape-class.js';

export interface WorkerOptions {
  readonly scaler: 'auto' | ScalerKind;
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
  readonly onLog: (line: string) => void;
  /** The CPU group stands, at its largest allocation; the worker process starts next. */
  readonly onScaling?: (scaling: DetectedScaler) => void;
  /** Hears of resizes before a system makes them. */
  readonly onEvent?: (event: Event) => void;
  /** A process besides the first one is about to be ended. */
  readonly onEnding?: (pid: number) => void;
  /** Absent: five seconds without CPU, a minute in all. */
  readonly runLimits?: RunLimits;
  /** One of several: it is given the inputs of a whole batch at once, and of nothing else. */
  readonly isReplicated?: boolean;
  /** Ends the process while it starts or is profiled, so that whatever waits for it fails. */
  readonly interruption?: AbortSignal;
}

/** A loaded model in its CPU group, at the largest allocation, probed for batching where its shapes are known. */
export interface OpenWorker {
  readonly pool: ProcessPool;
  readonly scaling: DetectedScaler;
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
  /** Resolves when in force. @throws Error when refused */
  resize(cpuMillicores: number): Promise<void>;
  runSynthetic(batchSize: number, threadCount: number): Promise<SyntheticTiming>;
  close(): Promise<void>;
}

/**
 * Staged bytes of a replica: they are those of its batch, which the largest batch bounds. A bound of their own, below that,
 * would leave a batch waiting for room that only its end could make.
 */
export const ONLY_ITS_BATCH = Infinity;

/**
 * Thread counts worth a session (50–80 MB for a model like ResNet-18): every one up to four, then where another thread
 * still adds a sixth or more.
 */
export function usefulThreadCounts(maxMillicores: number): readonly number[] {
  const most = Math.max(1, Math.ceil(maxMillicores / 1000));
  const counts = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64].filter((count) => count < most);
  return [...counts, Math.min(most, 64)];
}

/** @throws Error, in one line: model not loadable, scaler not possible, shapes that do not fit */
export async function openWorker(source: ModelSource, options: WorkerOptions): Promise<OpenWorker> {
  const scaling = await createScaler({
    kind: options.scaler,
    groupName: options.groupName,
    limits: options.maxMillicores === null ? {} : { maxMillicores: options.maxMillicores },
    periodUs: options.quotaPeriodUs,
    onWarning: options.onLog,
  });
  try {
    await resize(scaling, scaling.scaler.limits.maxMillicores);
    options.onScaling?.(scaling);
    const pool = await startProcessPool({
      modelPath: source.modelPath,
      threadCounts: options.threadCounts ?? usefulThreadCounts(scaling.scaler.limits.maxMillicores),
      join: scaling.join,
      maxBatchSize: Math.min(options.maxBatchSize, source.settings.maxBatchSize ?? Infinity),
      nowMs: options.nowMs,
      onLog: options.onLog,
      ...(options.isReplicated === true ? { maxStagedBytes: ONLY_ITS_BATCH } : {}),
      ...(options.runLimits === undefined ? {} : { runLimits: options.runLimits }),
      ...(options.interruption === undefined ? {} : { interruption: options.interruption }),
      onSpawn: (pid, tid) => scaling.attachProcess(pid, tid),
    });
    const mode = options.batching ?? source.settings.batching ?? 'auto';
    const worker = new LiveWorker(pool, scaling, options, mode);
    try {
      const samples = await givenSamples(source, options, pool.signature);
      const shapes = options.shapes ?? source.settings.shapes ?? shapesFromSignature(pool.signature);
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
    await scaling.close();
    throw error;
  }
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
  readonly scaling: DetectedScaler;
  readonly quotaPeriodUs: number;
  readonly #options: WorkerOptions;
  readonly #mode: BatchingMode;
  #shapes: InputShapes | null = null;
  #samples: SampleSource | null = null;
  #batching = alone('it is being loaded');
  #cpuMillicores: number;

  constructor(pool: ProcessPool, scaling: DetectedScaler, options: WorkerOptions, mode: BatchingMode) {
    this.#mode = mode;
    this.pool = pool;
    this.scaling = scaling;
    this.quotaPeriodUs = options.quotaPeriodUs;
    this.#options = options;
    this.#cpuMillicores = scaling.scaler.limits.maxMillicores;
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

  async resize(cpuMillicores: number): Promise<void> {
    const { nowMs, onEvent = () => undefined } = this.#options;
    const fromMillicores = this.#cpuMillicores;
    // Before the system exists, whose controller counts from 1; one at a time.
    const resizeId = 0;
    onEvent({ kind: 'resize-requested', atMs: nowMs(), resizeId, fromMillicores, toMillicores: cpuMillicores });
    try {
      const applied = await resize(this.scaling, cpuMillicores);
      this.#cpuMillicores = applied.cpuMillicores;
      onEvent({ ...applied, kind: 'resized', atMs: nowMs(), resizeId });
    } catch (error) {
      onEvent({ kind: 'resize-refused', atMs: nowMs(), resizeId, message: oneLine(error) });
      throw error;
    }
  }

  runSynthetic(batchSize: number, threadCount: number): Promise<SyntheticTiming> {
    if (this.#samples === null) throw new Error('nobody knows what a request looks like');
    return this.pool.runSynthetic({ samples: this.#samples, batchSize, threadCount });
  }

  async close(): Promise<void> {
    await this.pool.close();
    await this.scaling.close();
  }

  #knownShapes(): InputShapes {
    if (this.#shapes === null) throw new Error('the shapes of a request are not known yet');
    return this.#shapes;
  }
}

/** Of the first one's shape class: a profile is of one. @throws SampleError */
async function givenSamples(
  { settings }: ModelSource,
  { samplePaths, onLog }: WorkerOptions,
  signature: ModelSignature,
): Promise<readonly Sample[]> {
  const paths = samplePaths ?? settings.samplePaths;
  const samples = await Promise.all(paths.map((path) => readSample(path, signature)));
  const keyOf = (sample: Sample): string => shapeClassOf(sample, true).key;
  const alike = samples.filter((sample) => keyOf(sample) === keyOf(samples[0]!));
  if (alike.length < samples.length) {
    onLog(
      `${samples.length - alike.length} of ${samples.length} samples have other shapes than ${paths[0]!} and are left out`,
    );
  }
  return alike;
}

type Applied = Extract<ResizeResult, { kind: 'applied' }>;

function resize(scaling: DetectedScaler, cpuMillicores: number): Promise<Applied> {
  return new Promise((fulfil, reject) => {
    scaling.scaler.resize(cpuMillicores, (result) => {
      if (result.kind === 'applied') fulfil(result);
      else reject(new Error(result.message));
    });
  });
}
