import type { AdmittedRequest } from '../../scheduler/domain/request.js';
import { releaseAll, type ModelSignature, type Tensor } from '../../scheduler/domain/tensor.js';
import type { BatchResult, BatchRun, WorkerPool, WorkerPoolEvent } from '../../scheduler/dataplane/worker-pool.js';
import type { InputArena } from '../arena/input-arena.js';
import { keptTensors } from '../arena/lent-tensors.js';
import { usedSecondsOf } from '../scalers/inference-threads.js';
import { FrameError } from './frames.js';
import type { ControlToRouter, WorkerFacts } from './messages.js';
import { runningBatch, type RunningBatch } from './running-batch.js';
import { placeInputs, type PlacedInputs } from './placed-tensors.js';
import { DEFAULT_RUN_LIMITS, RunWatch, type RunLimits } from './run-watch.js';
import { DEFAULT_MAX_STAGED_BYTES, InputStaging, sharedBytesOf, type StagedInputs } from './staged-inputs.js';
import type { Sample } from './samples.js';
import {
  isSynthetic,
  RunAborted,
  SyntheticLoad,
  WorkerLostError,
  type SyntheticResult,
  type SyntheticRun,
  type SyntheticTiming,
} from './synthetic-load.js';
import type { SpareWorker } from './spare-worker.js';
import { WorkerSupervisor, type SupervisorOptions } from './worker-supervisor.js';

/*
 * The worker pool of a live server: one process, with one instance of its model or several. This file keeps what runs, and turns the worker's messages into each
 * caller's one callback; `staged-inputs.ts` keeps what is staged, `worker-supervisor.ts` the process alive.
 *
 * Invariants: every batch ends exactly once; nothing staged or running outlives its process.
 */

export interface ProcessPoolOptions extends SupervisorOptions {
  /** The most requests that memory lets share a batch, should the model prove batchable. */
  readonly maxBatchSize: number;
  /** The instant since when what is read just now may have been lying unread, as the router stood still; absent: it never does. */
  readonly unreadSinceMs?: () => number;
  /** Input bytes that may lie in the worker, and what is shared with it; requests beyond them wait in the router, first come first staged. */
  readonly maxStagedBytes?: number | undefined;
  readonly runLimits?: RunLimits;
  /** Outputs may be lent: whoever is given them and reads them later holds them before it returns. Absent: they are the receiver's own. */
  readonly lendsOutputs?: boolean;
  /** Aborting it is `close`, also while the first process starts. */
  readonly interruption?: AbortSignal;
}

export interface ProcessPool extends WorkerPool {
  /** Of the current process; 0 while there is none. */
  readonly pid: number;
  /** By instance: the threads that run its batches. */
  readonly inferenceTids: readonly number[];
  readonly signature: ModelSignature;
  /** What the first process said of itself: versions, load time, memory. */
  readonly facts: WorkerFacts;
  /** Where inputs can be put before they are staged: they are not copied then. Null while there is no such place. */
  readonly inputArena: InputArena | null;
  /** Launch → ready, of the latest start. */
  readonly startMs: number;
  /** 1 until `setBatchable` says that requests may share batches. */
  readonly maxBatchSize: number;
  /** From the next batch on. */
  setBatchable(isBatchable: boolean): void;
  /**
   * Runs these requests as one batch, on the fewest threads, while nothing else runs; the outputs of each, or why the model
   * refused them. Rejects when the worker is lost or the run is ended.
   */
  runBatch(batch: readonly Sample[]): Promise<readonly (readonly Tensor[])[] | string>;
  /** One batch of synthetic requests, timed like a client's; for the profiler, while nothing else runs but such batches on other instances. */
  runSynthetic(run: SyntheticRun): Promise<SyntheticTiming>;
  /** Frees the synthetic inputs that the worker keeps between runs. */
  releaseSynthetic(): void;
  /** Ends the synthetic run that goes on, if one does, at its model's next operator; it then rejects with `RunAborted`. */
  abortSynthetic(): void;
  /** Resolves when the process after a lost one is ready, at once where none is lost; rejects where that one is lost as well. */
  recovered(): Promise<void>;
  /** Gives up on the process, whatever it runs; a new one is started. */
  replace(message: string): void;
  readonly spare: SpareWorker;
  /** Ends the process; resolves when it is gone. A running batch ends as `worker-lost`; no event follows. */
  close(): Promise<void>;
}

type Areas = { readonly maxStagedBytes: number; readonly sharedBytes: number };

