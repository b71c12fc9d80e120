/*
 * What runs where, and on how much CPU. Instances either share one allocation, each with as much (replicas; one alone), or each
 * has one of its own: then the plan says which of them starts the next batch.
 */
import type { LatencyModel } from '../domain/latency.js';
import type { Plan } from '../domain/plan.js';
import type { RunningInstance } from '../domain/queue-snapshot.js';
import type { QueueEntry } from './queue-entry.js';
import { busyFraction, slowdownBeside } from '../perf-model/interference.js';
import { RunningBatch, type Neighbours } from './running-batch.js';
import { removeFrom } from './short-list.js';
import type { WorkerPool } from './worker-pool.js';

/** One allocation, as it was read back. */
interface Allocation {
  cpuMillicores: number;
  /** Another one is about to be in force: what starts waits for it. */
  isAwaited: boolean;
}

/** Slots to look at. */
export type SlotsView = Pick<InstanceSlots, 'areApart' | 'runningCount' | 'threadsOf' | 'snapshot'>;

export interface InstanceSlotsOptions {
  /** At the start: by instance where each has one of its own, else one that all share. */
  readonly allocations: readonly number[];
  readonly areInstancesApart: boolean;
  /** On so little nothing is started. */
  readonly restingMillicores: number;
  /** φ, as it is known now; 0 where absent. */
  readonly interference?: () => number;
  /** What other models run on; 0 where absent. */
  readonly busyBesideMillicores?: () => number;
}

export class InstanceSlots {
  /** Whether each instance has an allocation of its own. */
  readonly areApart: boolean;
  readonly #allocations: readonly Allocation[];
  readonly #restingMillicores: number;
  readonly #interference: () => number;
  readonly #busyBesideMillicores: () => number;
  /** In the order of their starts. */
  readonly #running: RunningBatch[] = [];

  constructor(options: InstanceSlotsOptions) {
    const { allocations, areInstancesApart, restingMillicores } = options;
    this.#allocations = allocations.map((cpuMillicores) => ({ cpuMillicores, isAwaited: false }));
    this.areApart = areInstancesApart;
    this.#restingMillicores = restingMillicores;
    this.#interference = options.interference ?? (() => 0);
    this.#busyBesideMillicores = options.busyBesideMillicores ?? (() => 0);
  }

  get runningCount(): number {
    return this.#running.length;
  }

  get runsSuspect(): boolean {
    return this.#running.some(({ members }) => members[0]!.isSuspect);
  }

  get runsSetAside(): boolean {
    return this.#running.some(({ isSetAside }) => isSetAside);
  }

  /** Of the batch that it runs; the most of all where instances share one allocation. 0 without one. */
  threadsOf(instance: number): number {
    let threads = 0;
    for (const batch of this.#running) {
      if (!this.areApart || batch.instance === instance) threads = Math.max(threads, batch.threadCount);
    }
    return threads;
  }

  snapshot(nowMs: number): RunningInstance[] {
    return this.#running.map((batch) => batch.snapshot(nowMs));
  }

  /** Time until the first of all instances is free, at an allocation for each: 0 where one is. */
  freeInMs(nowMs: number, instanceCount: number, quantile: keyof LatencyModel, cpuMillicores: number): number {
    if (this.#running.length < instanceCount && this.areApart) return 0;
    let [least, most] = [Infinity, 0];
    for (const batch of this.#running) {
      const totalMs = batch.slowdown * batch.members[0]!.model[quantile](batch.size, cpuMillicores);
      const remainingMs = Math.max(0, 1 - batch.expectedProgress(nowMs)) * totalMs;
      [least, most] = [Math.min(least, remainingMs), Math.max(most, remainingMs)];
    }
    return this.areApart ? least : most;
  }

  setAwaited(awaited: readonly boolean[]): void {
    this.#allocations.forEach((allocation, index) => (allocation.isAwaited = awaited[index]!));
  }

  setAllocation(nowMs: number, index: number, cpuMillicores: number, isAwaited: boolean): void {
    Object.assign(this.#allocations[index]!, { cpuMillicores, isAwaited });
    for (const batch of this.#running) {
      if (!this.areApart || batch.instance === index) batch.resize(nowMs, cpuMillicores);
    }
    this.#tellNeighbours(nowMs);
  }

  /** What an instance runs on. */
  millicoresOf(instance: number): number {
    return this.#allocations[this.areApart ? instance : 0]!.cpuMillicores;
  }

  /**
   * The instance that the next batch may start on now; null where none may. Where each has an allocation of its own it is one
   * that the plan gives something.
   */
  next(plan: Plan, workers: Pick<WorkerPool, 'instanceCount' | 'isReady'>): number | null {
    if (this.#running.length >= workers.instanceCount) return null;
    if (!this.areApart) return this.#allocations[0]!.isAwaited ? null : this.#firstFree();
    const mayStart = ({ cpuMillicores, isAwaited }: Allocation, index: number): boolean =>
      this.#isFree(index) &&
      !isAwaited &&
      plan.allocations?.[index] !== 0 &&
      cpuMillicores > this.#restingMillicores &&
      workers.isReady?.(index) !== false;
    const index = this.#allocations.findIndex(mayStart);
    return index === -1 ? null : index;
  }

  start(
    batchId: number,
    instance: number,
    members: readonly QueueEntry[],
    threads: number,
    nowMs: number,
  ): RunningBatch {
    const neighbours = this.#neighboursOf(null);
    const batch = new RunningBatch(batchId, instance, members, threads, this.millicoresOf(instance), nowMs, neighbours);
    this.#running.push(batch);
    this.#tellNeighbours(nowMs);
    return batch;
  }

  end(nowMs: number, batch: RunningBatch): void {
    removeFrom(this.#running, batch);
    this.#tellNeighbours(nowMs);
  }

  #tellNeighbours(nowMs: number): void {
    for (const batch of this.#running) batch.besideNow(nowMs, this.#neighboursOf(batch));
  }

  /** Of one that runs, or of the next. Replicas are planned as the baselines do it, who know nothing of neighbours. */
  #neighboursOf(batch: RunningBatch | null): Neighbours | undefined {
    if (!this.areApart) return undefined;
    let busyMillicores = this.#busyBesideMillicores();
    for (const other of this.#running) if (other !== batch) busyMillicores += other.usableMillicores;
    return {
      busyFraction: busyFraction(busyMillicores),
      slowdown: slowdownBeside(this.#interference(), busyMillicores),
    };
  }

  #isFree(instance: number): boolean {
    return this.#running.every((batch) => batch.instance !== instance);
  }

  #firstFree(): number {
    let instance = 0;
    while (!this.#isFree(instance)) instance += 1;
    return instance;
  }
}

/** The largest session within the allocation: more threads than CPU only stall each other (kernel throttling). */
export function threadsFor(cpuMillicores: number, threadCounts: readonly number[]): number {
  const allowed = Math.ceil(cpuMillicores / 1000);
  return threadCounts.reduce((best, count) => (count <= allowed ? count : best), threadCounts[0] ?? 1);
}
