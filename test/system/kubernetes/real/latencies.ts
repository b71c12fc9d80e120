import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from '../../../../src/kubernetes/api-client.js';
import { must, podOf, resize } from './objects.js';

/*
 * From the PATCH's sending: when the API server has answered, when the kernel has the new quota, when the pod's status says so.
 */

export interface ResizeTimes {
  readonly answeredMs: number;
  readonly quotaMs: number;
  readonly statusMs: number;
}

const PERIOD_US = 100_000;
const GIVEN_UP_MS = 30_000;
const LOOK_EVERY_MS = 1;

/** @param quotaFile of the container, cgroup v1   @param millicores that it does not have yet */
export async function timeResize(
  api: ApiClient,
  pod: string,
  container: string,
  quotaFile: string,
  millicores: number,
): Promise<ResizeTimes> {
  const sentMs = performance.now();
  const since = (): number => performance.now() - sentMs;
  const wanted = String((millicores * PERIOD_US) / 1000);
  const answered = must(resize(api, pod, container, { limits: { cpu: `${millicores}m` } })).then(since);
  const until = async (what: string, isSo: () => boolean | Promise<boolean>): Promise<number> => {
    while (!(await isSo())) {
      if (since() > GIVEN_UP_MS) throw new Error(`${what}: not after ${GIVEN_UP_MS / 1000} s`);
      await delay(LOOK_EVERY_MS);
    }
    return since();
  };
  const quota = until('the quota', () => readFileSync(quotaFile, 'utf8').trim() === wanted);
  const [answeredMs, quotaMs] = await Promise.all([answered, quota]);
  const statusMs = await until('the status', async () => {
    const { status } = await podOf(api, pod);
    const limit = status.containerStatuses?.[0]?.resources?.limits?.cpu;
    return limit !== undefined && millicoresOf(limit) === millicores;
  });
  return { answeredMs, quotaMs, statusMs };
}

function millicoresOf(quantity: string): number {
  return quantity.endsWith('m') ? Number(quantity.slice(0, -1)) : 1000 * Number(quantity);
}

/** Nearest rank. @param fraction 0 to 1 */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(fraction * sorted.length) - 1))]!;
}