/** Starts a worker; resolves when its sessions stand. @throws ModelLoadError */
export async function startProcessPool(options: ProcessPoolOptions): Promise<ProcessPool> {
  options.interruption?.throwIfAborted();
  const { maxStagedBytes = DEFAULT_MAX_STAGED_BYTES, sharedBytes = sharedBytesOf(maxStagedBytes) } = options;
  const supervisor = new WorkerSupervisor({ ...options, sharedBytes });
  options.interruption?.addEventListener('abort', () => void supervisor.close(), { once: true });
  try {
    const facts = await supervisor.start();
    return new LiveProcessPool({ ...options, maxStagedBytes, sharedBytes }, supervisor, facts);
  } catch (error) {
    await supervisor.close();
    throw error;
  }
}

class LiveProcessPool implements ProcessPool {
  readonly instanceCount: number;
  readonly isOneProcess = true;
  readonly threadCounts: readonly number[];
  readonly facts: WorkerFacts;
  readonly spare: SpareWorker;
  readonly #supervisor: WorkerSupervisor;
  readonly #nowMs: () => number;
  readonly #unreadSinceMs: () => number;
  readonly #memoryMaxBatchSize: number;
  readonly #lendsOutputs: boolean;
  readonly #runWatch: RunWatch;
  readonly #synthetic: SyntheticLoad;
  #isBatchable = false;
  #onEvent: ((event: WorkerPoolEvent) => void) | null = null;
  /** While there is no worker: why, and when it should be back. */
  #loss: { readonly message: string; readonly readyAtMs: number } | null = null;

  readonly #staging: InputStaging;
  readonly #batches = new Map<number, RunningBatch>();
  #awaitingRecovery: { readonly fulfil: () => void; readonly reject: (error: Error) => void }[] = [];

