import type { Clock, Timer } from '../../scheduler/clock/clock.js';
import { BySequence } from '../../scheduler/dataplane/by-sequence.js';
import { removeFrom } from '../../scheduler/dataplane/short-list.js';
import type { BatchResult, BatchRun, WorkerPool, WorkerPoolEvent } from '../../scheduler/dataplane/worker-pool.js';
import type { AdmittedRequest, ShapeClass } from '../../scheduler/domain/request.js';
import { slowdownBeside } from '../../scheduler/perf-model/interference.js';

export interface SimulatedWorkerOptions {
  readonly clock: Clock;
  readonly threadCounts: readonly number[];
  readonly maxBatchSize: number;
  /** Allocation of each instance at the start. */
  readonly cpuMillicores: number;
  /** True latency of a batch of requests of one class at an allocation, dispatch → reply. */
  readonly latencyMs: (batchSize: number, cpuMillicores: number, shapeClass: ShapeClass) => number;
  /** Multiplies the latency of a batch that starts now; 1 for none. Called once a batch. */
  readonly noise: (nowMs: number) => number;
  readonly stagingMs: number;
  readonly restartMs: number;
  /** CPU that a running batch uses on average, at most its allocation; all of it by default. */
  readonly usedMillicores?: (batchSize: number, cpuMillicores: number) => number;
  /** Several instances, each with the same allocation; by default one that is ready. */
  readonly replicas?: Replicas;
  /** Or instances that are there for good, each with an allocation of its own: what they begin with. */
  readonly ownMillicores?: readonly number[];
  /** A worker that runs such a request dies of it, at the end of its batch; none by default. */
  readonly isPoison?: (sequence: number) => boolean;
  /** φ: a batch takes 1 + φ times as long while three cores or more are busy beside it, less so below. 0 by default. */
  readonly interference?: number;
}

export interface Replicas {
  /** Instances that exist at the start. */
  readonly initial: number;
  /** Whether those are ready; else they begin with a cold start. */
  readonly isWarm: boolean;
  /** From the request for an instance to its first batch. Called once an instance. */
  readonly coldStartMs: () => number;
}

/** From the death of a process to its router knowing: the closed socket of a local process. */
const NEWS_MS = 1;

interface Running {
  readonly run: BatchRun;
  readonly onDone: (result: BatchResult) => void;
  /** Of its members, which are all of one; undefined for what was started on a dead worker, which never runs. */
  readonly shapeClass: ShapeClass | undefined;
  readonly noise: number;
  readonly startedAtMs: number;
  remainingFraction: number;
  updatedAtMs: number;
  timer: Timer | null;
}

/**
 * Workers whose batches take what a latency function says, at the allocation in force: a resize in the middle of a batch
 * speeds it up or slows it down from then on, up to the threads that it started with. Runs on any clock; can be killed.
 *
 * One instance unless replicas are asked for. Instances are alike: one that is given up leaves when it is idle, or else
 * with the next batch that ends.
 */
export class SimulatedWorker implements WorkerPool {
  readonly isOneProcess = true;
  readonly threadCounts: readonly number[];
  readonly maxBatchSize: number;
  /** Absent unless there are replicas. */
  readonly scaleTo?: (instances: number) => void;
  readonly #options: SimulatedWorkerOptions;
  readonly #clock: Clock;
  #staged = new BySequence<AdmittedRequest>();
  readonly #running: Running[] = [];
  readonly #coldStarts: Timer[] = [];
  #onEvent: (event: WorkerPoolEvent) => void = () => undefined;
  /** By instance; one for all where they are alike. */
  readonly #millicores: number[];
  #readyInstances = 1;
  /** Of the ready ones, those that leave with the next batches that end. */
  #leavingInstances = 0;
  #usedCoreMs = 0;
  #incarnation = 0;
  #isUp = true;
  #isDownReported = false;

