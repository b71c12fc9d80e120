import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Scope } from './bench.js';

/** A server as a user starts it: the built package, its own process. */
export interface SpongeServer {
  readonly pid: number;
  readonly restPort: number;
  readonly grpcPort: number;
  /** Start of the process → its banner. */
  readonly readyMs: number;
  /** The sum over its label sets of every sample of a metric whose labels include these; 0 for none. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  /** At once, as with `kill -9`: its workers follow. Safe to call twice. */
  stop(): Promise<void>;
}

const BIN = join(import.meta.dirname, '../../bin/sponge.js');
const START_TIMEOUT_MS = 60_000;

/**
 * @param flags of `sponge serve`, the model's path first
 * @param nodeFlags for a profile: `--cpu-prof` and the like; SIGTERM lets it be written
 */
export async function startSponge(scope: Scope, flags: readonly string[]): Promise<SpongeServer> {
  const startedAtMs = performance.now();
  const ports = ['--port', '0', '--grpc-port', '0', '--metrics-port', '0'];
  const group = `bench-${randomBytes(4).toString('hex')}`;
  const nodeFlags = (process.env['SPONGE_BENCH_NODE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '');
  // One worker, whatever the machine has, where a benchmark is not about several.
  const instances = flags.includes('--instances') ? [] : ['--instances', '1'];
  const args = [...nodeFlags, BIN, 'serve', ...flags, ...ports, ...instances, '--group', group, '--log-level', 'error'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'exit');
  let isStopped = false;
  const stop = async (): Promise<void> => {
    if (isStopped) return;
    isStopped = true;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
    await ended;
    clearTimeout(timer);
  };
  scope.onEnd(stop);

  let output = '';
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-4000)));
  const ready = new Promise<number>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (/^ {2}planning /m.test(output)) resolve(performance.now() - startedAtMs);
    });
  });
  let timer: NodeJS.Timeout | undefined;
  const failed = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not ready after ${START_TIMEOUT_MS} ms: ${errors}`)), START_TIMEOUT_MS);
    void ended.then(() => reject(new Error(`sponge ended before it was ready: ${errors}`)));
  });
  failed.catch(() => undefined);
  const readyMs = await Promise.race([ready, failed]);
  clearTimeout(timer);

  const metricsUrl = find(output, /^ {2}metrics +(\S+)/m);
  return {
    pid: child.pid!,
    restPort: Number(find(output, /^ {2}REST +\S+:(\d+)\//m)),
    grpcPort: Number(find(output, /^ {2}gRPC +\S+:(\d+)$/m)),
    readyMs,
    async metric(name, labels = {}) {
      return sumOfSamples(await (await fetch(metricsUrl)).text(), name, labels);
    },
    stop,
  };
}

function find(text: string, pattern: RegExp): string {
  const match = pattern.exec(text);
  if (match === null) throw new Error(`the banner has no ${pattern.source}:\n${text}`);
  return match[1]!;
}

/** Of the Prometheus text exposition format. */
function sumOfSamples(text: string, name: string, labels: Readonly<Record<string, string>>): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  let sum = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    if (wanted.every((label) => line.includes(label))) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}

/** Resident memory of a process, MiB. */
export function residentMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024;
}
