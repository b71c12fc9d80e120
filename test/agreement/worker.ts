import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { BatchResult, BatchRun, WorkerPool } from '../../src/scheduler/dataplane/worker-pool.js';
import type { AdmittedRequest } from '../../src/scheduler/domain/request.js';
import type { BatchWork } from './batch-work.js';
import type { MessageFromWorker, MessageToWorker, WorkerSetup } from './worker-process.js';

export interface WorkerOptions extends WorkerSetup {
  /** The bundled `worker-process.ts`. */
  readonly program: string;
  readonly maxBatchSize: number;
  readonly workOf: (batchSize: number) => BatchWork;
}

/** The worker process of this test as the system sees it: requests bring no inputs and get no outputs. */
export class AgreementWorker implements WorkerPool {
  readonly instanceCount = 1;
  readonly threadCounts: readonly number[];
  readonly maxBatchSize: number;
  /** Rejects when the process ends by itself. */
  readonly failure: Promise<never>;
  /** Of those that burn. */
  threadIds: readonly number[] = [];
  readonly #options: WorkerOptions;
  readonly #child: ChildProcess;
  #running: { readonly batchId: number; readonly onDone: (computeMs: number) => void } | null = null;
  #lastBatchId = 0;

  static async start(options: WorkerOptions): Promise<AgreementWorker> {
    const worker = new AgreementWorker(options);
    const ready = new Promise<void>((resolve) => {
      worker.#child.on('message', (message: MessageFromWorker) => {
        if (message.kind === 'ready') {
          worker.threadIds = message.threadIds;
          resolve();
        } else worker.#finish(message.batchId, message.computeMs);
      });
    });
    await Promise.race([ready, worker.failure]);
    return worker;
  }

  private constructor(options: WorkerOptions) {
    this.#options = options;
    this.threadCounts = Array.from({ length: options.threadCount }, (_, index) => index + 1);
    this.maxBatchSize = options.maxBatchSize;
    const { threadCount, join, cpuMillicores } = options;
    const setup: WorkerSetup = { threadCount, join, cpuMillicores };
    this.#child = fork(options.program, [JSON.stringify(setup)], { execArgv: [], stdio: 'inherit' });
    this.failure = once(this.#child, 'exit').then(() => {
      throw new Error('the worker process has ended; its error is above');
    });
    this.failure.catch(() => undefined); // Whoever waits for a batch hears of it.
  }

  get pid(): number {
    return this.#child.pid!;
  }

  listen(): void {
    // Nothing happens to it but its end, which ends the test.
  }

  stage(_request: AdmittedRequest, onStaged: () => void): void {
    setImmediate(onStaged);
  }

  unstage(): void {
    // There is nothing to forget.
  }

  start(run: BatchRun, onDone: (result: BatchResult) => void): void {
    const outputs = run.sequences.map(() => []);
    this.#run(run.sequences.length, run.threadCount, (computeMs) => onDone({ kind: 'completed', outputs, computeMs }));
  }

  replace(message: string): never {
    throw new Error(message);
  }

  /** One batch outside of any system. @returns dispatch → reply, ms */
  async runAlone(batchSize: number, threadCount: number): Promise<number> {
    const startedAtMs = performance.now();
    await Promise.race([new Promise<number>((resolve) => this.#run(batchSize, threadCount, resolve)), this.failure]);
    return performance.now() - startedAtMs;
  }

  /** Tells one that sleeps by which allocation. */
  resize(cpuMillicores: number): void {
    this.#send({ kind: 'resize', cpuMillicores });
  }

  /** Safe to call twice. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  #run(batchSize: number, threadCount: number, onDone: (computeMs: number) => void): void {
    if (this.#running !== null) throw new Error('a batch was started on a busy worker');
    const batchId = ++this.#lastBatchId;
    this.#running = { batchId, onDone };
    this.#send({ kind: 'run', batchId, work: this.#options.workOf(batchSize), threadCount });
  }

  #finish(batchId: number, computeMs: number): void {
    if (this.#running?.batchId !== batchId) throw new Error(`batch ${batchId} is not running`);
    const { onDone } = this.#running;
    this.#running = null;
    onDone(computeMs);
  }

  #send(message: MessageToWorker): void {
    this.#child.send(message);
  }
}