  constructor(options: SimulatedWorkerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.threadCounts = options.threadCounts;
    this.maxBatchSize = options.maxBatchSize;
    const { replicas, ownMillicores } = options;
    this.#millicores = [...(ownMillicores ?? [options.cpuMillicores])];
    if (ownMillicores !== undefined) this.#readyInstances = ownMillicores.length;
    if (replicas === undefined) return;
    this.scaleTo = (instances) => this.#scaleTo(instances, replicas.coldStartMs);
    this.#readyInstances = replicas.isWarm ? replicas.initial : 0;
    if (!replicas.isWarm) this.scaleTo(replicas.initial);
  }

  get instanceCount(): number {
    return this.#readyInstances;
  }

  /** Cumulative CPU of all instances, core-seconds. */
  get usedSeconds(): number {
    for (const running of this.#running) if (this.#isUp) this.#advance(running);
    return this.#usedCoreMs / 1000;
  }

  isReady(): boolean {
    return !this.#isDownReported;
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
      this.#staged.add(request);
      onStaged();
    });
  }

  unstage(sequence: number): void {
    this.#takeStaged(sequence);
  }

  /** Whether it was staged. */
  #takeStaged(sequence: number): boolean {
    const request = this.#staged.get(sequence);
    if (request !== undefined) this.#staged.delete(request);
    return request !== undefined;
  }

  start(run: BatchRun, onDone: (result: BatchResult) => void): void {
    if (this.#isDownReported) throw new Error(`batch ${run.batchId} was started on a worker that is down`);
    if (this.#running.length >= this.#readyInstances)
      throw new Error(`batch ${run.batchId} was started on a busy worker`);
    for (const sequence of run.sequences) {
      const isStaged = this.#staged.get(sequence) !== undefined || !this.#isUp;
      if (!isStaged) throw new Error(`batch ${run.batchId} has request ${sequence}, which is not staged`);
    }
    const nowMs = this.#clock.nowMs();
    const running: Running = {
      run,
      onDone,
      shapeClass: this.#staged.get(run.sequences[0]!)?.shapeClass,
      noise: this.#options.noise(nowMs),
      startedAtMs: nowMs,
      remainingFraction: 1,
      updatedAtMs: nowMs,
      timer: null,
    };
    if (this.#isOwn && this.#running.some((other) => other.run.instance === run.instance))
      throw new Error(`batch ${run.batchId} was started on instance ${run.instance}, which is busy`);
    if (!this.#isUp)
      this.#running.push(running); // Its end is the report of the crash.
    else if (this.#hasInterference) this.#changeAll(() => this.#running.push(running));
    else {
      this.#running.push(running);
      this.#rearm(running);
    }
  }

  /** Of one instance, or, where they are alike, of every one. */
  setAllocation(cpuMillicores: number, instance = 0): void {
    const change = (): number => (this.#millicores[instance] = cpuMillicores);
    if (!this.#isUp) change();
    else this.#changeAll(change);
  }

  get #isOwn(): boolean {
    return this.#options.ownMillicores !== undefined;
  }

  get #hasInterference(): boolean {
    return (this.#options.interference ?? 0) > 0;
  }

  /** Something that batches run on changes now. */
  #changeAll(change: () => void): void {
    for (const each of this.#running) this.#advance(each);
    change();
    for (const each of [...this.#running]) this.#rearm(each);
  }

  /**
   * The process dies now, all instances of it, and is back after the restart time. As with a real one the news takes a
   * moment: what is started or staged in between is lost too.
   * @param isCrash of an input rather than from outside
   */
  kill(message: string, isCrash = false): void {
    if (!this.#isUp) return;
    for (const running of this.#running) {
      this.#advance(running);
      running.timer?.cancel();
    }
    this.#isUp = false;
    this.#incarnation += 1;
    this.#staged = new BySequence();
    const nowMs = this.#clock.nowMs();
    this.#clock.schedule(nowMs + NEWS_MS, () => {
      const broken = [...this.#running];
      this.#running.length = 0;
      this.#isDownReported = true;
      for (const { onDone } of broken) onDone({ kind: 'worker-lost', message, isCrash });
      this.#onEvent({ kind: 'lost', message, restartEstimateMs: this.#options.restartMs });
    });
    // Not before its death is known.
    this.#clock.schedule(nowMs + Math.max(2 * NEWS_MS, this.#options.restartMs), () => {
      this.#isUp = true;
      this.#isDownReported = false;
      this.#onEvent({ kind: 'ready' });
    });
  }

  // ---- batches -----------------------------------------------------------------------------------------------------

  #usableMillicores(running: Running): number {
    const own = this.#millicores[this.#isOwn ? running.run.instance : 0]!;
    return Math.min(own, running.run.threadCount * 1000);
  }

  /** By what is busy beside it. */
  #slowdown(running: Running): number {
    const { interference = 0 } = this.#options;
    if (interference === 0) return 1;
    let busy = 0;
    for (const other of this.#running) if (other !== running) busy += this.#usableMillicores(other);
    return slowdownBeside(interference, busy);
  }

  #latencyMs(running: Running): number {
    const { run, shapeClass, noise } = running;
    return (
      noise *
      this.#slowdown(running) *
      this.#options.latencyMs(run.sequences.length, this.#usableMillicores(running), shapeClass!)
    );
  }

  #advance(running: Running): void {
    const nowMs = this.#clock.nowMs();
    const elapsedMs = nowMs - running.updatedAtMs;
    if (elapsedMs === 0) return;
    const millicores = this.#usableMillicores(running);
    const used = this.#options.usedMillicores?.(running.run.sequences.length, millicores) ?? millicores;
    this.#usedCoreMs += (used / 1000) * elapsedMs;
    running.remainingFraction -= elapsedMs / this.#latencyMs(running);
    running.updatedAtMs = nowMs;
  }

  #rearm(running: Running): void {
    running.timer?.cancel();
    const endAtMs = running.updatedAtMs + Math.max(0, running.remainingFraction) * this.#latencyMs(running);
    running.timer = this.#clock.schedule(endAtMs, () => this.#finish(running));
  }

  #finish(running: Running): void {
    this.#advance(running);
    const { isPoison } = this.#options;
    if (isPoison !== undefined && running.run.sequences.some(isPoison)) {
      this.kill('killed by SIGFPE', true);
      return;
    }
    if (this.#hasInterference) this.#changeAll(() => removeFrom(this.#running, running));
    else removeFrom(this.#running, running);
    const outputs = running.run.sequences.map((sequence) => (this.#takeStaged(sequence) ? [] : null));
    // Before the dispatcher is told that an instance is free again.
    const isLeaving = this.#leavingInstances > 0;
    if (isLeaving) this.#dropInstance();
    running.onDone({ kind: 'completed', outputs, computeMs: this.#clock.nowMs() - running.startedAtMs });
    if (isLeaving) this.#onEvent({ kind: 'instances-changed' });
  }

  // ---- instances ---------------------------------------------------------------------------------------------------

  #scaleTo(instances: number, coldStartMs: () => number): void {
    let surplus = this.#readyInstances - this.#leavingInstances + this.#coldStarts.length - instances;
    for (; surplus > 0 && this.#coldStarts.length > 0; surplus--) this.#coldStarts.pop()!.cancel();
    for (; surplus < 0 && this.#leavingInstances > 0; surplus++) this.#leavingInstances -= 1;
    for (; surplus < 0; surplus++) this.#startCold(coldStartMs());
    for (; surplus > 0; surplus--) this.#leavingInstances += 1;
    // Nothing is told from inside the call.
    if (this.#leavingInstances > 0) this.#clock.schedule(this.#clock.nowMs(), () => this.#releaseIdle());
  }

  #startCold(delayMs: number): void {
    const timer = this.#clock.schedule(this.#clock.nowMs() + delayMs, () => {
      this.#coldStarts.splice(this.#coldStarts.indexOf(timer), 1);
      this.#readyInstances += 1;
      this.#onEvent({ kind: 'instances-changed' });
    });
    this.#coldStarts.push(timer);
  }

  #releaseIdle(): void {
    while (this.#leavingInstances > 0 && this.#running.length < this.#readyInstances) {
      this.#dropInstance();
      this.#onEvent({ kind: 'instances-changed' });
    }
  }

  #dropInstance(): void {
    this.#readyInstances -= 1;
    this.#leavingInstances -= 1;
  }
}
