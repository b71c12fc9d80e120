import { setTimeout as delay } from 'node:timers/promises';
import { slow, SLOW_WIDTH } from '../src/adapters/models/tiny-graphs.js';
import { bench, type Scope } from './harness/bench.js';
import { startHelper } from './harness/helper.js';
import { binaryRequest, grpcRequest } from './harness/messages.js';
import { atMost, isTiny, report } from './harness/row.js';
import { startSponge } from './harness/sponge-server.js';
import { quantile } from './harness/statistics.js';
import { writeBareModel } from './harness/tensor-models.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * How long the router stands still while thousands wait for a model that serves a few in a second, and as many again come every
 * few seconds: its event loop's delay, how long a health probe takes, and how long a refusal takes. The baseline is the same server
 * with nobody waiting. Clients, router and model share the machine's cores, so part of it is waiting for one of them.
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

interface Standstill {
  readonly loopMs: number;
  readonly longestMs: number;
  readonly healthMs: number;
  readonly refusalMs: number;
}

await bench(async (scope) => {
  const modelPath = writeBareModel(scope.folder(), 'slow', slow(STEP_COUNT));
  await (await startSponge(scope, [modelPath, '--no-refine'])).stop();
  const [waiting, alone]: [Standstill[], Standstill[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await measure(scope, modelPath, 0));
    waiting.push(await measure(scope, modelPath, WAITING));
  }
  const row = (what: string, pick: (each: Standstill) => number, mostMs: number | null): void =>
    report({
      what: `${what}, ${WAITING} wait, ${RATE_PER_SEC}/s come`,
      unit: 'ms',
      ours: waiting.map(pick),
      baseline: { what: 'nobody waits', values: alone.map(pick) },
      budget: mostMs === null ? null : atMost(mostMs),
      note: '',
    });
  row('event loop delay p99.9', ({ loopMs }) => loopMs, 20);
  row('longest stop of the event loop', ({ longestMs }) => longestMs, null);
  row('health answer p99.9', ({ healthMs }) => healthMs, 50);
  row('refusal p99', ({ refusalMs }) => refusalMs, null);
});

async function measure(scope: Scope, modelPath: string, waiting: number): Promise<Standstill> {
  const server = await startSponge(scope, [
    ...[modelPath, '--no-refine', '--queue-limit', '40000', '--max-calls', '40000', '--client-share', '1'],
    // The clients and the router have the rest of the machine.
    ...['--max-run-ms', '600000', '--max-batch', '1', '--max-cores', '0.5'],
  ]);
  const crowd = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  if (waiting > 0) {
    // Without a budget of their own they have the default, which is long.
    const frame = grpcRequest('slow', INPUT, new Uint8Array(4 * SLOW_WIDTH));
    const target = { protocol: 'grpc', port: server.grpcPort, frame, isNative: false } as const;
    await crowd.call({ kind: 'connect', target, connectionCount: CONNECTIONS });
    await crowd.call({ kind: 'send', requestCount: waiting });
    while ((await server.metric('sponge_queue_depth')) < 0.99 * waiting) await delay(100);
  }
  // Each look at the metrics begins the delay's quantiles anew.
  await server.metric('sponge_queue_depth');
  const arrivals = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const headers = { 'request-timeout-ms': String(BUDGET_MS) };
  const binary = binaryRequest('slow', INPUT, new Uint8Array(4 * SLOW_WIDTH));
  const message = { ...binary, headers: { ...binary.headers, ...headers } };
  const target = { protocol: 'http', port: server.restPort, message } as const;
  const paced = arrivals.call({ kind: 'paced', target, ratePerSec: RATE_PER_SEC, durationMs: DURATION_MS });
  const healthMs: number[] = [];
  const untilMs = performance.now() + DURATION_MS;
  while (performance.now() < untilMs) {
    const askedAtMs = performance.now();
    await (await fetch(`http://127.0.0.1:${server.restPort}/v2/health/live`)).arrayBuffer();
    healthMs.push(performance.now() - askedAtMs);
    await delay(PROBE_EVERY_MS);
  }
  const { latenciesMs } = await paced;
  // One look tells both: the quantiles begin anew with it.
  const [loopMs, longestMs] = await server.metrics('sponge_event_loop_delay_seconds', [
    { quantile: '0.999' },
    { quantile: '1' },
  ]);
  await crowd.stop();
  await arrivals.stop();
  await server.stop();
  return {
    loopMs: 1000 * loopMs!,
    longestMs: 1000 * longestMs!,
    healthMs: quantile(healthMs, 0.999),
    refusalMs: quantile(latenciesMs, 0.99),
  };
}
