import { readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { JoinInstruction } from '../scalers/join.js';
import { InputArena } from '../arena/input-arena.js';
import { confinementGap, workerUser, type ConfinementOptions, type WorkerUser } from './confinement.js';
import { LaunchedWorker, type WorkerOwner } from './launched-worker.js';
import { oneLine } from './load-failure.js';
import type { ModelFile } from './model-bytes.js';
import type { ControlToRouter, LoadInstruction, WorkerFacts } from './messages.js';
import { SpareWorker } from './spare-worker.js';
import { whereShared, type WorkerLink } from './worker-link.js';

/*
 * Keeps one worker process alive: at once after the first failure in a row, then with growing delays. In a row are losses with
 * nothing completed in between, and loads that fail: a worker that serves between its crashes is never waited for. A model that never
 * loaded is not tried again: it will not load the next time either. Where a spare stands by, it takes over instead.
 */

export interface SupervisorOptions extends ConfinementOptions {
  readonly modelPath: string;
  /** ONNX Runtime intra-op thread counts to keep sessions for, ascending. */
  readonly threadCounts: readonly number[];
  /** By instance, at least one: how its threads enter their CPU group. */
  readonly joins: readonly JoinInstruction[];
  /** What `joins` is for a process that replaces a lost one, whose groups others may have removed; absent: the same. */
  readonly rejoin?: () => readonly JoinInstruction[];
  /** What another worker of this model was loaded from; absent for the first. */
  readonly expectedFiles?: readonly ModelFile[];
  /** Milliseconds of a monotonic clock. */
  readonly nowMs: () => number;
  /** Lines for the operator: what the worker wrote to stderr, and how it ended. */
  readonly onLog: (line: string) => void;
  /** Every process whose inference threads, one an instance, joined their CPU groups; it makes its sessions next. */
  readonly onSpawn?: (pid: number, inferenceTids: readonly number[]) => void;
  /** Of the memory that router and worker share for inputs, and again of that for outputs; absent or 0: all goes over the connections. */
  readonly sharedBytes?: number;
  /** The worker's compiled entry point. */
  readonly entryUrl?: URL;
  /** A process that is not ready by then counts as failed. */
  readonly startTimeoutMs?: number;
}

export interface SupervisorCallbacks {
  onMessage(message: Extract<ControlToRouter, { kind: 'staged' | 'done' | 'failed' | 'aborted' }>): void;
  onOutput(batchId: number, slot: number, tensors: readonly Tensor[]): void;
  /**
   * The process is gone, or a restart failed.
   * @param restartEstimateMs null after `close`: there will be no other   @param isCrash of a signal that an input can cause
   */
  onLost(message: string, restartEstimateMs: number | null, isCrash: boolean): void;
  /** A spare stands ready, or is not coming. */
  onSpareSettled(): void;
  /** Another process is ready. @param isTakeover it stood by when the one before it was lost */
  onReady(isTakeover: boolean): void;
}

/** The model did not load; the message is one line, for the operator. */
export class ModelLoadError extends Error {
  override readonly name = 'ModelLoadError';
}

/** Loading tens of gigabytes from a slow disk takes minutes; more than this is a hang. */
const DEFAULT_START_TIMEOUT_MS = 300_000;
const DEFAULT_ENTRY_URL = new URL('./worker-process.js', import.meta.url);
const FIRST_RESTART_DELAY_MS = 100;
/** Of a folder with more, that many are looked at: a command has room for no more names. */
const MOST_FILES_BESIDE = 200;
const MAX_RESTART_DELAY_MS = 10_000;
/** A worker that was ready this long, or has completed a batch, starts over with a clean record. */
const STABLE_AFTER_MS = 5000;

/** 0 after the first failure in a row, then 100 ms, doubling up to 10 s. */
export function restartDelayMs(earlierFailures: number): number {
  return earlierFailures === 0
    ? 0
    : Math.min(MAX_RESTART_DELAY_MS, FIRST_RESTART_DELAY_MS * 2 ** (earlierFailures - 1));
}

/** The model's, and what may be its weights: whatever lies in its folder but for what we write there. */
function filesBeside(modelPath: string): readonly string[] {
  try {
    const folder = dirname(modelPath);
    const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
    const names = entries
      .map(({ name }) => name)
      .filter((name) => !name.startsWith('.') && !name.includes('.profile.'));
    return [modelPath, ...names.slice(0, MOST_FILES_BESIDE).map((name) => join(folder, name))];
  } catch {
    return [modelPath]; // Loading says what is wrong.
  }
}

export class WorkerSupervisor {
  readonly spare: SpareWorker;
  /** Which all processes read; null where memory is not shared. */
  readonly #inputs: InputArena | null;
  readonly #options: SupervisorOptions;
  readonly #instruction: LoadInstruction;
  #user: WorkerUser | null = null;
  #callbacks: SupervisorCallbacks | null = null;
  #firstStart: { fulfil(facts: WorkerFacts): void; reject(error: Error): void } | null = null;
  /** Of the first process that was ready. */
  #facts: WorkerFacts | null = null;

  /** The current process, loading or ready. */
  #worker: LaunchedWorker | null = null;
  #isClosed = false;
  /** Every process that has not ended yet; a killed one may take a moment. */
  readonly #living = new Set<LaunchedWorker>();

  /** The latest that was not a spare. */
  #launchedHere: LaunchedWorker | null = null;
  /** Its time from launch to ready, on the model's own CPU. */
  #startMs = 0;
  #failureCount = 0;
  #timer: NodeJS.Timeout | undefined;

  readonly #owner: WorkerOwner = {
    onJoined: ({ link, inferenceTids }) => this.#options.onSpawn?.(link.pid, inferenceTids),
    onReady: (worker) => this.#onLoaded(worker),
    onMessage: (message) => this.#callbacks?.onMessage(message),
    onOutput: (batchId, slot, tensors) => this.#callbacks?.onOutput(batchId, slot, tensors),
    onLost: (worker, message, isCrash) => this.#onLost(worker, message, isCrash),
  };

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { modelPath, threadCounts, joins, expectedFiles = null, sharedBytes = 0 } = options;
    this.#inputs = sharedBytes > 0 ? whereShared(() => InputArena.open(sharedBytes), options.onLog) : null;
    this.#instruction = { modelPath: resolve(modelPath), threadCounts, joins, expectedFiles };
    this.spare = new SpareWorker({
      launch: (spareJoins, owner) => this.#launch(spareJoins, owner),
      onSettled: () => this.#callbacks?.onSpareSettled(),
      groups: () => this.#groups(),
    });
  }

  /** Starts the first process; resolves when its sessions stand. @throws ModelLoadError */
  start(): Promise<WorkerFacts> {
    const gap = confinementGap();
    if (gap !== null) this.#options.onLog(gap);
    const { workerUser: name = null, onLog, entryUrl = DEFAULT_ENTRY_URL } = this.#options;
    const files = [process.execPath, fileURLToPath(entryUrl), ...filesBeside(this.#instruction.modelPath)];
    this.#user = workerUser(name, files, onLog);
    return new Promise((fulfil, reject) => {
      this.#firstStart = { fulfil, reject };
      this.#startWorker();
    });
  }

  listen(callbacks: SupervisorCallbacks): void {
    this.#callbacks = callbacks;
  }

  /** The process to talk to; null while there is none. */
  get readyLink(): WorkerLink | null {
    return this.#worker?.isReady === true ? this.#worker.link : null;
  }

  /** What the current process reads; null where inputs go over its connection. */
  get inputs(): InputArena | null {
    return this.readyLink?.isSharing === true ? this.#inputs : null;
  }

  /** By instance, of the current process; empty while there is none. */
  get inferenceTids(): readonly number[] {
    return this.#worker?.inferenceTids ?? [];
  }

  /** By instance: all that compute for it. */
  get threadIds(): readonly (readonly number[])[] {
    return this.#worker?.threadIds ?? [];
  }

  get startMs(): number {
    return this.#startMs;
  }

  /** A batch was completed: whatever ended earlier processes, this one works. */
  noteCompleted(): void {
    this.#failureCount = 0;
  }

  /** Ends the current process, hung or not; a new one follows. */
  replace(message: string): void {
    this.#worker?.end(message);
  }

  /** Ends the processes for good, which is reported at once; resolves when none is left. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    const living = [...this.#living];
    for (const worker of living) worker.end('the worker was stopped');
    await Promise.all(living.map(({ ended }) => ended));
    this.#inputs?.close();
  }

  /** @throws Error, one line, where no process can be started */
  #launch(joins: readonly JoinInstruction[], owner: WorkerOwner): LaunchedWorker {
    if (this.#isClosed) throw new Error('the worker was stopped');
    const { entryUrl = DEFAULT_ENTRY_URL, startTimeoutMs = DEFAULT_START_TIMEOUT_MS, nowMs, onLog } = this.#options;
    const expectedFiles = this.#facts?.files ?? this.#instruction.expectedFiles;
    const instruction = { ...this.#instruction, joins, expectedFiles };
    const problemOf = (facts: WorkerFacts): string | null => this.#problemOf(facts);
    const confinement = { user: this.#user, memoryBytes: this.#options.workerMemoryBytes ?? null };
    const launch = {
      ...{ entryUrl, instruction, confinement, inputs: this.#inputs },
      ...{ startTimeoutMs, problemOf, nowMs, onLog },
    };
    const worker = new LaunchedWorker(launch, owner);
    this.#living.add(worker);
    void worker.ended.then(() => this.#living.delete(worker));
    return worker;
  }

  #startWorker(): void {
    try {
      this.#launchedHere = this.#launch(this.#groups(), this.#owner);
      this.#worker = this.#launchedHere;
    } catch (error) {
      setImmediate(() => this.#afterLoss(oneLine(error), false));
    }
  }

  /** Others may have removed those of the first start. */
  #groups(): readonly JoinInstruction[] {
    return (this.#facts === null ? undefined : this.#options.rejoin?.()) ?? this.#instruction.joins;
  }

  /** Whether it is the model that is served. */
  #problemOf({ signature }: WorkerFacts): string | null {
    if (this.#facts === null || JSON.stringify(signature) === JSON.stringify(this.#facts.signature)) return null;
    return `${this.#instruction.modelPath} changed its inputs or outputs while it was served; restart the server`;
  }

  #onLoaded(worker: LaunchedWorker): void {
    if (worker === this.#launchedHere) this.#startMs = worker.readyAtMs - worker.launchedAtMs;
    this.#facts = worker.facts;
    this.#firstStart?.fulfil(worker.facts!);
    this.#firstStart = null;
    this.#callbacks?.onReady(false);
  }

  #onLost(worker: LaunchedWorker, message: string, isCrash: boolean): void {
    if (this.#worker !== worker) return;
    const wasStable = worker.isReady && this.#options.nowMs() - worker.readyAtMs >= STABLE_AFTER_MS;
    if (wasStable) this.#failureCount = 0;
    this.#worker = null;
    this.#afterLoss(message, isCrash);
  }

  #afterLoss(message: string, isCrash: boolean): void {
    if (this.#firstStart !== null) {
      this.#firstStart.reject(new ModelLoadError(message));
      return;
    }
    if (this.#isClosed) {
      this.#callbacks?.onLost(message, null, false);
      return;
    }
    const delayMs = restartDelayMs(this.#failureCount++);
    if (this.#takeOver(message, isCrash)) return;
    this.#options.onLog(`worker lost: ${message}; starting it again in ${delayMs} ms`);
    this.#timer = setTimeout(() => this.#startWorker(), delayMs);
    this.#callbacks?.onLost(message, delayMs + this.#startMs, isCrash);
  }

  /** @returns whether there was a spare */
  #takeOver(message: string, isCrash: boolean): boolean {
    const spare = this.spare.take(this.#owner);
    if (spare === null) return false;
    const isLoaded = spare.isReady;
    this.#options.onLog(`worker lost: ${message}; the spare ${isLoaded ? 'takes over' : 'is being loaded already'}`);
    const leftMs = spare.launchedAtMs + this.#startMs - this.#options.nowMs();
    this.#callbacks?.onLost(message, isLoaded ? 0 : Math.max(0, leftMs), isCrash);
    this.#worker = spare;
    if (isLoaded) this.#callbacks?.onReady(true);
    return true;
  }
}
