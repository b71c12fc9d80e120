import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createScaler, type DetectedScaler } from '../../src/server/scalers/detect.js';
import { usefulThreadCounts } from '../../src/server/served/thread-counts.js';
import { NoiseSamples } from '../../src/server/workers/samples.js';
import { startProcessPool, type ProcessPool } from '../../src/server/workers/process-pool.js';
import { slow, SLOW_WIDTH } from '../../research/load-models/tiny-graphs.js';
import type { Scope } from './bench.js';
import { writeBareModel } from './tensor-models.js';

const WORKER_ENTRY = new URL('../../dist/server/workers/worker-process.js', import.meta.url);
/** Steps of about a millisecond each, which keep two threads busy; runs end soon. */
const STEP_COUNT = 20;
const BATCH_SIZE = 64;

/** A worker in its resized group that runs one batch after another; no server around it. */
export interface LiveWorker {
  readonly scaling: DetectedScaler;
  readonly pool: ProcessPool;
}

/** @returns why not, where this machine has no cgroup that can be written to */
export async function startBusyWorker(scope: Scope): Promise<LiveWorker | { readonly obstacle: string }> {
  if (!existsSync(WORKER_ENTRY)) throw new Error('the worker runs from the build: npm run build');
  const groupName = `bench-${randomBytes(4).toString('hex')}`;
  const scaling = await createScaler({ kind: 'auto', groupName, onWarning: console.warn });
  scope.onEnd(() => scaling.close());
  if (scaling.join.kind !== 'cgroup-v1' && scaling.join.kind !== 'cgroup-v2') {
    return { obstacle: `no cgroup to write to (${scaling.passedOver.join('; ')})` };
  }
  const threadCounts = usefulThreadCounts(scaling.scaler.limits.maxMillicores);
  const pool = await startProcessPool({
    modelPath: writeBareModel(scope.folder(), 'slow', slow(STEP_COUNT)),
    threadCounts,
    joins: [scaling.join],
    maxBatchSize: BATCH_SIZE,
    nowMs: () => performance.now(),
    onLog: console.warn,
    onSpawn: (pid, [tid]) => scaling.attachProcess(pid, tid!),
    entryUrl: WORKER_ENTRY,
  });
  const stopping = new AbortController();
  const load = (async () => {
    const samples = new NoiseSamples(pool.signature, { x: [1, SLOW_WIDTH] });
    const run = { samples, batchSize: BATCH_SIZE, threadCount: threadCounts.at(-1)! };
    while (!stopping.signal.aborted) await pool.runSynthetic(run);
  })();
  scope.onEnd(async () => {
    stopping.abort();
    await load;
    await pool.close();
  });
  return { scaling, pool };
}
