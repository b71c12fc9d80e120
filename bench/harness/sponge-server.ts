import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { whenReady } from '../../src/server/ready-message.js';
import { sumOfSamples } from '../../research/live/metric-samples.js';
import type { Scope } from './bench.js';

/** A server as a user starts it: the built package, its own process. */
export interface SpongeServer {
  readonly pid: number;
  readonly restPort: number;
  readonly grpcPort: number;
  readonly metricsUrl: string;
  /** Of its CPU groups: their names begin with `sponge-` and this. */
  readonly group: string;
  /** Start of the process → its being ready. */
  readonly readyMs: number;
  /** The sum over its label sets of every sample of a metric whose labels include these; 0 for none. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  /** The same of several label sets, all of one look. */
  metrics(name: string, labelSets: readonly Readonly<Record<string, string>>[]): Promise<readonly number[]>;
  /** What the router's JavaScript holds once its garbage is collected, now. Only of one that was started `withGarbageCollection`. */
  heldMemory(): Promise<HeldMemory>;
  /** At once, as with `kill -9`: its workers follow. Safe to call twice. */
  stop(): Promise<void>;
}

/** MiB. */
export interface HeldMemory {
  readonly heapMib: number;
  /** Buffers, outside of the heap. */
  readonly buffersMib: number;
}

/** Collects when it is sent the signal, and says what is left on stderr. */
const COLLECTING = `process.on("SIGUSR2", () => {
  gc();
  const { heapUsed, external } = process.memoryUsage();
  console.error("held " + JSON.stringify({ heapMib: heapUsed / 2 ** 20, buffersMib: external / 2 ** 20 }));
})`;

const BIN = join(import.meta.dirname, '../../bin/sponge.js');
const START_TIMEOUT_MS = 60_000;

/**
 * @param flags of `sponge serve`, the model's path first
 * @param watch whose flags the process is started with
 * @param bin of another tree than this one
 */
export async function startSponge(
  scope: Scope,
  flags: readonly string[],
  {
    withGarbageCollection = false,
    watch,
    bin = BIN,
  }: {
    withGarbageCollection?: boolean;
    watch?: { readonly nodeFlags: readonly string[] };
    bin?: string | undefined;
  } = {},
): Promise<SpongeServer> {
  const startedAtMs = performance.now();
  const ports = ['--port', '0', '--grpc-port', '0', '--metrics-port', '0'];
  const group = `bench-${randomBytes(4).toString('hex')}`;
  // For a profile: `--cpu-prof` and the like; SIGTERM lets it be written.
  const nodeFlags = (process.env['SPONGE_BENCH_NODE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '');
  if (withGarbageCollection)
    nodeFlags.push('--expose-gc', '--import', `data:text/javascript,${encodeURIComponent(COLLECTING)}`);
  nodeFlags.push(...(watch?.nodeFlags ?? []));
  // One worker, whatever the machine has, where a benchmark is not about several.
  const instances = flags.includes('--instances') ? [] : ['--instances', '1'];
  const args = [...nodeFlags, bin, 'serve', ...flags, ...ports, ...instances, '--group', group, '--log-level', 'error'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
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

  let errors = '';
  child.stderr!.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-4000)));
  let timer: NodeJS.Timeout | undefined;
  const failed = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not ready after ${START_TIMEOUT_MS} ms: ${errors}`)), START_TIMEOUT_MS);
    void ended.then(() => reject(new Error(`sponge ended before it was ready: ${errors}`)));
  });
  failed.catch(() => undefined);
  const { restUrl, grpcAddress, metricsUrl } = await Promise.race([whenReady(child), failed]);
  const readyMs = performance.now() - startedAtMs;
  clearTimeout(timer);

  return {
    pid: child.pid!,
    restPort: portOf(restUrl),
    grpcPort: portOf(grpcAddress),
    metricsUrl,
    group,
    readyMs,
    heldMemory() {
      return new Promise((resolve) => {
        let text = '';
        const read = (chunk: Buffer): void => {
          const said = /^held (.*)\n/m.exec((text += chunk.toString()))?.[1];
          if (said === undefined) return;
          child.stderr!.off('data', read);
          resolve(JSON.parse(said) as HeldMemory);
        };
        child.stderr!.on('data', read);
        child.kill('SIGUSR2');
      });
    },
    async metric(name, labels = {}) {
      return sumOfSamples(await (await fetch(metricsUrl)).text(), name, labels);
    },
    async metrics(name, labelSets) {
      const text = await (await fetch(metricsUrl)).text();
      return labelSets.map((labels) => sumOfSamples(text, name, labels));
    },
    stop,
  };
}

function portOf(address: string): number {
  return Number(/:(\d+)$/.exec(address)![1]);
}

/** Resident memory of a process, MiB. */
export function residentMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024;
}
