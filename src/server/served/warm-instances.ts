import type { Clock } from '../../scheduler/clock/clock.js';
import { restingMillicores, type IdleRules } from '../../scheduler/controlplane/allocations.js';
import type { CpuCounters, Scaler } from '../../scheduler/controlplane/scaler.js';
import { startMillicores } from '../../scheduler/system.js';
import type { DetectedScaler } from '../scalers/detect.js';
import { sumCounters } from '../scalers/scaler-set.js';
import type { ProcessPool } from '../workers/process-pool.js';
import { ReplicatedPool, type Replica } from '../workers/replicated-pool.js';
import { runnableLimits } from './initial-profile.js';
import { openGroup } from './instance-groups.js';
import type { ModelSource } from '../models/model-repository.js';
import type { OpenWorker } from './open-worker.js';
import { startReplicaProcess, type ReplicaContext } from './replica-process.js';
import { resized } from './resized.js';
import type { ServedModelOptions } from './served-model-options.js';

/*
 * Several warm instances of one model, each in a CPU group of its own that is resized by itself: threads of the worker process that was
 * opened, which share its weights, or a process each, of which that one is the first. All are up before the model is served,
 * and stay.
 */

export interface WarmInstancesOptions extends ReplicaContext {
  readonly clock: Clock;
  /** Integer ≥ 1, the first included. */
  readonly count: number;
}

interface WarmInstancesParts {
  readonly pool: ReplicatedPool | ProcessPool;
  readonly scalers: readonly Scaler[];
  /** Process ids; 0 where there is none now. */
  readonly pids: () => readonly number[];
  /** Ends what the worker that was opened does not. */
  readonly close: () => Promise<void>;
}

export class WarmInstances {
  readonly pool: ReplicatedPool | ProcessPool;
  /** By instance. */
  readonly scalers: readonly Scaler[];
  /** Ends all but what the owner of the first one does. */
  readonly close: () => Promise<void>;
  readonly #pids: () => readonly number[];

  private constructor({ pool, scalers, pids, close }: WarmInstancesParts) {
    this.pool = pool;
    this.scalers = scalers;
    this.close = close;
    this.#pids = pids;
  }

  /** Those that the worker's process has. */
  static inOneProcess({ pool, scalings }: OpenWorker): WarmInstances {
    return new WarmInstances({
      pool,
      scalers: scalings.map(({ scaler }) => scaler),
      pids: () => [pool.pid],
      close: () => Promise.resolve(),
    });
  }

  /** @throws Error, in one line, where there can be no group for each, or one cannot load the model; nothing is left then */
  static async ofProcesses(options: WarmInstancesOptions): Promise<WarmInstances> {
    const { worker, workerOptions, clock, count } = options;
    const first = worker.scaling.scaler;
    const { maxMillicores } = first.limits;
    const groups: DetectedScaler[] = [];
    let loadingMillicores = maxMillicores;
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
        const group = known ?? (await openGroup(worker.scaling, workerOptions, slot, maxMillicores, '--instances'));
        if (known === undefined) {
          groups.push(group);
          await resized(group.scaler, loadingMillicores);
        }
        return startReplicaProcess(options, group, worker.pool.threadCounts, signal);
      },
      onLog: workerOptions.onLog,
    });
    const close = async (): Promise<void> => {
      await pool.close();
      for (const group of groups) await group.close();
    };
    try {
      // Together they never have more than there is: one is loaded after the other, while the others rest.
      await worker.resize(first.idleMillicores);
      for (let slot = 2; slot <= count; slot++) {
        loadingMillicores = await worker.coresToLoadAnother();
        await pool.startNext();
        await resized(groups.at(-1)!.scaler, first.idleMillicores);
        await worker.resize(first.idleMillicores);
      }
      const scalers = [first, ...groups.map(({ scaler }) => scaler)];
      return new WarmInstances({ pool, scalers, pids: () => pool.pids, close });
    } catch (error) {
      await close();
      throw error;
    }
  }

  get pids(): readonly number[] {
    return this.#pids();
  }

  /** Of all instances together. */
  readCounters(): CpuCounters | null {
    const each = this.scalers.map((scaler) => scaler.readCounters());
    return each.reduce((total, one) => (total === null || one === null ? null : sumCounters(total, one)));
  }
}

/** All rest where cores are shared; else the first goes on with what those do not hold that rest. */
export async function openInstances(
  source: ModelSource,
  worker: OpenWorker,
  options: ServedModelOptions,
  count: number,
): Promise<WarmInstances | null> {
  if (count === 1) return null;
  const instances =
    worker.scalings.length > 1
      ? WarmInstances.inOneProcess(worker)
      : await WarmInstances.ofProcesses({ source, worker, workerOptions: options, clock: options.clock, count });
  const rules = idleRulesOf(worker, options, count);
  const isShared = options.nodes.isShared(worker.scaling.scaler);
  await worker.resize(isShared ? restingMillicores(rules) : startMillicores(count, rules)[0]!);
  return instances;
}

export function idleRulesOf(
  worker: Pick<OpenWorker, 'scaling'>,
  options: ServedModelOptions,
  instances: number,
): IdleRules {
  const { scaler } = worker.scaling;
  return {
    limits: runnableLimits(worker, options.minMillicores),
    // One worker's floor is a reserve for its first batch.
    idleMillicores:
      instances > 1 || options.nodes.isShared(scaler) ? scaler.idleMillicores : scaler.limits.minMillicores,
    idleReleaseMs: options.idleReleaseMs,
  };
}

/** What is in force, by instance, while all rest. */
export function allResting(count: number, rules: IdleRules): readonly number[] {
  return new Array<number>(count).fill(restingMillicores(rules));
}
