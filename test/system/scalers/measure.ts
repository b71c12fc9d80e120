import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Scaler } from '../../../src/scheduler/controlplane/scaler.js';
import type { DetectedScaler } from '../../../src/server/scalers/detect.js';
import { INFERENCE_THREAD_NAME } from '../../../src/server/scalers/join.js';
import type { Burner } from './burner.js';

/** Long enough for 40 periods of 10 ms and 40 clock ticks. */
export const WINDOW_MS = 400;
/** A lowered quota holds from the next refill on; what was handed out before is used up first. */
export const SETTLE_MS = 100;

/** Read by the suite itself, not through the adapter. */
export function millicoresInForce({ join: instruction }: DetectedScaler, { report }: Burner): number {
  switch (instruction.kind) {
    case 'cgroup-v1': {
      const dir = dirname(instruction.taskFiles[0]!);
      const [quota, period] = ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((file) => Number(read(join(dir, file))));
      return (quota! * 1000) / period!;
    }
    case 'cgroup-v2': {
      const [quota, period] = read(join(dirname(instruction.threadsFile), 'cpu.max'))
        .split(' ')
        .map(Number);
      return (quota! * 1000) / period!;
    }
    case 'affinity':
    case 'none':
      return allowedCpuCount(report.pid, report.tid) * 1000;
  }
}

export function groupDirs({ join: instruction }: DetectedScaler): string[] {
  if (instruction.kind === 'cgroup-v1') return instruction.taskFiles.map((file) => dirname(file));
  return instruction.kind === 'cgroup-v2' ? [dirname(instruction.threadsFile)] : [];
}

/** @returns a function that tells the cores used since */
export function useMeter(scaler: Scaler): () => number {
  const startedAtMs = performance.now();
  const startSeconds = scaler.readCounters()!.usedSeconds;
  return () => ((scaler.readCounters()!.usedSeconds - startSeconds) * 1000) / (performance.now() - startedAtMs);
}

async function windowUseCores(scaler: Scaler): Promise<number> {
  const measured = useMeter(scaler);
  await delay(WINDOW_MS);
  return measured();
}

/** Of three windows without writes: one may be disturbed. */
export async function medianUseCores(scaler: Scaler): Promise<number> {
  const uses: number[] = [];
  await delay(SETTLE_MS);
  while (uses.length < 3) uses.push(await windowUseCores(scaler));
  return median(uses);
}

/** Other load on the machine can only lower the use, so one window that shows more than `enough` is proof; ten tries. */
export async function greatestUseCores(scaler: Scaler, enough: number): Promise<number> {
  let greatest = 0;
  await delay(SETTLE_MS);
  for (let window = 0; window < 10 && greatest <= enough; window++) {
    greatest = Math.max(greatest, await windowUseCores(scaler));
  }
  return greatest;
}

/** How many cores the burning threads are seen on, watched until there are `enough`, for 4 s at most. */
export async function coresRunOn({ report }: Burner, enough: number): Promise<number> {
  const seen = new Set<string>();
  const untilMs = performance.now() + 4000;
  while (seen.size < enough && performance.now() < untilMs) {
    for (const tid of readdirSync(`/proc/${report.pid}/task`)) {
      const stat = read(`/proc/${report.pid}/task/${tid}/stat`);
      // Field 39, `processor`, counted from behind the name in parentheses, which is field 2 (proc(5)).
      if (stat.includes(`(${INFERENCE_THREAD_NAME})`)) seen.add(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[36]!);
    }
    await delay(20);
  }
  return seen.size;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** Whether a killed process ends within 2 s: its threads die one by one, those in its group maybe before the others. */
export async function ends(pid: number): Promise<boolean> {
  const untilMs = performance.now() + 2000;
  while (isAlive(pid) && performance.now() < untilMs) await delay(20);
  return !isAlive(pid);
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*[XZ]/m.test(read(`/proc/${pid}/status`));
  } catch {
    return false; // gone, maybe while it was read
  }
}

export function threadCount(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).length;
}

export function pinnedThreadCount(pid: number, cpuCount: number): number {
  const tids = readdirSync(`/proc/${pid}/task`).map(Number);
  return tids.filter((tid) => allowedCpuCount(pid, tid) === cpuCount).length;
}

function allowedCpuCount(pid: number, tid: number): number {
  const mask = /^Cpus_allowed:\s*(\S+)$/m.exec(read(`/proc/${pid}/task/${tid}/status`))![1]!;
  return BigInt(`0x${mask.replaceAll(',', '')}`)
    .toString(2)
    .replaceAll('0', '').length;
}

function read(path: string): string {
  return readFileSync(path, 'utf8').trim();
}
