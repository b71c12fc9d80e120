import type { ResizeResult } from '../../controlplane/scaler.js';
import type { Event } from '../../domain/event.js';
import type { ShapeClass } from '../../domain/request.js';
import { requiredInputs, shapeText } from '../../domain/tensor.js';
import { createScaler, type DetectedScaler } from '../scalers/detect.js';
import type { ScalerKind } from '../scalers/scaler-handle.js';
import { oneLine } from '../workers/load-failure.js';
import { startProcessPool, type ProcessPool, type RunLimits } from '../workers/process-pool.js';
import type { InputShapes, SyntheticTiming } from '../workers/synthetic-load.js';
import type { ModelSource } from './model-repository.js';
import { checkShapes, shapeClassOfShapes, shapesFromSignature } from './shape-class.js';

export interface WorkerOptions {
  readonly scaler: 'auto' | ScalerKind;
  readonly groupName: string;
  /** Largest allocation, millicores; null: what the machine allows, less the router's share. */
  readonly maxMillicores: number | null;
  readonly quotaPeriodUs: number;
  readonly maxBatchSize: number;
  /** Shape of one request by input name; null: from YAML, the model or the first request. */
  readonly shapes: InputShapes | null;
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
  readonly notBatchableReason: string;
  /** Null: they are not known after all. */
  setShapes(shapes: InputShapes | null): void;
  /** Finds out whether the model is batchable; the worker must be free. */
  probe(): Promise<void>;
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
    const worker = new LiveWorker(pool, scaling, options);
    try {
      const shapes = options.shapes ?? source.settings.shapes ?? shapesFromSignature(pool.signature);
      if (shapes !== null) {
        checkShapes(pool.signature, shapes);
        worker.setShapes(shapes);
        await worker.probe();
      }
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
  #shapes: InputShapes | null = null;
  #notBatchableReason = SHAPES_UNKNOWN;
  #cpuMillicores: number;

  constructor(pool: ProcessPool, scaling: DetectedScaler, options: WorkerOptions) {
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

  get notBatchableReason(): string {
    return this.#notBatchableReason;
  }

  setShapes(shapes: InputShapes | null): void {
    this.#shapes = shapes;
    this.#notBatchableReason = SHAPES_UNKNOWN;
  }

  async probe(): Promise<void> {
    const { reason } = await this.pool.probe(this.#knownShapes());
    this.#notBatchableReason = reason;
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
    return this.pool.runSynthetic({ shapes: this.#knownShapes(), batchSize, threadCount });
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

const SHAPES_UNKNOWN = 'its shapes are not known before the first request';

type Applied = Extract<ResizeResult, { kind: 'applied' }>;

function resize(scaling: DetectedScaler, cpuMillicores: number): Promise<Applied> {
  return new Promise((fulfil, reject) => {
    scaling.scaler.resize(cpuMillicores, (result) => {
      if (result.kind === 'applied') fulfil(result);
      else reject(new Error(result.message));
    });
  });
}
