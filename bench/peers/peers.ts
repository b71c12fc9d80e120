import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Scope } from '../harness/bench.js';
import { binaryRequest, GRPC_PATH, grpcRequest, jsonRequest } from '../harness/messages.js';
import { startSponge } from '../harness/sponge-server.js';
import type { Environments } from './environment.js';

/* Ours and what people would use instead: how each is started, and what a request to it looks like. */

export const PEERS = ['sponge', 'triton', 'mosec', 'mosec-batched', 'kserve'] as const;
export type PeerName = (typeof PEERS)[number];

export const PROTOCOLS = ['JSON', 'binary', 'gRPC'] as const;
export type ProtocolName = (typeof PROTOCOLS)[number];

/** A model of one input, float32. */
export interface ServedModel {
  /** `…/model.onnx` */
  readonly path: string;
  readonly input: string;
  readonly shape: readonly number[];
}

export interface Endpoint {
  readonly isHttp2: boolean;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface RunningPeer {
  readonly name: PeerName;
  /** Of the process whose descendants are the server. */
  readonly pid: number;
  readonly endpoints: Readonly<Partial<Record<ProtocolName, Endpoint>>>;
}

const START_TIMEOUT_MS = 120_000;

/** Started by the project's own script, as its manual has it. @throws Error, one line, where it does not become ready */
export async function startPeer(
  scope: Scope,
  environments: Environments,
  name: PeerName,
  model: ServedModel,
): Promise<RunningPeer> {
  const data = new Uint8Array(new Float32Array(elementCount(model)).fill(0.5).buffer);
  if (name === 'sponge') {
    const { pid, restPort, grpcPort } = await startSponge(scope, [model.path, '--no-refine', '--instances', 'auto']);
    return { name, pid, endpoints: openInference(model, data, restPort, grpcPort) };
  }
  const [http, grpc] = await freePorts();
  const [environment, ...args] = commandOf(name, model, scope, http, grpc);
  const script = join(import.meta.dirname, args[0]);
  const pid = startScript(scope, environments.python(environment), [script, ...args.slice(1)]);
  const isMosec = environment === 'mosec';
  const endpoints = isMosec ? mosecEndpoints(model, data, http) : openInference(model, data, http, grpc);
  await ready(name, endpoints.binary!);
  return { name, pid, endpoints };
}

type Command = readonly ['mosec' | 'kserve' | 'triton', string, ...string[]];

function commandOf(
  name: Exclude<PeerName, 'sponge'>,
  { path }: ServedModel,
  scope: Scope,
  http: number,
  grpc: number,
): Command {
  const mosec = (batch: string): Command => [
    ...(['mosec', 'mosec_server.py', path, batch] as const),
    ...['--address', '127.0.0.1', '--port', String(http), '--timeout', '60000'],
  ];
  switch (name) {
    case 'mosec':
      return mosec('1');
    case 'mosec-batched':
      return mosec('32');
    case 'kserve':
      return ['kserve', 'kserve_server.py', path, '--http_port', String(http), '--grpc_port', String(grpc)];
    case 'triton':
      return ['triton', 'triton_server.py', path, scope.folder(), String(http), String(grpc)];
  }
}

/** In a process group of its own, which ends with it. */
function startScript(scope: Scope, program: string, args: readonly string[]): number {
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'ignore', 'pipe'], cwd: scope.folder() });
  let errors = '';
  child.stderr.on('data', (text: Buffer) => (errors = (errors + text.toString()).slice(-2000)));
  const ended = once(child, 'exit');
  scope.onEnd(async () => {
    endGroup(child.pid!, 'SIGTERM');
    await Promise.race([ended, delay(5000)]);
    endGroup(child.pid!, 'SIGKILL');
    await ended;
  });
  void ended.then(([code]) => {
    if (code !== 0 && code !== null) console.error(`${args[0]!} ended with ${String(code)}: ${errors}`);
  });
  return child.pid!;
}

function endGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // All of it has ended.
  }
}

async function ready(name: string, { url, headers, body }: Endpoint): Promise<void> {
  const untilMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const status = await fetch(url, { method: 'POST', headers, body: Buffer.from(body) }).then(
      async (answer) => (await answer.arrayBuffer(), answer.status),
      () => 0,
    );
    if (status === 200) return;
    if (performance.now() > untilMs)
      throw new Error(`${name} was not ready after ${START_TIMEOUT_MS / 1000} s: ${status}`);
    await delay(200);
  }
}

/** REST and gRPC of the Open Inference Protocol, with Triton's binary extension: the same bytes for all who speak it. */
function openInference(
  model: ServedModel,
  data: Uint8Array,
  restPort: number,
  grpcPort: number,
): RunningPeer['endpoints'] {
  const input = { name: model.input, datatype: 'FP32', shape: model.shape } as const;
  const rest = ({ path, headers, body }: ReturnType<typeof jsonRequest>): Endpoint => {
    return { isHttp2: false, url: `http://127.0.0.1:${restPort}${path}`, headers, body };
  };
  return {
    JSON: rest(
      jsonRequest(
        'model',
        input,
        Array.from({ length: elementCount(model) }, () => 0.5),
      ),
    ),
    binary: rest(binaryRequest('model', input, data)),
    gRPC: {
      isHttp2: true,
      url: `http://127.0.0.1:${grpcPort}${GRPC_PATH}`,
      headers: { 'content-type': 'application/grpc', te: 'trailers' },
      body: grpcRequest('model', input, data),
    },
  };
}

/** mosec leaves the form to its user: numbers alone in JSON, the array's bytes alone. */
function mosecEndpoints(model: ServedModel, data: Uint8Array, port: number): RunningPeer['endpoints'] {
  const at = (route: string, type: string, body: Uint8Array): Endpoint => ({
    isHttp2: false,
    url: `http://127.0.0.1:${port}/${route}`,
    headers: { 'content-type': type },
    body,
  });
  const json = JSON.stringify({ data: Array.from({ length: elementCount(model) }, () => 0.5) });
  return {
    JSON: at('json', 'application/json', Buffer.from(json)),
    binary: at('bytes', 'application/octet-stream', data),
  };
}

function elementCount({ shape }: ServedModel): number {
  return shape.reduce((product, size) => product * size, 1);
}

async function freePorts(): Promise<readonly [number, number]> {
  const servers = [createServer(), createServer()];
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) => {
          server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return [ports[0]!, ports[1]!];
}
