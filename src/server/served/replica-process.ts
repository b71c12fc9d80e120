import type { DetectedScaler } from '../scalers/detect.js';
import { confinementOf } from '../workers/confinement.js';
import { startProcessPool, type ProcessPool } from '../workers/process-pool.js';
import type { ModelSource } from '../models/model-repository.js';
import { ONLY_ITS_BATCH, type OpenWorker, type WorkerOptions } from './open-worker.js';

/* Another worker process of a model that is open already, in a CPU group of its own. */

export interface ReplicaContext {
  readonly source: ModelSource;
  /** The first one; opened and profiled. */
  readonly worker: OpenWorker;
  readonly workerOptions: Omit<WorkerOptions, 'onScaling'>;
}

export interface ReplicaProcess {
  readonly pool: ProcessPool;
  /** Ends the process; its group stays. */
  close(): Promise<void>;
}

/**
 * Resolves when its sessions stand.
 * @param signal aborted when it is given up while it starts: it then fails, leaving nothing
 */
export async function startReplicaProcess(
  { source, worker, workerOptions }: ReplicaContext,
  group: DetectedScaler,
  threadCounts: readonly number[],
  signal: AbortSignal,
): Promise<ReplicaProcess> {
  const { onLog, nowMs, onEnding = () => undefined } = workerOptions;
  let latestPid = 0;
  const tellEnding = (): void => {
    if (latestPid !== 0) onEnding(latestPid);
    latestPid = 0; // Given up at the very moment it was ready, it is closed too.
  };
  // Before the process is ended for the same reason: listeners are called in order.
  signal.addEventListener('abort', tellEnding, { once: true });
  const pool = await startProcessPool({
    modelPath: source.modelPath,
    threadCounts,
    joins: [group.join],
    rejoin: () => [group.rejoin()],
    maxBatchSize: worker.pool.maxBatchSize,
    ...confinementOf(workerOptions),
    nowMs,
    onLog,
    maxStagedBytes: ONLY_ITS_BATCH,
    lendsOutputs: true,
    expectedFiles: worker.pool.facts.files,
    ...(workerOptions.runLimits === undefined ? {} : { runLimits: workerOptions.runLimits }),
    interruption: signal,
    onSpawn: (pid, [tid]) => {
      latestPid = pid;
      group.attachProcess(pid, tid!);
    },
  });
  return {
    pool,
    close: async () => {
      tellEnding();
      await pool.close();
    },
  };
}
