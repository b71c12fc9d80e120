import type { Clock } from '../../clock/clock.js';
import type { Scaler } from '../../controlplane/scaler.js';
import type { AllocationLimits } from '../../domain/plan.js';
import { createScaler, type DetectedScaler } from '../scalers/detect.js';
import { ScalerSet } from '../scalers/scaler-set.js';
import { startProcessPool } from '../workers/process-pool.js';
import { ReplicatedPool, type Replica } from '../workers/replicated-pool.js';
import type { ModelSource } from './model-repository.js';
import { ONLY_ITS_BATCH, type OpenWorker, type WorkerOptions } from './open-worker.js';

/*
 * Horizontal scaling of one model: replicas of one fixed allocation, each a worker process in a CPU group of its own. The
 * worker that was opened, and profiled, becomes the first of them; the group of the n-th has the first one's name and `-r<n>`.
 */

/** Each has the model in memory once more: some hundred MB for one like ResNet-18. */
export const MOST_INSTANCES = 16;

export interface Replication {
  /** Allocation of each instance. */
  readonly unitMillicores: number;
  readonly maxInstances: number;
}

/** @param unitMillicores null: one core, or the largest allocation where that is less */
export function replicationOf(unitMillicores: number | null, limits: AllocationLimits): Replication {
  const unit = Math.max(limits.minMillicores, Math.min(unitMillicores ?? 1000, limits.maxMillicores));
  return { unitMillicores: unit, maxInstances: Math.min(MOST_INSTANCES, Math.floor(limits.maxMillicores / unit)) };
}

/** @throws Error, in one line, where replicas could not be limited one by one */
export function groupKindOf({ scaler }: DetectedScaler): 'cgroup-v1' | 'cgroup-v2' {
  if (scaler.kind === 'cgroup-v1' || scaler.kind === 'cgroup-v2') return scaler.kind;
  throw new Error(
    `--policy fa2 limits each replica by a CPU group of its own, which scaler ${scaler.kind} cannot: ` +
      'run as root, or on cgroup v2 as a systemd service with Delegate=cpu',
  );
}

export interface ReplicasOptions extends Replication {
  readonly source: ModelSource;
  /** The first replica; opened, profiled and at the unit's allocation. */
  readonly worker: OpenWorker;
  readonly workerOptions: WorkerOptions;
  readonly clock: Clock;
}

export class Replicas {
  readonly unitMillicores: number;
  readonly maxInstances: number;
  readonly pool: ReplicatedPool;
  readonly #options: ReplicasOptions;
  readonly #scalers: ScalerSet;
  readonly #threadCounts: readonly number[];

  constructor(options: ReplicasOptions) {
    const { worker, unitMillicores, maxInstances, workerOptions, clock } = options;
    this.#options = options;
    this.unitMillicores = unitMillicores;
    this.maxInstances = maxInstances;
    this.#scalers = new ScalerSet(worker.scaling.scaler, unitMillicores, workerOptions.onLog);
    this.#threadCounts = threadCountsWithin(worker.pool.threadCounts, unitMillicores);
    this.pool = new ReplicatedPool({
      clock,
      first: { pool: worker.pool, close: () => worker.pool.close() },
      threadCounts: this.#threadCounts,
      maxBatchSize: worker.pool.maxBatchSize,
      maxInstances,
      startReplica: (slot, signal) => this.#start(slot, signal),
      onLog: workerOptions.onLog,
    });
  }

  /** Of all instances together. */
  get scaler(): Scaler {
    return this.#scalers.scaler;
  }

  /** The allocations that one of them may have. */
  get limits(): AllocationLimits {
    const { unitMillicores } = this;
    return { minMillicores: unitMillicores, maxMillicores: unitMillicores, stepMillicores: unitMillicores };
  }

  async #start(slot: number, signal: AbortSignal): Promise<Replica> {
    const { source, worker, workerOptions } = this.#options;
    const { groupName, quotaPeriodUs, onLog, nowMs, onEnding = () => undefined } = workerOptions;
    let latestPid = 0;
    const tellEnding = (): void => {
      if (latestPid !== 0) onEnding(latestPid);
      latestPid = 0; // Given up at the very moment it was ready, it is closed too.
    };
    // Before the process is ended for the same reason: listeners are called in order.
    signal.addEventListener('abort', tellEnding, { once: true });
    // It stands at its most, the unit, from the start: the model is loaded on that.
    const group = await createScaler({
      kind: groupKindOf(worker.scaling),
      groupName: `${groupName}-r${slot}`,
      limits: { maxMillicores: this.unitMillicores },
      periodUs: quotaPeriodUs,
      onWarning: onLog,
    });
    const member = this.#scalers.add(group);
    try {
      const pool = await startProcessPool({
        modelPath: source.modelPath,
        threadCounts: this.#threadCounts,
        join: group.join,
        maxBatchSize: this.pool.maxBatchSize,
        nowMs,
        onLog,
        maxStagedBytes: ONLY_ITS_BATCH,
        expectedFiles: worker.pool.facts.files,
        ...(workerOptions.runLimits === undefined ? {} : { runLimits: workerOptions.runLimits }),
        interruption: signal,
        onSpawn: (pid, tid) => {
          latestPid = pid;
          group.attachProcess(pid, tid);
        },
      });
      member.join();
      return {
        pool,
        close: async () => {
          tellEnding();
          await pool.close();
          await member.leave();
        },
      };
    } catch (error) {
      await member.leave();
      throw error;
    }
  }
}

/** Those that a batch on this allocation may be told to run with: the dispatcher takes the largest. */
function threadCountsWithin(threadCounts: readonly number[], cpuMillicores: number): readonly number[] {
  const within = threadCounts.filter((count) => count <= Math.ceil(cpuMillicores / 1000));
  return within.length > 0 ? within : threadCounts.slice(0, 1);
}
