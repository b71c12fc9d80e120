import type { Clock } from '../../scheduler/clock/clock.js';
import type { Scaler } from '../../scheduler/controlplane/scaler.js';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import { unitMillicoresOf, type ChosenPolicy } from '../../scheduler/policies/chosen-policy.js';
import { ScalerSet } from '../scalers/scaler-set.js';
import { ReplicatedPool, type Replica } from '../workers/replicated-pool.js';
import type { ModelSource } from '../models/model-repository.js';
import type { OpenWorker } from './open-worker.js';
import { MOST_INSTANCES, openGroup } from './instance-groups.js';
import { startReplicaProcess, type ReplicaContext } from './replica-process.js';
import type { ServedModelOptions } from './served-model-options.js';

/*
 * Horizontal scaling of one model: replicas of one fixed allocation, each a worker process in a CPU group of its own. The
 * worker that was opened, and profiled, becomes the first of them.
 */

export interface Replication {
  /** Allocation of each instance. */
  readonly unitMillicores: number;
  readonly maxInstances: number;
}

/** What can be granted of the unit that was asked for. Null where the policy does not scale by replicas. */
export function replicationOf(policy: ChosenPolicy, limits: AllocationLimits): Replication | null {
  if (policy.scaling.kind !== 'replicas') return null;
  const unit = Math.max(limits.minMillicores, Math.min(unitMillicoresOf(policy), limits.maxMillicores));
  return { unitMillicores: unit, maxInstances: Math.min(MOST_INSTANCES, Math.floor(limits.maxMillicores / unit)) };
}

/** The first replica is at the unit's allocation. */
export interface ReplicasOptions extends Replication, ReplicaContext {
  readonly clock: Clock;
  readonly policy: ChosenPolicy;
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
      maxBatchSize: () => worker.pool.maxBatchSize,
      isAddressed: false,
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
    const { worker, workerOptions, policy } = this.#options;
    const group = await openGroup(worker.scaling, workerOptions, slot, this.unitMillicores, flagOf(policy));
    const member = this.#scalers.add(group);
    try {
      const process = await startReplicaProcess(this.#options, group, this.#threadCounts, signal);
      member.join();
      return {
        pool: process.pool,
        close: async () => {
          await process.close();
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

/** What whoever asked for a group for each instance asked by. */
export function flagOf({ name }: ChosenPolicy): string {
  return `--policy ${name}`;
}

/** The worker becomes the first replica, on the allocation of one. Null where it is the only one. */
export async function openReplicas(
  source: ModelSource,
  worker: OpenWorker,
  options: ServedModelOptions,
): Promise<Replicas | null> {
  const replication = replicationOf(options.policy, worker.scaling.scaler.limits);
  if (replication === null) return null;
  await worker.resize(replication.unitMillicores);
  const { clock, policy } = options;
  return new Replicas({ ...replication, source, worker, workerOptions: options, clock, policy });
}
