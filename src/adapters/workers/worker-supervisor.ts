import { resolve } from 'node:path';
import type { Tensor } from '../../domain/tensor.js';
import type { JoinInstruction } from '../scalers/join.js';
import { oneLine } from './load-failure.js';
import type { ModelFile } from './model-bytes.js';
import type { ControlToRouter, LoadInstruction, WorkerFacts } from './messages.js';
import { WorkerLink } from './worker-link.js';

/*
 * Keeps one worker process alive: at once after the first failure in a row, then with growing delays. A model that never
 * loaded is not tried again: it will not load the next time either.
 */

export interface SupervisorOptions {
  readonly modelPath: string;
  /** ONNX Runtime intra-op thread counts to keep sessions for, ascending. */
  readonly threadCounts: readonly number[];
  /** How the inference thread enters its CPU group. */
  readonly join: JoinInstruction;
  /** What another worker of this model was loaded from; absent for the first. */
  readonly expectedFiles?: readonly ModelFile[];
  /** Milliseconds of a monotonic clock. */
  readonly nowMs: () => number;
  /** Lines for the operator: what the worker wrote to stderr, and how it ended. */
  readonly onLog: (line: string) => void;
  /** Every process whose inference thread joined its CPU group; it makes its sessions next. */
  readonly onSpawn?: (pid: number, inferenceTid: number) => void;
  /** The worker's compiled entry point. */
  readonly entryUrl?: URL;
  /** A process that is not ready by then counts as failed. */
  readonly startTimeoutMs?: number;
}

export interface SupervisorCallbacks {
  onMessage(message: Extract<ControlToRouter, { kind: 'staged' | 'done' | 'failed' | 'aborted' }>): void;
  onOutput(batchId: number, slot: number, tensors: readonly Tensor[]): void;
  /** The process is gone, or a restart failed. @param restartEstimateMs null after `close`: there will be no other */
  onLost(message: string, restartEstimateMs: number | null): void;
  /** A restarted process is ready. */
  onReady(): void;
}

/** The model did not load; the message is one line, for the operator. */
export class ModelLoadError extends Error {
  override readonly name = 'ModelLoadError';
}

/** Loading tens of gigabytes from a slow disk takes minutes; more than this is a hang. */
const DEFAULT_START_TIMEOUT_MS = 300_000;
const FIRST_RESTART_DELAY_MS = 100;
const MAX_RESTART_DELAY_MS = 10_000;
/** A worker that was ready this long starts over with a clean record. */
const STABLE_AFTER_MS = 30_000;

/** 0 after the first failure in a row, then 100 ms, doubling up to 10 s. */
export function restartDelayMs(earlierFailures: number): number {
  return earlierFailures === 0
    ? 0
    : Math.min(MAX_RESTART_DELAY_MS, FIRST_RESTART_DELAY_MS * 2 ** (earlierFailures - 1));
}

export class WorkerSupervisor {
  readonly #options: SupervisorOptions;
  readonly #instruction: LoadInstruction;
  #callbacks: SupervisorCallbacks | null = null;
  #firstStart: { fulfil(facts: WorkerFacts): void; reject(error: Error): void } | null = null;
  #facts: WorkerFacts | null = null;

  /** The current process, loading or ready. */
  #link: WorkerLink | null = null;
  #isReady = false;
  #isClosed = false;
  #inferenceTid = 0;
  /** Every process that has not ended yet, with what to call then; a killed one may take a moment. */
  readonly #living = new Map<WorkerLink, () => void>();

