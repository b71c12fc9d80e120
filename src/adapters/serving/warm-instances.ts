import type { Clock } from '../../clock/clock.js';
import type { IdleRules } from '../../controlplane/allocations.js';
import type { CpuCounters, Scaler } from '../../controlplane/scaler.js';
import { startMillicores } from '../../system.js';
import type { DetectedScaler } from '../scalers/detect.js';
import { sumCounters } from '../scalers/scaler-set.js';
import { ReplicatedPool, type Replica } from '../workers/replicated-pool.js';
import { runnableLimits } from './initial-profile.js';
import type { ModelSource } from './model-repository.js';
import type { OpenWorker } from './open-worker.js';
import { openGroup, startReplicaProcess, type ReplicaContext } from './replica-process.js';
import type { ServedModelOptions } from './served-model.js';

/*
 * Several warm instances of one model, each a worker process in a CPU group of its own that is resized by itself. The worker that was
 * opened, and profiled, is the first; all are up before the model is served, and stay.
 */

export interface WarmInstancesOptions extends ReplicaContext {
  readonly clock: Clock;
  /** Integer ≥ 1, the first included. */
  readonly count: number;
}

export class WarmInstances {
  readonly pool: ReplicatedPool;
  /** By instance. */
  readonly scalers: readonly Scaler[];
  readonly #groups: readonly DetectedScaler[];

  private constructor(pool: ReplicatedPool, first: Scaler, groups: readonly DetectedScaler[]) {
    this.pool = pool;
    this.#groups = groups;
    this.scalers = [first, ...groups.map(({ scaler }) => scaler)];
  }

  /** @throws Error, in one line, where there can be no group for each, or one cannot load the model; nothing is left then */
  static async open(options: WarmInstancesOptions): Promise<WarmInstances> {
    const { worker, workerOptions, clock, count } = options;
    const first = worker.scaling.scaler;
    const { maxMillicores } = first.limits;
    const groups: DetectedScaler[] = [];
    const pool = new ReplicatedPool({
      clock,
      first: { pool: worker.pool, close: () => worker.pool.close() },
      threadCounts: worker.pool.threadCounts,
      maxBatchSize: () => worker.pool.maxBatchSize,
      isAddressed: true,
      maxInstances: count,
      // One that could not be started comes again: its group stands.
      startReplica: async (slot, signal): Promise<Replica> => {
        const known = groups[slot - 2];
        const group = known ?? (await openGroup(options, slot, maxMillicores, '--instances'));
        if (known === undefined) groups.push(group);
        return startReplicaProcess(options, group, worker.pool.threadCounts, signal);
      },
      onLog: workerOptions.onLog,
    });
    try {
      // Together they never have more than there is: one is loaded after the other, while the others rest.
      await worker.resize(first.idleMillicores);
      for (let slot = 2; slot <= count; slot++) {
        await pool.startNext();
        await rest(groups.at(-1)!.scaler);
      }
      return new WarmInstances(pool, first, groups);
    } catch (error) {
      await pool.close();
      for (const group of groups) await group.close();
      throw error;
    }
  }

  /** Of all instances together. */
  readCounters(): CpuCounters | null {
    const each = this.scalers.map((scaler) => scaler.readCounters());
    return each.reduce((total, one) => (total === null || one === null ? null : sumCounters(total, one)));
  }

  /** The groups of all but the first, whose owner ends it. */
  async close(): Promise<void> {
    await this.pool.close();
    for (const group of this.#groups) await group.close();
  }
}

function rest(scaler: Scaler): Promise<void> {
  return new Promise((resolve, reject) => {
    scaler.resize(scaler.idleMillicores, (result) => {
      if (result.kind === 'applied') resolve();
      else reject(new Error(result.message));
    });
  });
}

/** Together they have what the one worker had: it goes on with what those do not hold that rest. */
export async function openInstances(
  source: ModelSource,
  worker: OpenWorker,
  options: ServedModelOptions,
  count: number,
): Promise<WarmInstances | null> {
  if (count === 1) return null;
  const instances = await WarmInstances.open({ source, worker, workerOptions: options, clock: options.clock, count });
  await worker.resize(startMillicores(count, idleRulesOf(worker, options, count))[0]!);
  return instances;
}

export function idleRulesOf(worker: OpenWorker, options: ServedModelOptions, instances: number): IdleRules {
  const { scaler } = worker.scaling;
  return {
    limits: runnableLimits(worker, options.minMillicores),
    // One floor is a reserve for the first batch, several are a waste.
    idleMillicores: instances > 1 ? scaler.idleMillicores : scaler.limits.minMillicores,
    idleReleaseMs: options.idleReleaseMs,
  };
}
