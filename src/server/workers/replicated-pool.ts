import type { Clock, Timer } from '../../scheduler/clock/clock.js';
import type { BatchResult, BatchRun, WorkerPool, WorkerPoolEvent } from '../../scheduler/dataplane/worker-pool.js';
import type { AdmittedRequest } from '../../scheduler/domain/request.js';
import { oneLine } from './load-failure.js';
import type { ProcessPool } from './process-pool.js';
import { restartDelayMs } from './worker-supervisor.js';

/*
 * Several worker processes of one model, each in a CPU group of its own, as a load balancer in front of replicas sees
 * them: a request waits in the router until an instance is free, and only then its inputs go there, with its batch. So an
 * instance that dies takes one batch with it and nothing else, and one that is given up holds nothing.
 *
 * The first one stays as long as the pool: it is warm at the start, and what is known of the model comes from it. Others are
 * started when they are asked for, side by side, each with its whole cold start; one that is given up leaves at once where
 * it is idle or still starting, or else with the next batch that ends, but not while no other one runs. Those that start or
 * have died go first, then the newest. One that dies is restarted by its own supervisor; one that cannot even start is
 * tried again, later and later.
 *
 * Replicas are alike, and a batch runs on any that is free. Of instances that are told apart (`isAddressed`) it runs on the one that it
 * names, they begin all at once, and stay.
 *
 * Invariants: at most `maxInstances` processes; a free instance has no batch; every batch ends exactly once; all that the
 * pool tells comes from events of its own, never from inside a call.
 */

/** One worker process and whatever goes with it. */
export interface Replica {
  readonly pool: Pick<ProcessPool, 'pid' | 'listen' | 'stage' | 'unstage' | 'start'>;
  /** Ends it; resolves when nothing of it is left. */
  close(): Promise<void>;
}

export interface ReplicatedPoolOptions {
  readonly clock: Clock;
  /** Ready; in slot 1. */
  readonly first: Replica;
  readonly threadCounts: readonly number[];
  /** It changes when batching is turned on or off. */
  readonly maxBatchSize: () => number;
  /** Instance n is the one in slot n + 1. */
  readonly isAddressed: boolean;
  /** Integer ≥ 1; instances beyond it are not started. */
  readonly maxInstances: number;
  /**
   * Resolves when another one is ready. @param slot from 2 to `maxInstances`; no two that live have the same
   * @param signal aborted when it is given up while it starts: it must then fail, leaving nothing
   */
  readonly startReplica: (slot: number, signal: AbortSignal) => Promise<Replica>;
  /** One line for the operator. */
  readonly onLog: (line: string) => void;
}

interface Instance {
  readonly slot: number;
  readonly abort: AbortController;
  /** Null until it was ready once. */
  replica: Replica | null;
  isReady: boolean;
  batch: Batch | null;
}

interface Batch {
  readonly run: BatchRun;
  readonly onDone: (result: BatchResult) => void;
  /** Members whose inputs are still on their way to the instance; it starts when there are none. */
  stagingCount: number;
  /** Members that left before it started. */
  readonly left: number[];
  /** Its process died of it, as far as the signal tells. */
  isCrash: boolean;
}

export class ReplicatedPool implements WorkerPool {
  readonly threadCounts: readonly number[];
  /** Absent where instances are told apart: there are as many as there are to be. */
  readonly scaleTo?: (instances: number) => void;
  readonly #options: ReplicatedPoolOptions;
  /** Inputs of requests that no batch has taken yet. */
  readonly #staged = new Map<number, AdmittedRequest>();
  /** In the order they were asked for. */
  readonly #instances: Instance[] = [];
  /** Slots of instances that were given up, until nothing of them is left. */
  readonly #leaving = new Map<number, Promise<void>>();
  #wantedInstances = 1;
  #failureCount = 0;
  #retryTimer: Timer | null = null;
  #onEvent: (event: WorkerPoolEvent) => void = () => undefined;
  /** Every instance was lost, and none is back. */
  #isLost = false;
  #isClosed = false;

  constructor(options: ReplicatedPoolOptions) {
    this.#options = options;
    this.threadCounts = options.threadCounts;
    const first: Instance = { ...newInstance(1), replica: options.first, isReady: true };
    this.#instances.push(first);
    this.#listenTo(first, options.first);
    if (!options.isAddressed) this.scaleTo = (instances) => this.#scaleTo(instances);
  }

  get maxBatchSize(): number {
    return this.#options.maxBatchSize();
  }

  isReady(instance: number): boolean {
    return !this.#options.isAddressed || this.#inSlot(instance + 1)?.isReady === true;
  }