  #launchedAtMs = 0;
  #readyAtMs = 0;
  #startMs = 0;
  #failureCount = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { modelPath, threadCounts, join, expectedFiles = null } = options;
    this.#instruction = { modelPath: resolve(modelPath), threadCounts, join, expectedFiles };
  }

  /** Starts the first process; resolves when its sessions stand. @throws ModelLoadError */
  start(): Promise<WorkerFacts> {
    return new Promise((fulfil, reject) => {
      this.#firstStart = { fulfil, reject };
      this.#launch();
    });
  }

  listen(callbacks: SupervisorCallbacks): void {
    this.#callbacks = callbacks;
  }

  /** The process to talk to; null while there is none. */
  get readyLink(): WorkerLink | null {
    return this.#isReady ? this.#link : null;
  }

  get inferenceTid(): number {
    return this.#link === null ? 0 : this.#inferenceTid;
  }

  /** Launch → ready, of the latest start. */
  get startMs(): number {
    return this.#startMs;
  }

  /** Ends the current process, hung or not; a new one follows. */
  replace(message: string): void {
    const link = this.#link;
    if (link === null) return;
    this.#end(link, message);
  }

  /** Ends the process for good, which is reported at once; resolves when no process is left. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    const ends = [...this.#living.keys()].map(
      (link) =>
        new Promise<void>((done) => {
          this.#living.set(link, done);
          this.#end(link, 'the worker was stopped');
        }),
    );
    await Promise.all(ends);
  }

  #end(link: WorkerLink, message: string): void {
    link.kill(message);
    // Not left to the process's end, which can take long: the kernel is busy with its memory, or it is frozen.
    setImmediate(() => this.#lose(link, message));
  }

  #launch(): void {
    const { entryUrl = new URL('./worker-process.js', import.meta.url), onLog } = this.#options;
    this.#launchedAtMs = this.#options.nowMs();
    let link: WorkerLink;
    try {
      const expectedFiles = this.#facts?.files ?? this.#instruction.expectedFiles;
      link = new WorkerLink(
        entryUrl,
        { ...this.#instruction, expectedFiles },
        {
          onMessage: (message) => {
            if (this.#link === link) this.#onMessage(link, message);
          },
          onOutput: (batchId, slot, tensors) => {
            if (this.#link === link) this.#callbacks?.onOutput(batchId, slot, tensors);
          },
          onLog,
          onGone: (reason) => {
            this.#lose(link, reason);
            this.#living.get(link)?.();
            this.#living.delete(link);
          },
        },
      );
    } catch (error) {
      setImmediate(() => this.#afterLoss(oneLine(error)));
      return;
    }
    this.#link = link;
    this.#living.set(link, () => undefined);
    const startTimeoutMs = this.#options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS;
    this.#timer = setTimeout(() => {
      const { modelPath } = this.#instruction;
      this.replace(`cannot load ${modelPath}: not ready after ${startTimeoutMs} ms; raise the start timeout`);
    }, startTimeoutMs);
  }

  #onMessage(link: WorkerLink, message: Exclude<ControlToRouter, { kind: 'load-failed' }>): void {
    switch (message.kind) {
      case 'joined':
        this.#inferenceTid = message.inferenceTid;
        this.#options.onSpawn?.(link.pid, message.inferenceTid);
        return;
      case 'ready':
        this.#onReady(link, message.facts);
        return;
      case 'notice':
        this.#options.onLog(message.message);
        return;
      default:
        this.#callbacks?.onMessage(message);
    }
  }

  #onReady(link: WorkerLink, facts: WorkerFacts): void {
    clearTimeout(this.#timer);
    if (this.#facts !== null && JSON.stringify(facts.signature) !== JSON.stringify(this.#facts.signature)) {
      link.kill(`${this.#instruction.modelPath} changed its inputs or outputs while it was served; restart the server`);
      return;
    }
    this.#isReady = true;
    this.#readyAtMs = this.#options.nowMs();
    this.#startMs = this.#readyAtMs - this.#launchedAtMs;
    this.#facts = facts;
    this.#firstStart?.fulfil(facts);
    this.#firstStart = null;
    this.#callbacks?.onReady();
  }

  #lose(link: WorkerLink, message: string): void {
    if (this.#link !== link) return;
    const nowMs = this.#options.nowMs();
    if (this.#isReady && nowMs - this.#readyAtMs >= STABLE_AFTER_MS) this.#failureCount = 0;
    this.#link = null;
    this.#isReady = false;
    clearTimeout(this.#timer);
    this.#afterLoss(message);
  }

  #afterLoss(message: string): void {
    if (this.#firstStart !== null) {
      this.#firstStart.reject(new ModelLoadError(message));
      return;
    }
    if (this.#isClosed) {
      this.#callbacks?.onLost(message, null);
      return;
    }
    const delayMs = restartDelayMs(this.#failureCount++);
    this.#options.onLog(`worker lost: ${message}; starting it again in ${delayMs} ms`);
    this.#timer = setTimeout(() => this.#launch(), delayMs);
    this.#callbacks?.onLost(message, delayMs + this.#startMs);
  }
}
