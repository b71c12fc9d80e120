import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ResizeResult } from '../src/scheduler/controlplane/scaler.js';
import type { DetectedScaler } from '../src/server/scalers/detect.js';
import { bench } from './harness/bench.js';
import { startBusyWorker } from './harness/live-worker.js';
import { atMost, isTiny, report, skip } from './harness/row.js';
import { chunks, quantile } from './harness/statistics.js';

/*
 * One resize through the real adapter, decision → read back, of a group whose worker is busy all the time: 2000 of them
 * from the middle to the smallest and the largest allocation in turn, each followed 1 ms later by the baseline, which takes
 * it back to the middle: a bare write of the same quota file, without comparing before or reading back.
 */

const ROUNDS = 5;
const RESIZES = isTiny ? 100 : 2000;
const PAUSE_MS = 1;

await bench(async (scope) => {
  const worker = await startBusyWorker(scope);
  if ('obstacle' in worker) {
    for (const percentile of ['p50', 'p99']) skip(`resize, decision → read back, ${percentile}`, worker.obstacle);
    return;
  }
  const { scaling } = worker;
  const { minMillicores, maxMillicores } = scaling.scaler.limits;
  const middleMillicores = Math.round((minMillicores + maxMillicores) / 2);
  const write = quotaWriter(scaling);
  const oursMs: number[] = [];
  const bareMs: number[] = [];
  for (let count = 0; count < RESIZES; count++) {
    const wanted = count % 2 === 0 ? minMillicores : maxMillicores;
    await delay(PAUSE_MS);
    const startedAtMs = performance.now();
    const result = await resize(scaling, wanted);
    oursMs.push(performance.now() - startedAtMs);
    if (result.kind !== 'applied' || !result.isWritten || result.cpuMillicores !== wanted) {
      throw new Error(`resize to ${wanted}: ${JSON.stringify(result)}`);
    }
    await delay(PAUSE_MS);
    const writtenAtMs = performance.now();
    write(middleMillicores);
    bareMs.push(performance.now() - writtenAtMs);
  }
  for (const [percentile, fraction] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const) {
    const ofRounds = (values: readonly number[]) => chunks(values, ROUNDS).map((round) => quantile(round, fraction));
    report({
      what: `resize, decision → read back, ${percentile}`,
      unit: 'ms',
      ours: ofRounds(oursMs),
      baseline: { what: 'bare write of the quota', values: ofRounds(bareMs) },
      budget: percentile === 'p99' ? atMost(1) : null,
      note: `${scaling.scaler.kind}, ${RESIZES} resizes, the worker busy`,
    });
  }
});

function resize({ scaler }: DetectedScaler, cpuMillicores: number): Promise<ResizeResult> {
  return new Promise((resolve) => scaler.resize(cpuMillicores, resolve));
}

/** The same files as the adapter, found by the paths that a worker joins with. */
function quotaWriter({ join: instruction }: DetectedScaler): (cpuMillicores: number) => void {
  if (instruction.kind === 'cgroup-v1') {
    const folder = dirname(instruction.taskFiles[0]!);
    const periodUs = Number(readFileSync(join(folder, 'cpu.cfs_period_us'), 'utf8'));
    const file = join(folder, 'cpu.cfs_quota_us');
    return (cpuMillicores) => writeFileSync(file, String((cpuMillicores * periodUs) / 1000));
  }
  if (instruction.kind !== 'cgroup-v2') throw new Error('not a cgroup');
  const file = join(dirname(instruction.threadsFile), 'cpu.max');
  const periodUs = Number(readFileSync(file, 'utf8').split(' ')[1]);
  return (cpuMillicores) => writeFileSync(file, `${(cpuMillicores * periodUs) / 1000} ${periodUs}`);
}
