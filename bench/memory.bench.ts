import { setTimeout as delay } from 'node:timers/promises';
import { slow, SLOW_WIDTH } from '../research/load-models/tiny-graphs.js';
import { bench, type Scope } from './harness/bench.js';
import { Disturbed } from './harness/disturbed.js';
import { startHelper, type Helper } from './harness/helper.js';
import { grpcRequest, jsonRequest } from './harness/messages.js';
import { atMost, isTiny, numberText, report } from './harness/row.js';
import { median } from './harness/statistics.js';
import { residentMib, startSponge } from './harness/sponge-server.js';
import { writeBareModel } from './harness/tensor-models.js';
import type { EchoPorts } from './helpers/echo-server.js';
import type { GrpcTarget } from './helpers/grpc-client.js';
import type { HttpTarget } from './helpers/http-client.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * Resident memory of the router with 10 000 requests of 4 KB in its queue, its planner at work, while the model is much
 * too slow for them. Over gRPC they share 50 connections; over REST each has one of its own, which is what HTTP/1.1 costs.
 * What the open connections alone took is in the note. Baseline: a bare Node server that reads as many and answers none.
 */

const QUEUED = isTiny ? 300 : 10_000;
const ROUNDS = isTiny ? 1 : 3;
/** A batch takes seconds, so that hardly any request leaves the queue. */
const STEP_COUNT = isTiny ? 300 : 5000;
const GRPC_CONNECTIONS = isTiny ? 10 : 50;
const INPUT = { name: 'x', datatype: 'FP32', shape: [1, SLOW_WIDTH] } as const;
/** Of the router, and of what a bare server needs to hold the same: the smaller one counts. */
const MOST_MIB = 300;
const MOST_OF_BARE = 1.5;
const ARRIVAL_TIMEOUT_MS = 60_000;

type Protocol = 'REST' | 'gRPC';

interface Memory {
  readonly idleMib: number;
  readonly connectedMib: number;
  readonly queuedMib: number;
}

await bench(async (scope) => {
  const modelPath = writeBareModel(scope.folder(), 'slow', slow(STEP_COUNT));
  // Takes the profile, once.
  await (await startSponge(scope, [modelPath, '--no-refine'])).stop();
  for (const protocol of ['gRPC', 'REST'] as const) {
    const ours: Memory[] = [];
    const bare: Memory[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(await routerMemory(scope, protocol, modelPath));
      bare.push(await bareMemory(scope, protocol));
    }
    const last = ours.at(-1)!;
    const connections = numberText(last.connectedMib - last.idleMib);
    report({
      what: `router memory, ${QUEUED} queued requests, ${protocol}`,
      unit: 'MiB',
      ours: ours.map(({ queuedMib }) => queuedMib),
      baseline: { what: 'bare Node server', values: bare.map(({ queuedMib }) => queuedMib) },
      budget: atMost(Math.round(Math.min(MOST_MIB, MOST_OF_BARE * median(bare.map(({ queuedMib }) => queuedMib))))),
      note: `idle ${numberText(last.idleMib)} MiB, ${connectionCount(protocol)} connections ${connections} MiB more`,
    });
  }
});

function connectionCount(protocol: Protocol): number {
  return protocol === 'REST' ? QUEUED : GRPC_CONNECTIONS;
}

function target(protocol: Protocol, ports: { readonly http: number; readonly grpc: number }, path?: string) {
  const message = jsonRequest('slow', INPUT, new Array<number>(SLOW_WIDTH).fill(1));
  const frame = grpcRequest('slow', INPUT, new Uint8Array(4 * SLOW_WIDTH));
  return protocol === 'REST'
    ? ({ protocol: 'http', port: ports.http, message: { ...message, path: path ?? message.path } } satisfies HttpTarget)
    : ({ protocol: 'grpc', port: ports.grpc, frame, isNative: false } satisfies GrpcTarget);
}

async function routerMemory(scope: Scope, protocol: Protocol, modelPath: string): Promise<Memory> {
  const server = await startSponge(scope, [
    modelPath,
    '--no-refine',
    '--queue-limit',
    '20000',
    '--max-calls',
    '20000',
    '--client-share',
    '1',
  ]);
  const to = target(protocol, { http: server.restPort, grpc: server.grpcPort });
  const client = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const memory = await fill(client, to, protocol, server.pid, async () => {
    // What left the queue meanwhile has been in it.
    const [queued, left] = [await server.metric('sponge_queue_depth'), await server.metric('sponge_batch_size_sum')];
    return queued + left;
  });
  await client.stop();
  await server.stop();
  return memory;
}

async function bareMemory(scope: Scope, protocol: Protocol): Promise<Memory> {
  const echo = startHelper<string, EchoPorts>(scope, 'echo-server');
  const ports = await echo.call('/hold');
  const to = target(protocol, { http: ports.http, grpc: ports.http2 }, '/hold');
  const client = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const memory = await fill(client, to, protocol, echo.pid, async () => (await echo.call('/hold')).heldCount);
  await client.stop();
  await echo.stop();
  return memory;
}

async function fill(
  client: Helper<LoadRequest, LoadResult>,
  to: HttpTarget | GrpcTarget,
  protocol: Protocol,
  pid: number,
  arrivedCount: () => Promise<number>,
): Promise<Memory> {
  const idleMib = residentMib(pid);
  await client.call({ kind: 'connect', target: to, connectionCount: connectionCount(protocol) });
  await delay(500);
  const connectedMib = residentMib(pid);
  await client.call({ kind: 'send', requestCount: QUEUED });
  const untilMs = performance.now() + ARRIVAL_TIMEOUT_MS;
  for (let arrived = 0; arrived < QUEUED; arrived = await arrivedCount()) {
    if (performance.now() > untilMs) throw new Disturbed(`${arrived} of ${QUEUED} requests arrived`);
    await delay(100);
  }
  return { idleMib, connectedMib, queuedMib: residentMib(pid) };
}
