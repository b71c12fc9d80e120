import { setTimeout as delay } from 'node:timers/promises';
import type { DetectedScaler } from '../src/server/scalers/detect.js';
import { bench } from './harness/bench.js';
import { startBusyWorker } from './harness/live-worker.js';
import { isTiny, report, skip } from './harness/row.js';

/*
 * Does an allocation hold? The CPU that the inference threads of one running worker use by the kernel's own count, with two
 * ONNX Runtime threads busy, at several quotas, shrinking and growing in turn; nothing is written within a window.
 * Baseline: the quota itself, so the ratio should be 1. Less means that other programs took the CPU.
 */

const QUOTAS_MILLICORES = [250, 500, 1000, 1500];
const ROUNDS = isTiny ? 1 : 5;
const WINDOW_MS = isTiny ? 200 : 600;
/** A lowered quota holds from the next refill on; what was handed out before is used up first. */
const SETTLE_MS = 100;

await bench(async (scope) => {
  const worker = await startBusyWorker(scope);
  if ('obstacle' in worker) {
    for (const quota of QUOTAS_MILLICORES) skip(title(quota), worker.obstacle);
    return;
  }
  const { scaling, pool } = worker;
  const { pid } = pool;
  const { maxMillicores } = scaling.scaler.limits;
  const quotas = QUOTAS_MILLICORES.filter((quota) => quota <= maxMillicores);
  const used = new Map<number, number[]>(quotas.map((quota) => [quota, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const quota of round % 2 === 0 ? quotas : [...quotas].reverse()) {
      await resize(scaling, quota);
      await delay(SETTLE_MS);
      used.get(quota)!.push(await usedCores(scaling));
    }
  }
  if (pool.pid !== pid) throw new Error('the worker was replaced: not in place');
  for (const quota of QUOTAS_MILLICORES) {
    const ours = used.get(quota);
    if (ours === undefined) skip(title(quota), `the largest allocation here is ${maxMillicores} millicores`);
    else {
      const baseline = { what: 'the quota', values: [quota / 1000] };
      report({ what: title(quota), unit: 'cores', ours, baseline, budget: null, note: 'one process id throughout' });
    }
  }
});

function title(quotaMillicores: number): string {
  return `CPU used at a quota of ${quotaMillicores} millicores`;
}

function resize({ scaler }: DetectedScaler, cpuMillicores: number): Promise<void> {
  return new Promise((resolve, reject) => {
    scaler.resize(cpuMillicores, (result) => {
      if (result.kind === 'applied') resolve();
      else reject(new Error(result.message));
    });
  });
}

async function usedCores({ scaler }: DetectedScaler): Promise<number> {
  const startedAtMs = performance.now();
  const startSeconds = scaler.readCounters()!.usedSeconds;
  await delay(WINDOW_MS);
  return (1000 * (scaler.readCounters()!.usedSeconds - startSeconds)) / (performance.now() - startedAtMs);
}
