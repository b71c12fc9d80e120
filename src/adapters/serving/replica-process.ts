import { createScaler, type DetectedScaler } from '../scalers/detect.js';
import { startProcessPool, type ProcessPool } from '../workers/process-pool.js';
import type { ModelSource } from './model-repository.js';
import { ONLY_ITS_BATCH, type OpenWorker, type WorkerOptions } from './open-worker.js';

/*
 * Another worker process of a model that is open already, in a CPU group of its own: the group of the n-th has the first one's name
 * and `-r<n>`.
 */

/** Each has the model in memory once more: some hundred MB for one like ResNet-18. */
export const MOST_INSTANCES = 16;

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

/** @throws Error, in one line, where instances could not be limited one by one */
export function groupKindOf({ scaler }: DetectedScaler, asked: string): 'cgroup-v1' | 'cgroup-v2' {
  if (scaler.kind === 'cgroup-v1' || scaler.kind === 'cgroup-v2') return scaler.kind;
  throw new Error(
    `${asked} limits each instance by a CPU group of its own, which scaler ${scaler.kind} cannot: ` +
      'run as root, or on cgroup v2 as a systemd service with Delegate=cpu',
  );
}

/**
 * It stands at its most from the start: the model is loaded on that.
 * @param slot from 2 on
 */
export function openGroup(
  { worker, workerOptions }: ReplicaContext,
  slot: number,
  maxMillicores: number,
  asked: string,
): Promise<DetectedScaler> {
  const { groupName, quotaPeriodUs, onLog } = workerOptions;
  return createScaler({
    kind: groupKindOf(worker.scaling, asked),
    groupName: `${groupName}-r${slot}`,
    limits: { maxMillicores },
    periodUs: quotaPeriodUs,
    onWarning: onLog,
  });
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
    join: group.join,
    maxBatchSize: worker.pool.maxBatchSize,
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
  return {
    pool,
    close: async () => {
      tellEnding();
      await pool.close();
    },
  };
}
