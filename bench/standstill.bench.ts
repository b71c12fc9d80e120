import { setTimeout as delay } from 'node:timers/promises';
import { slow, SLOW_WIDTH } from '../research/load-models/tiny-graphs.js';
import { bench, type Scope } from './harness/bench.js';
import { startHelper } from './harness/helper.js';
import { binaryRequest, grpcRequest, type HttpMessage } from './harness/messages.js';
import { atMost, isTiny, report, spreadText } from './harness/row.js';
import { startSponge } from './harness/sponge-server.js';
import { quantile } from './harness/statistics.js';
import { writeBareModel } from './harness/tensor-models.js';
import { turnWatch, type TurnWatch, type Turns } from './harness/turn-watch.js';
import type { EchoPorts } from './helpers/echo-server.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * How long the router stands still while thousands wait for a model that serves a few in a second, and as many again come every
 * few seconds: its event loop's delay, how long a health probe takes, and how long a refusal takes. Baseline: a bare Node server that
 * holds as many and refuses as many, in the same run. Clients, server and model share the machine's cores, so most of a stop may be
 * waiting for one of them, which no server can help; what the server itself does is its CPU time between two looks.
 */

const WAITING = isTiny ? 200 : 10_000;
const RATE_PER_SEC = isTiny ? 100 : 2000;
const DURATION_MS = isTiny ? 500 : 10_000;
const ROUNDS = isTiny ? 1 : 3;
const PROBE_EVERY_MS = 5;
/** A run takes seconds, so that hardly any request leaves the queue. */
const STEP_COUNT = isTiny ? 300 : 5000;
const INPUT = { name: 'x', datatype: 'FP32', shape: [1, SLOW_WIDTH] } as const;
const CONNECTIONS = 50;
/** Of those that come: too little for those that wait before them. */
const BUDGET_MS = 1000;

interface Standstill extends Turns {
  readonly healthMs: number;
  readonly refusalMs: number;
}

/** A server as the clients see it. */
interface Asked {
  readonly pid: number;
  readonly http: number;
  readonly grpc: number;
  readonly healthPath: string;
  /** What comes on top of those that wait. */
  readonly refused: HttpMessage;
  heldCount(): Promise<number>;
  stop(): Promise<void>;
}

await bench(async (scope) => {
  const modelPath = writeBareModel(scope.folder(), 'slow', slow(STEP_COUNT));
  await (await startSponge(scope, [modelPath, '--no-refine'])).stop();
  const [waiting, bare, alone]: [Standstill[], Standstill[], Standstill[]] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    const watch = turnWatch(scope);
    alone.push(await measure(scope, watch, await startOurs(scope, watch, modelPath), 0));
    bare.push(await measure(scope, watch, await startBare(scope, watch), WAITING));
    waiting.push(await measure(scope, watch, await startOurs(scope, watch, modelPath), WAITING));
  }
  const row = (what: string, pick: (each: Standstill) => number, mostMs: number | null, note = ''): void =>
    report({
      what: `${what}, ${WAITING} wait, ${RATE_PER_SEC}/s come`,
      unit: 'ms',
      ours: waiting.map(pick),
      baseline: { what: 'bare Node server', values: bare.map(pick) },
      budget: mostMs === null ? null : atMost(mostMs),
      note,
    });
  const waitMs = ({ waitMs }: Standstill): number => waitMs;
  const waits = `waited for a core p99.9: ${spreadText(waiting.map(waitMs))} ms, bare ${spreadText(bare.map(waitMs))} ms`;
  row('event loop delay p99.9', ({ delayMs }) => delayMs, 20, waits);
  row("of it the server's own CPU time p99.9", ({ cpuMs }) => cpuMs, 20);
  row('longest stop of the event loop', ({ longestMs }) => longestMs, null);
  row('health answer p99.9', ({ healthMs }) => healthMs, 50);
  row('refusal p99', ({ refusalMs }) => refusalMs, null);
  report({
    what: `event loop delay p99.9, nobody waits, ${RATE_PER_SEC}/s come`,
    unit: 'ms',
    ours: alone.map(({ delayMs }) => delayMs),
    baseline: null,
    budget: null,
    note: `waited for a core p99.9: ${spreadText(alone.map(waitMs))} ms`,
  });
});

async function startOurs(scope: Scope, watch: TurnWatch, modelPath: string): Promise<Asked> {
  const flags = [
    ...[modelPath, '--no-refine', '--queue-limit', '40000', '--max-calls', '40000', '--client-share', '1'],
    // The clients and the router have the rest of the machine.
    ...['--max-run-ms', '600000', '--max-batch', '1', '--max-cores', '0.5'],
  ];
  const server = await startSponge(scope, flags, { watch });
  const binary = binaryRequest('slow', INPUT, new Uint8Array(4 * SLOW_WIDTH));
  return {
    pid: server.pid,
    http: server.restPort,
    grpc: server.grpcPort,
    healthPath: '/v2/health/live',
    refused: { ...binary, headers: { ...binary.headers, 'request-timeout-ms': String(BUDGET_MS) } },
    heldCount: () => server.metric('sponge_queue_depth'),
    stop: () => server.stop(),
  };
}

async function startBare(scope: Scope, watch: TurnWatch): Promise<Asked> {
  const echo = startHelper<string, EchoPorts>(scope, 'echo-server', watch.nodeFlags);
  const ports = await echo.call('/hold');
  const binary = binaryRequest('slow', INPUT, new Uint8Array(4 * SLOW_WIDTH));
  return {
    pid: echo.pid,
    http: ports.http,
    grpc: ports.http2,
    healthPath: '/short',
    refused: { ...binary, path: '/echo', headers: { ...binary.headers, 'x-delay-ms': '0' } },
    heldCount: async () => (await echo.call('/hold')).heldCount,
    stop: () => echo.stop(),
  };
}

async function measure(scope: Scope, watch: TurnWatch, server: Asked, waiting: number): Promise<Standstill> {
  const crowd = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  if (waiting > 0) {
    // Without a budget of their own they have the default, which is long.
    const frame = grpcRequest('slow', INPUT, new Uint8Array(4 * SLOW_WIDTH));
    const target = { protocol: 'grpc', port: server.grpc, frame, isNative: false } as const;
    await crowd.call({ kind: 'connect', target, connectionCount: CONNECTIONS });
    await crowd.call({ kind: 'send', requestCount: waiting });
    while ((await server.heldCount()) < 0.99 * waiting) await delay(100);
  }
  // Each question begins the quantiles anew.
  await watch.ask(server.pid);
  const arrivals = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const target = { protocol: 'http', port: server.http, message: server.refused } as const;
  const paced = arrivals.call({ kind: 'paced', target, ratePerSec: RATE_PER_SEC, durationMs: DURATION_MS });
  const healthMs: number[] = [];
  const untilMs = performance.now() + DURATION_MS;
  while (performance.now() < untilMs) {
    const askedAtMs = performance.now();
    await (await fetch(`http://127.0.0.1:${server.http}${server.healthPath}`)).arrayBuffer();
    healthMs.push(performance.now() - askedAtMs);
    await delay(PROBE_EVERY_MS);
  }
  const turns = await watch.ask(server.pid);
  const { latenciesMs } = await paced;
  await crowd.stop();
  await arrivals.stop();
  await server.stop();
  return { ...turns, healthMs: quantile(healthMs, 0.999), refusalMs: quantile(latenciesMs, 0.99) };
}
