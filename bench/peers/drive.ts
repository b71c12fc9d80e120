import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Scope } from '../harness/bench.js';
import { quantile } from '../harness/statistics.js';
import type { Environments } from './environment.js';
import type { Endpoint, RunningPeer } from './peers.js';

/* Load by clients that are nobody's of these: nghttp2's h2load in a closed loop, and a small one in Python in an open one. */

const run = promisify(execFile);

export interface ClosedLoop {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly perSec: number;
  /** Of the server's processes, user and system. */
  readonly cpuMsEach: number;
}

/** @throws Error where an answer is not 200. h2load does not read gRPC's own status. */
export async function closedLoop(
  scope: Scope,
  { pid }: RunningPeer,
  { isHttp2, url, headers, body }: Endpoint,
  clientCount: number,
  seconds: number,
): Promise<ClosedLoop> {
  const folder = scope.folder();
  const [data, log] = [join(folder, 'body'), join(folder, 'log')];
  writeFileSync(data, body);
  const windows = isHttp2 ? ['-w', '22', '-W', '22'] : ['--h1'];
  const heads = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const load = ['-D', String(seconds), '-c', String(clientCount), '-m', '1', ...windows];
  const cpuBefore = treeCpuSeconds(pid);
  await run('h2load', [...load, ...heads, '-d', data, `--log-file=${log}`, url], { maxBuffer: 1 << 24 });
  const cpuSeconds = treeCpuSeconds(pid) - cpuBefore;
  // Start in µs since 1970, HTTP status, duration in µs.
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  rmSync(log);
  const requests = lines.map((line) => line.split('\t').map(Number) as [number, number, number]);
  const bad = requests.find(([, status]) => status !== 200);
  if (bad !== undefined || requests.length < 2) throw new Error(`${url}: answered ${bad?.[1] ?? 'nothing'}`);
  const latenciesMs = requests.map(([, , us]) => us / 1000);
  return {
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
    perSec: requests.length / seconds,
    cpuMsEach: (1000 * cpuSeconds) / requests.length,
  };
}

export interface OpenLoop {
  readonly sent: number;
  readonly inTime: number;
  readonly refused: number;
  /** The client left at its deadline. */
  readonly left: number;
  readonly p50Ms: number | null;
  /** Of the server's processes, for each answer in time. */
  readonly cpuMsEach: number;
}

export interface Arrivals {
  readonly perSec: number;
  readonly seconds: number;
  readonly sloMs: number;
  readonly shape: 'steady' | 'bursts' | 'uplinks' | 'mixed';
  readonly seed: number;
}

export async function openLoop(
  scope: Scope,
  environments: Environments,
  { pid }: RunningPeer,
  { isHttp2, url, headers, body }: Endpoint,
  { perSec, seconds, sloMs, shape, seed }: Arrivals,
): Promise<OpenLoop> {
  const data = join(scope.folder(), 'body');
  // Whoever speaks gRPC frames its messages itself.
  writeFileSync(data, isHttp2 ? body.subarray(GRPC_PREFIX_BYTES) : body);
  // The client adds each request's own `request-timeout-ms`: who knows it plans by it, to the others it says nothing.
  const told = isHttp2 ? {} : headers;
  const where = isHttp2 ? url.replace('http:', 'grpc:') : url;
  const args = [where, data, JSON.stringify(told), perSec, seconds, sloMs, shape, seed].map(String);
  const cpuBefore = treeCpuSeconds(pid);
  const { stdout } = await run(environments.python('client'), [join(import.meta.dirname, 'client.py'), ...args]);
  const counts = JSON.parse(stdout) as Omit<OpenLoop, 'cpuMsEach'>;
  const cpuSeconds = treeCpuSeconds(pid) - cpuBefore;
  return { ...counts, cpuMsEach: (1000 * cpuSeconds) / Math.max(1, counts.inTime) };
}

const SETTLED_CORES = 0.1;
const SETTLED_MS = 500;
const MOST_SETTLING_MS = 30_000;

/**
 * Until none of them does anything any more. Who does not notice that its clients have left works on for them, and would take the next one's CPU.
 * @throws Error where one does not end
 */
export async function settled(peers: readonly RunningPeer[]): Promise<void> {
  const used = (): number => peers.reduce((sum, { pid }) => sum + treeCpuSeconds(pid), 0);
  const untilMs = performance.now() + MOST_SETTLING_MS;
  for (let before = used(); ;) {
    const beganAtMs = performance.now();
    await delay(SETTLED_MS);
    const now = used();
    if ((1000 * (now - before)) / (performance.now() - beganAtMs) < SETTLED_CORES) return;
    if (performance.now() > untilMs)
      throw new Error(`after ${MOST_SETTLING_MS / 1000} s a server still works for nobody`);
    before = now;
  }
}

/** Whether it is compressed, and its length. */
const GRPC_PREFIX_BYTES = 5;

const TICKS_PER_SECOND = 100;

/** User and system time of a process and all that descend from it, so far. Of those that live. */
function treeCpuSeconds(root: number): number {
  const processes = new Map<number, { readonly parent: number; readonly ticks: number }>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      // Behind the name, which may have spaces: state, parent, and utime and stime as the 12th and 13th.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      processes.set(Number(name), { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) });
    } catch {
      // Ended meanwhile.
    }
  }
  const isOfTree = (pid: number): boolean =>
    pid === root || (processes.has(pid) && isOfTree(processes.get(pid)!.parent));
  let ticks = 0;
  for (const [pid, each] of processes) if (isOfTree(pid)) ticks += each.ticks;
  return ticks / TICKS_PER_SECOND;
}
