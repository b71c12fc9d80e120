import type { Worker } from 'node:worker_threads';
import { startModuleThread } from '../../../threads/module-thread.js';
import { oneLine } from '../../workers/load-failure.js';
import type { FunctionLimits, FunctionOutput } from '../../../scheduler/pipeline/step-target.js';
import type { FunctionCall, FunctionReport, FunctionThreadData } from './function-thread.js';

/*
 * One thread of a function. A call that takes too long ends its thread, as nothing else ends a loop; so does one that needs too much memory, and
 * one after which too much is left. Another thread takes its place.
 */

/** What its module may take to load. */
const LOAD_LIMIT_MS = 20_000;
/** Between two tries to start, where one has failed. */
const RESTART_PAUSE_MS = 1000;

export type CallEnd = Extract<FunctionReport, { kind: 'done' }> | { readonly kind: 'failed'; readonly message: string };

export interface RunnerOptions {
  readonly file: string;
  readonly outputs: readonly FunctionOutput[];
  readonly limits: FunctionLimits;
  /** Of a function of the server's own. */
  readonly options?: unknown;
  /** It takes a call now, or cannot take any for a while. */
  readonly onFree: () => void;
  readonly onLog: (line: string) => void;
}

export class FunctionRunner {
  readonly #options: RunnerOptions;
  #thread: Worker | null = null;
  #isUp = false;
  #call: { readonly onEnd: (end: CallEnd) => void; readonly timer: NodeJS.Timeout } | null = null;
  #restart: NodeJS.Timeout | undefined;
  #isClosed = false;
  #unusable = '';
  /** Told once: of the first start. */
  #onStarted: ((unusable: string) => void) | null = null;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  get isFree(): boolean {
    return this.#isUp && this.#call === null;
  }

  /** Why its module cannot be used; '' as far as is known. */
  get unusable(): string {
    return this.#unusable;
  }

  /** Resolves when it is up. @throws Error of one line where its module cannot be used */
  async start(): Promise<void> {
    const unusable = await new Promise<string>((resolve) => {
      this.#onStarted = resolve;
      this.#begin();
    });
    if (unusable !== '') throw new Error(unusable);
  }

  /** `onEnd` is called once, never inside this call. */
  run(call: FunctionCall, onEnd: (end: CallEnd) => void): void {
    const { timeMs } = this.#options.limits;
    const timer = setTimeout(() => this.#end(`it ran longer than ${timeMs} ms (time_limit_ms)`), timeMs);
    this.#call = { onEnd, timer };
    const values = call.inputs.flatMap(([, value]) => [value].flat().filter((each) => each !== null));
    this.#thread!.postMessage(call, [...new Set(values.map(({ bytes }) => bytes.buffer))]);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#restart);
    await this.#thread?.terminate();
  }

  #begin(): void {
    const { file, outputs, limits, options } = this.#options;
    const workerData: FunctionThreadData = { file, outputs, ...(options === undefined ? {} : { options }) };
    const thread = startModuleThread(import.meta.url, './function-thread.js', {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: limits.memoryMib },
    });
    this.#thread = thread;
    let cause = 'its thread ended';
    let wasUp = false;
    const loading = setTimeout(() => {
      cause = `it did not load within ${LOAD_LIMIT_MS} ms`;
      void thread.terminate();
    }, LOAD_LIMIT_MS);
    thread.on('message', (report: FunctionReport) => {
      if (this.#thread !== thread) return;
      if (report.kind === 'ready') {
        clearTimeout(loading);
        wasUp = true;
        this.#isUp = true;
        this.#tellStarted('');
        this.#options.onFree();
      } else if (report.kind === 'unusable') {
        cause = report.message;
        void thread.terminate();
      } else this.#answered(report);
    });
    thread.on('error', (error: unknown) => {
      const isMemory = (error as { code?: unknown }).code === 'ERR_WORKER_OUT_OF_MEMORY';
      cause = isMemory ? `it needed more memory than ${limits.memoryMib} MiB (memory_mib)` : oneLine(error);
    });
    thread.on('exit', () => {
      clearTimeout(loading);
      if (this.#thread === thread) this.#ended(cause, wasUp);
    });
    // What it runs keeps no server from ending.
    thread.unref();
  }

  #answered(report: Extract<FunctionReport, { kind: 'done' | 'failed' }>): void {
    const { memoryMib } = this.#options.limits;
    const isOver = report.heldBytes > memoryMib * 1024 ** 2;
    if (isOver) {
      const heldMib = Math.ceil(report.heldBytes / 1024 ** 2);
      this.#options.onLog(
        `function ${this.#options.file} holds ${heldMib} MiB after a call, and may hold ${memoryMib}: its thread is replaced`,
      );
      this.#replace();
    }
    this.#tell(report);
    if (this.isFree) this.#options.onFree();
  }

  /** By force. */
  #end(message: string): void {
    this.#options.onLog(`function ${this.#options.file}: ${message}; its thread is replaced`);
    this.#replace();
    this.#tell({ kind: 'failed', message });
  }

  #replace(): void {
    const old = this.#thread;
    this.#thread = null;
    this.#isUp = false;
    void old?.terminate();
    this.#begin();
  }

  #tell(end: CallEnd): void {
    const call = this.#call;
    this.#call = null;
    clearTimeout(call?.timer);
    call?.onEnd(end);
  }

  /** By itself. */
  #ended(cause: string, wasUp: boolean): void {
    this.#isUp = false;
    this.#thread = null;
    if (this.#isClosed) {
      this.#tell({ kind: 'failed', message: 'the server is shutting down' });
      return;
    }
    if (wasUp) {
      this.#options.onLog(`function ${this.#options.file}: ${cause}; its thread is replaced`);
      this.#begin();
    } else {
      this.#unusable = cause;
      const isFirst = this.#onStarted !== null;
      this.#tellStarted(cause);
      if (!isFirst) this.#restart = setTimeout(() => this.#begin(), RESTART_PAUSE_MS).unref();
    }
    this.#tell({ kind: 'failed', message: cause });
    if (this.#unusable !== '') this.#options.onFree();
  }

  #tellStarted(unusable: string): void {
    this.#unusable = unusable;
    const tell = this.#onStarted;
    this.#onStarted = null;
    tell?.(unusable);
  }
}
