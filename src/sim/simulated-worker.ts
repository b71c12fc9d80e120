import type { Clock, Timer } from '../clock/clock.js';
import type { BatchResult, BatchRun, WorkerPool, WorkerPoolEvent } from '../dataplane/worker-pool.js';
import type { AdmittedRequest } from '../domain/request.js';

export interface SimulatedWorkerOptions {
  readonly clock: Clock;
  readonly threadCounts: readonly number[];
  readonly maxBatchSize: number;
  /** Allocation at the start. */
  readonly cpuMillicores: number;
  /** True latency of a batch at an allocation, dispatch → reply. */
  readonly latencyMs: (batchSize: number, cpuMillicores: number) => number;
  /** Multiplies the latency of each batch; 1 for none. Called once a batch. */
  readonly noise: () => number;
  readonly stagingMs: number;
  readonly restartMs: number;
}

/** From the death of a process to its router knowing: the closed socket of a local process. */
const NEWS_MS = 1;

interface Running {
  readonly run: BatchRun;
  readonly onDone: (result: BatchResult) => void;
  readonly noise: number;
  readonly startedAtMs: number;
  remainingFraction: number;
  updatedAtMs: number;
  timer: Timer | null;
}

/**
 * A worker whose batches take what a latency function says, at the allocation in force: a resize in the middle of a batch
 * speeds it up or slows it down from then on, up to the threads that it started with. Runs on any clock; can be killed.
 */
export class SimulatedWorker implements WorkerPool {
  readonly instanceCount = 1;
  readonly threadCounts: readonly number[];
  readonly maxBatchSize: number;
  readonly #options: SimulatedWorkerOptions;
  readonly #clock: Clock;
  readonly #staged = new Set<number>();
  #onEvent: (event: WorkerPoolEvent) => void = () => undefined;
  #cpuMillicores: number;
  #running: Running | null = null;
  #incarnation = 0;
  #isUp = true;
  #isDownReported = false;

  constructor(options: SimulatedWorkerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.threadCounts = options.threadCounts;
    this.maxBatchSize = options.maxBatchSize;
    this.#cpuMillicores = options.cpuMillicores;
  }

  listen(onEvent: (event: WorkerPoolEvent) => void): void {
    this.#onEvent = onEvent;
  }

  stage(request: AdmittedRequest, onStaged: () => void): void {
    if (this.#isDownReported) throw new Error(`request ${request.sequence} was staged in a worker that is down`);
    if (!this.#isUp) return;
    const incarnation = this.#incarnation;
    this.#clock.schedule(this.#clock.nowMs() + this.#options.stagingMs, () => {
      if (incarnation !== this.#incarnation) return;
      this.#staged.add(request.sequence);
      onStaged();
    });
  }

  unstage(sequence: number): void {
    this.#staged.delete(sequence);
  }

  start(run: BatchRun, onDone: (result: BatchResult) => void): void {
    if (this.#isDownReported) throw new Error(`batch ${run.batchId} was started on a worker that is down`);
    if (this.#running !== null) throw new Error(`batch ${run.batchId} was started on a busy worker`);
    for (const sequence of run.sequences) {
      const isStaged = this.#staged.has(sequence) || !this.#isUp;
      if (!isStaged) throw new Error(`batch ${run.batchId} has request ${sequence}, which is not staged`);
    }
    const nowMs = this.#clock.nowMs();
    const running: Running = {
      run,
      onDone,
      noise: this.#options.noise(),
      startedAtMs: nowMs,
      remainingFraction: 1,
      updatedAtMs: nowMs,
      timer: null,
    };
    this.#running = running;
    if (this.#isUp) this.#rearm(running); // Otherwise its end is the report of the crash.
  }

  replace(message: string): void {
    this.kill(message);
  }

  setAllocation(cpuMillicores: number): void {
    const running = this.#running;
    const isAlive = running !== null && this.#isUp;
    if (isAlive) this.#advance(running);
    this.#cpuMillicores = cpuMillicores;
    if (isAlive) this.#rearm(running);
  }

  /**
   * The process dies now and is back after the restart time. As with a real one the news takes a moment: what is started
   * or staged in between is lost too.
   */
  kill(message: string): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    this.#incarnation += 1;
    this.#staged.clear();
    this.#running?.timer?.cancel();
    const nowMs = this.#clock.nowMs();
    this.#clock.schedule(nowMs + NEWS_MS, () => {
      const running = this.#running;
      this.#running = null;
      this.#isDownReported = true;
      running?.onDone({ kind: 'worker-lost', message });
      this.#onEvent({ kind: 'lost', message, restartEstimateMs: this.#options.restartMs });
    });
    this.#clock.schedule(nowMs + this.#options.restartMs, () => {
      this.#isUp = true;
      this.#isDownReported = false;
      this.#onEvent({ kind: 'ready' });
    });
  }

  #latencyMs(running: Running): number {
    const usableMillicores = Math.min(this.#cpuMillicores, running.run.threadCount * 1000);
    return running.noise * this.#options.latencyMs(running.run.sequences.length, usableMillicores);
  }

  #advance(running: Running): void {
    const nowMs = this.#clock.nowMs();
    running.remainingFraction -= (nowMs - running.updatedAtMs) / this.#latencyMs(running);
    running.updatedAtMs = nowMs;
  }

  #rearm(running: Running): void {
    running.timer?.cancel();
    const endAtMs = running.updatedAtMs + Math.max(0, running.remainingFraction) * this.#latencyMs(running);
    running.timer = this.#clock.schedule(endAtMs, () => this.#finish(running));
  }

  #finish(running: Running): void {
    this.#running = null;
    const outputs = running.run.sequences.map((sequence) => (this.#staged.delete(sequence) ? [] : null));
    running.onDone({ kind: 'completed', outputs, computeMs: this.#clock.nowMs() - running.startedAtMs });
  }
}