  constructor(options: ProcessPoolOptions & Areas, supervisor: WorkerSupervisor, facts: WorkerFacts) {
    this.instanceCount = options.joins.length;
    this.threadCounts = options.threadCounts;
    this.facts = facts;
    this.spare = supervisor.spare;
    this.#supervisor = supervisor;
    this.#nowMs = options.nowMs;
    this.#unreadSinceMs = options.unreadSinceMs ?? options.nowMs;
    this.#memoryMaxBatchSize = options.maxBatchSize;
    this.#lendsOutputs = options.lendsOutputs ?? false;
    this.#runWatch = new RunWatch({
      ...(options.runLimits ?? DEFAULT_RUN_LIMITS),
      nowMs: options.nowMs,
      usedSeconds: (instance) => usedSecondsOf(this.pid, supervisor.threadIds[instance] ?? []),
      onOverrun: (batchId, message) => {
        const batch = this.#batches.get(batchId);
        if (batch !== undefined) this.#abort(batchId, batch, message);
      },
      onHang: (message) => this.replace(message),
    });
    const stagingPort = {
      place: (inputs: readonly Tensor[]): PlacedInputs | null => placeInputs(supervisor.inputs, inputs),
      send: ({ sequence, outputNames, inputs }: StagedInputs): void =>
        supervisor.readyLink?.sendInputs({ sequence, outputNames }, inputs),
      unstage: (sequence: number): void => supervisor.readyLink?.sendControl({ kind: 'unstage', sequence }),
      onHang: (message: string): void => supervisor.replace(message),
    };
    this.#staging = new InputStaging(stagingPort, options.maxStagedBytes - 2 * options.sharedBytes);
    this.#synthetic = new SyntheticLoad({
      stage: (sequence, inputs) => this.#stageSynthetic(sequence, inputs),
      unstage: (sequence) => this.unstage(sequence),
      run: (run) => this.#runSynthetic(run),
    });
    supervisor.listen({
      onMessage: (message) => this.#onMessage(message),
      onOutput: (batchId, slot, tensors) => this.#onOutput(batchId, slot, tensors),
      onLost: (message, restartEstimateMs, isCrash) => this.#onLost(message, restartEstimateMs, isCrash),
      onSpareSettled: () => this.#onEvent?.({ kind: 'spare-settled' }),
      onReady: (isTakeover) => this.#onReady(isTakeover),
    });
  }

  get pid(): number {
    return this.#supervisor.readyLink?.pid ?? 0;
  }

  get inferenceTids(): readonly number[] {
    return this.#supervisor.inferenceTids;
  }

  get inputArena(): InputArena | null {
    return this.#supervisor.inputs;
  }

  get startMs(): number {
    return this.#supervisor.startMs;
  }

  get signature(): ModelSignature {
    return this.facts.signature;
  }

  get maxBatchSize(): number {
    return this.#isBatchable ? this.#memoryMaxBatchSize : 1;
  }

  // ---- WorkerPool --------------------------------------------------------------------------------------------------

  isReady(): boolean {
    return this.#supervisor.readyLink !== null;
  }

  listen(onEvent: (event: WorkerPoolEvent) => void): void {
    this.#onEvent = onEvent;
    const loss = this.#loss;
    if (loss === null) return;
    // Lost before anybody listened.
    setImmediate(() => {
      if (this.#loss !== loss) return;
      onEvent({ kind: 'lost', message: loss.message, restartEstimateMs: Math.max(0, loss.readyAtMs - this.#nowMs()) });
    });
  }

  stage({ sequence, inputs, outputNames }: AdmittedRequest, onStaged: () => void): void {
    this.#stage({ sequence, inputs, outputNames, isSynthetic: false, onStaged, onLost: null });
  }

  unstage(sequence: number): void {
    if (!this.#staging.remove(sequence)) this.#dropRunning(sequence);
  }

  start(run: BatchRun, onDone: (result: BatchResult) => void): void {
    this.#start(run, false, onDone);
  }

  replace(message: string): void {
    this.#supervisor.replace(message);
  }

  // ---- ProcessPool -------------------------------------------------------------------------------------------------

  setBatchable(isBatchable: boolean): void {
    this.#isBatchable = isBatchable;
  }

  runBatch(batch: readonly Sample[]): Promise<readonly (readonly Tensor[])[] | string> {
    return this.#synthetic.runOnce(batch, this.threadCounts[0]!);
  }

  runSynthetic(run: SyntheticRun): Promise<SyntheticTiming> {
    return this.#synthetic.run(run);
  }

  releaseSynthetic(): void {
    this.#synthetic.release();
    this.#supervisor.readyLink?.sendControl({ kind: 'release-memory' });
  }

  abortSynthetic(): void {
    for (const [batchId, batch] of this.#batches) {
      if (isSynthetic(batchId)) this.#abort(batchId, batch, 'the worker is needed for something else');
    }
  }

  recovered(): Promise<void> {
    if (this.#supervisor.readyLink !== null) return Promise.resolve();
    return new Promise((fulfil, reject) => this.#awaitingRecovery.push({ fulfil, reject }));
  }

  close(): Promise<void> {
    return this.#supervisor.close();
  }

  #stage(staged: StagedInputs): void {
    if (this.#supervisor.readyLink === null) {
      const message = this.#loss?.message ?? 'the worker is gone';
      setImmediate(() => staged.onLost?.(message));
      return;
    }
    this.#staging.add(staged);
  }

  // ---- batches -----------------------------------------------------------------------------------------------------

  #start(run: BatchRun, isKept: boolean, onDone: (result: BatchResult) => void): void {
    const { batchId, instance, sequences, threadCount } = run;
    const link = this.#supervisor.readyLink;
    if (link === null) {
      setImmediate(onDone, { kind: 'worker-lost', message: this.#loss?.message ?? 'the worker is gone' });
      return;
    }
    if (instance >= this.instanceCount) throw new Error(`there is no instance ${instance}`);
    if (!this.threadCounts.includes(threadCount)) throw new Error(`there is no session for ${threadCount} threads`);
    for (const sequence of sequences)
      if (!this.#staging.isStaged(sequence)) throw new Error(`batch ${batchId}: request ${sequence} is not staged`);
    const { byteCount, enclosed, tensors, placed, releasePlaces } = this.#staging.take(isKept ? [] : sequences);
    this.#batches.set(batchId, runningBatch({ instance, sequences, byteCount, releasePlaces, onDone }));
    this.#runWatch.begin(batchId, instance);
    link.run({ batchId, instance, sequences, threadCount, isKept, enclosed, placed }, tensors);
  }

  #dropRunning(sequence: number): void {
    for (const [batchId, batch] of this.#batches) {
      const slot = batch.sequences.indexOf(sequence);
      if (slot < 0) continue;
      batch.droppedSlots.add(slot);
      // Saves sending its outputs, if it comes in time.
      this.#supervisor.readyLink?.sendControl({ kind: 'unstage', sequence });
      if (batch.droppedSlots.size === batch.sequences.length)
        this.#abort(batchId, batch, 'all who waited for it have left');
    }
  }

  #onMessage(message: Extract<ControlToRouter, { kind: 'staged' | 'done' | 'failed' | 'aborted' }>): void {
    if (message.kind === 'staged') {
      this.#staging.confirm(message.sequence);
      return;
    }
    const { batchId } = message;
    const batch = this.#batches.get(batchId);
    if (batch === undefined) throw new FrameError(`the worker answered for batch ${batchId}, which is not running`);
    if (message.kind === 'failed') {
      this.#finish(batchId, batch, { kind: 'backend-error', message: message.message });
      return;
    }
    if (message.kind === 'aborted') {
      this.#finish(batchId, batch, { kind: 'aborted', message: batch.abortReason ?? 'the run was ended' });
      return;
    }
    const { enclosed, placed, following, computeMs } = message;
    batch.finished = { outputCount: enclosed.length + placed.length + following, computeMs };
    this.#finishWhenComplete(batchId, batch);
  }

  #onOutput(batchId: number, slot: number, tensors: readonly Tensor[]): void {
    const batch = this.#batches.get(batchId);
    if (batch === undefined) throw new FrameError(`the worker sent outputs of batch ${batchId}, which is not running`);
    if (batch.outputs[slot] !== null) throw new FrameError(`batch ${batchId} has no member ${slot} to have outputs of`);
    batch.outputs[slot] = this.#lendsOutputs && !isSynthetic(batchId) ? tensors : keptTensors(tensors);
    batch.receivedCount++;
    this.#finishWhenComplete(batchId, batch);
  }

  /** `done` and the outputs that follow it come on separate connections, in any order. */
  #finishWhenComplete(batchId: number, batch: RunningBatch): void {
    const { finished, receivedCount, droppedSlots } = batch;
    if (finished === null || receivedCount < finished.outputCount) return;
    const outputs = batch.outputs.map((tensors, slot) => (droppedSlots.has(slot) ? null : tensors));
    const unreadMs = this.#nowMs() - this.#unreadSinceMs();
    this.#finish(batchId, batch, { kind: 'completed', outputs, computeMs: finished.computeMs, unreadMs });
  }

  /** Asks for the end of a run; it comes at the model's next operator. */
  #abort(batchId: number, batch: RunningBatch, reason: string): void {
    if (batch.abortReason !== null) return;
    batch.abortReason = reason;
    this.#supervisor.readyLink?.sendControl({ kind: 'abort', batchId });
  }

  #finish(batchId: number, batch: RunningBatch, result: BatchResult): void {
    this.#batches.delete(batchId);
    this.#runWatch.end(batchId);
    this.#staging.free(batch.byteCount);
    batch.releasePlaces();
    if (result.kind === 'completed') this.#supervisor.noteCompleted();
    batch.onDone(result);
    // Whoever reads them later holds them by now.
    for (const tensors of batch.outputs) releaseAll(tensors ?? []);
  }

  // ---- the process -------------------------------------------------------------------------------------------------

  #onLost(message: string, restartEstimateMs: number | null, isCrash: boolean): void {
    const lost = this.#staging.clear();
    const batches = [...this.#batches.values()];
    this.#batches.clear();
    this.#runWatch.reset();
    this.#synthetic.forget();
    this.#loss = { message, readyAtMs: this.#nowMs() + (restartEstimateMs ?? Infinity) };
    for (const { reject } of this.#awaitingRecovery.splice(0)) reject(new WorkerLostError(message));
    for (const { onDone } of batches) onDone({ kind: 'worker-lost', message, ...(isCrash ? { isCrash } : {}) });
    for (const request of lost) request.onLost?.(message);
    if (restartEstimateMs !== null) this.#onEvent?.({ kind: 'lost', message, restartEstimateMs });
    // Not before: what ended the worker is looked at once more.
    for (const { releasePlaces } of batches) releasePlaces();
  }

  #onReady(isTakeover: boolean): void {
    this.#loss = null;
    for (const { fulfil } of this.#awaitingRecovery.splice(0)) fulfil();
    if (this.instanceCount > 1) this.#onEvent?.({ kind: 'instances-changed' });
    this.#onEvent?.({ kind: 'ready', ...(isTakeover ? { isTakeover } : {}) });
  }

  // ---- synthetic load ----------------------------------------------------------------------------------------------

  #stageSynthetic(sequence: number, inputs: readonly Tensor[]): Promise<void> {
    return new Promise((onStaged, reject) => {
      const onLost = (message: string): void => reject(new WorkerLostError(message));
      this.#stage({ sequence, inputs, outputNames: [], isSynthetic: true, onStaged, onLost });
    });
  }

  #runSynthetic(run: BatchRun): Promise<{ result: SyntheticResult; latencyMs: number }> {
    return new Promise((resolve, reject) => {
      for (const [batchId, { instance }] of this.#batches) {
        if (isSynthetic(batchId) && instance !== run.instance) continue;
        throw new Error('a batch is running: its time would count as that of the synthetic one');
      }
      const startedAtMs = this.#nowMs();
      this.#start(run, true, (result) => {
        const latencyMs = this.#nowMs() - startedAtMs;
        if (result.kind === 'worker-lost') reject(new WorkerLostError(result.message));
        else if (result.kind === 'aborted') reject(new RunAborted(result.message));
        else resolve({ result, latencyMs });
      });
    });
  }
}