  /** One more that stays. Resolves when it is ready. @throws Error, in one line, when it cannot be started */
  async startNext(): Promise<void> {
    const slot = this.#instances.length + 1;
    const instance = newInstance(slot);
    const replica = await this.#options.startReplica(slot, instance.abort.signal);
    this.#wantedInstances = slot;
    this.#instances.push(instance);
    this.#onStarted(instance, replica);
  }

  #inSlot(slot: number): Instance | undefined {
    return this.#instances.find((each) => each.slot === slot);
  }

  get instanceCount(): number {
    return this.#instances.filter(({ isReady }) => isReady).length;
  }

  /** Process ids by slot, from slot 1 to the last; 0 where there is none now. */
  get pids(): readonly number[] {
    return Array.from({ length: this.#options.maxInstances }, (_, index) => {
      const instance = this.#inSlot(index + 1);
      return instance?.replica?.pool.pid ?? 0;
    });
  }

  // ---- WorkerPool --------------------------------------------------------------------------------------------------

  listen(onEvent: (event: WorkerPoolEvent) => void): void {
    this.#onEvent = onEvent;
  }

  stage(request: AdmittedRequest, onStaged: () => void): void {
    this.#staged.set(request.sequence, request);
    queueMicrotask(() => {
      if (this.#staged.get(request.sequence) === request) onStaged();
    });
  }

  unstage(sequence: number): void {
    if (this.#staged.delete(sequence)) return;
    for (const { batch, replica } of this.#instances) {
      if (batch === null || !batch.run.sequences.includes(sequence)) continue;
      if (batch.stagingCount > 0) batch.left.push(sequence);
      else replica!.pool.unstage(sequence);
    }
  }

  start(run: BatchRun, onDone: (result: BatchResult) => void): void {
    const isFree = ({ isReady, batch }: Instance): boolean => isReady && batch === null;
    const instance = this.#options.isAddressed ? this.#inSlot(run.instance + 1) : this.#instances.find(isFree);
    if (instance === undefined || !isFree(instance))
      throw new Error(`batch ${run.batchId} was started while no instance is free`);
    const members = run.sequences.map((sequence) => this.#takeStaged(run.batchId, sequence));
    const batch: Batch = { run, onDone, stagingCount: members.length, left: [], isCrash: false };
    instance.batch = batch;
    for (const member of members) {
      instance.replica!.pool.stage(member, () => {
        batch.stagingCount -= 1;
        if (batch.stagingCount === 0) this.#run(instance, batch);
      });
    }
  }

  #scaleTo(instances: number): void {
    this.#wantedInstances = Math.min(instances, this.#options.maxInstances);
    queueMicrotask(() => this.#settle());
  }

  /** Ends all instances; resolves when nothing of them is left. Running batches end as `worker-lost`; no event follows. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#retryTimer?.cancel();
    this.#staged.clear();
    for (const instance of [...this.#instances]) {
      this.#dismiss(instance);
      endBatch(instance, { kind: 'worker-lost', message: 'the worker was stopped' });
    }
    await Promise.all(this.#leaving.values());
  }

  // ---- batches -----------------------------------------------------------------------------------------------------

  #takeStaged(batchId: number, sequence: number): AdmittedRequest {
    const request = this.#staged.get(sequence);
    if (request === undefined) throw new Error(`batch ${batchId}: request ${sequence} is not staged`);
    this.#staged.delete(sequence);
    return request;
  }

  #run(instance: Instance, batch: Batch): void {
    const { pool } = instance.replica!;
    // Of its process it is the only one.
    pool.start({ ...batch.run, instance: 0 }, (result) => {
      // With its process a batch ends in `#onLost`, which follows at once.
      if (result.kind === 'worker-lost') batch.isCrash = result.isCrash === true;
      else this.#onDone(instance, result);
    });
    for (const sequence of batch.left) pool.unstage(sequence);
  }

  #onDone(instance: Instance, result: BatchResult): void {
    if (instance.batch === null) return;
    const { batch } = instance;
    instance.batch = null;
    // Before the dispatcher is told that an instance is free again.
    const isLeaving = this.#surplus > 0 && this.#mayLeave(instance);
    if (isLeaving) this.#dismiss(instance);
    batch.onDone(result);
    if (isLeaving) this.#onEvent({ kind: 'instances-changed' });
  }

  // ---- instances ---------------------------------------------------------------------------------------------------

  get #surplus(): number {
    return this.#instances.length - this.#wantedInstances;
  }

  /** Not the first one, not in the middle of a batch, and not the only one that runs. */
  #mayLeave({ slot, isReady, batch }: Instance): boolean {
    return slot !== 1 && batch === null && (!isReady || this.instanceCount > 1);
  }

  /** Brings the instances to the number that is wanted, as far as that can be done now. */
  #settle(): void {
    if (this.#isClosed) return;
    for (const isReady of [false, true]) {
      const newestFirst = this.#instances.filter((each) => each.isReady === isReady).reverse();
      for (const instance of newestFirst) {
        if (this.#surplus <= 0 || !this.#mayLeave(instance)) continue;
        this.#dismiss(instance);
        if (isReady) this.#onEvent({ kind: 'instances-changed' });
      }
    }
    while (this.#surplus < 0 && this.#retryTimer === null) {
      const slot = this.#freeSlot();
      if (slot === null) return; // One that leaves comes here again when it has left.
      this.#startInstance(slot);
    }
  }

  #freeSlot(): number | null {
    for (let slot = 2; slot <= this.#options.maxInstances; slot++) {
      if (!this.#leaving.has(slot) && this.#inSlot(slot) === undefined) return slot;
    }
    return null;
  }

  #startInstance(slot: number): void {
    const instance = newInstance(slot);
    const { signal } = instance.abort;
    this.#instances.push(instance);
    const ended = this.#options.startReplica(slot, signal).then(
      (replica) => (signal.aborted ? replica.close() : this.#onStarted(instance, replica)),
      (error: unknown) => (signal.aborted ? undefined : this.#onFailedStart(instance, oneLine(error))),
    );
    signal.addEventListener('abort', () => this.#leave(slot, ended), { once: true });
  }

  #onStarted(instance: Instance, replica: Replica): void {
    this.#failureCount = 0;
    instance.replica = replica;
    this.#listenTo(instance, replica);
    this.#onReady(instance);
  }

  #onFailedStart(instance: Instance, message: string): void {
    this.#remove(instance);
    const delayMs = restartDelayMs(++this.#failureCount);
    this.#options.onLog(`another instance could not be started: ${message}; trying again in ${delayMs} ms`);
    this.#retryTimer ??= this.#options.clock.schedule(this.#options.clock.nowMs() + delayMs, () => {
      this.#retryTimer = null;
      this.#settle();
    });
  }

  #listenTo(instance: Instance, { pool }: Replica): void {
    pool.listen((event) => {
      if (this.#isClosed || !this.#instances.includes(instance)) return;
      if (event.kind === 'lost') this.#onLost(instance, event.message, event.restartEstimateMs);
      else if (event.kind === 'ready') this.#onReady(instance);
    });
  }

  /** Its process died, or a restart failed. */
  #onLost(instance: Instance, message: string, restartEstimateMs: number): void {
    const wasReady = instance.isReady;
    instance.isReady = false;
    const areOthersReady = this.instanceCount > 0;
    if (!areOthersReady) this.#staged.clear();
    const isCrash = instance.batch?.isCrash === true;
    endBatch(instance, { kind: 'worker-lost', message, areOthersReady, isCrash });
    if (wasReady) this.#onEvent({ kind: 'instances-changed' });
    if (!areOthersReady) {
      this.#isLost = true;
      this.#onEvent({ kind: 'lost', message, restartEstimateMs });
    }
    this.#settle();
  }

  #onReady(instance: Instance): void {
    instance.isReady = true;
    this.#onEvent({ kind: 'instances-changed' });
    if (this.#isLost) {
      this.#isLost = false;
      this.#onEvent({ kind: 'ready' });
    }
    this.#settle();
  }

  #remove(instance: Instance): void {
    this.#instances.splice(this.#instances.indexOf(instance), 1);
  }

  /** Gives an instance up; it counts no more. */
  #dismiss(instance: Instance): void {
    this.#remove(instance);
    instance.isReady = false;
    if (instance.replica === null) instance.abort.abort();
    else this.#leave(instance.slot, instance.replica.close());
  }

  #leave(slot: number, ended: Promise<void>): void {
    const left = ended
      .catch((error: unknown) => this.#options.onLog(`an instance that was given up: ${oneLine(error)}`))
      .then(() => {
        this.#leaving.delete(slot);
        this.#settle();
      });
    this.#leaving.set(slot, left);
  }
}

function newInstance(slot: number): Instance {
  return { slot, abort: new AbortController(), replica: null, isReady: false, batch: null };
}

function endBatch(instance: Instance, result: BatchResult): void {
  const { batch } = instance;
  instance.batch = null;
  batch?.onDone(result);
}
