import { spawnSync } from 'node:child_process';
import { identity } from '../research/load-models/tiny-graphs.js';
import { bench } from './harness/bench.js';
import { Disturbed } from './harness/disturbed.js';
import { startHelper } from './harness/helper.js';
import { grpcRequest, jsonRequest } from './harness/messages.js';
import { interleaved } from './harness/repeat.js';
import { atLeast, isTiny, report } from './harness/row.js';
import { startSponge } from './harness/sponge-server.js';
import { writeBareModel } from './harness/tensor-models.js';
import type { EchoPorts } from './helpers/echo-server.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * Requests/s of a model that does nothing, REST with JSON and gRPC with raw tensors, as the server is started by default: planning,
 * batching and resizing on. The load generator runs on the same cores, over connections with one request in flight each. Every answer
 * is a result; none is refused. Baseline: a bare Node server that echoes the same bytes to the same generator.
 */

const ROUNDS = isTiny ? 1 : 7;
const ROUND_MS = isTiny ? 1000 : 3000;
const REST_CONNECTIONS = 64;
const GRPC_CONNECTIONS = 32;
const INPUT = { name: 'x', datatype: 'FP32', shape: [1, 4] } as const;
const ON_TIME = { outcome: 'completed_on_time' };
const ROUTER_CPU = 'sponge_router_cpu_seconds_total';

const isNative = spawnSync('h2load', ['--version']).status === 0;

type Target = Extract<LoadRequest, { kind: 'closed-loop' }>['target'];

await bench(async (scope) => {
  const modelPath = writeBareModel(scope.folder(), 'identity', identity('FP32'));
  const client = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const echo = await startHelper<string, EchoPorts>(scope, 'echo-server').call('/echo');
  const server = await startSponge(scope, [modelPath, '--no-refine']);

  const requestsPerSec = async (target: Target, connectionCount: number, expected: string) => {
    const { latenciesMs, elapsedMs, statusCounts } = await client.call({
      kind: 'closed-loop',
      target,
      connectionCount,
      until: { requestCount: Infinity, durationMs: ROUND_MS },
    });
    if (statusCounts[expected] !== latenciesMs.length)
      throw new Disturbed(`not all served: ${JSON.stringify(statusCounts)}`);
    return (1000 * latenciesMs.length) / elapsedMs;
  };
  /** What of the server's own counts the runs added: router CPU a request, µs, and requests a batch. */
  const counted = async (run: () => Promise<unknown>): Promise<{ routerUs: number; batchSize: number }> => {
    const look = async (): Promise<readonly number[]> => [
      await server.metric('sponge_outcomes_total', ON_TIME),
      await server.metric(ROUTER_CPU),
      await server.metric('sponge_batch_size_sum'),
      await server.metric('sponge_batch_size_count'),
    ];
    const before = await look();
    await run();
    const [served, routerSec, members, batches] = (await look()).map((value, i) => value - before[i]!);
    return { routerUs: (1e6 * routerSec!) / served!, batchSize: members! / batches! };
  };

  const measure = async (
    what: string,
    connectionCount: number,
    expected: string,
    { ours, bare, bareName, leastPerSec }: { ours: Target; bare: Target; bareName: string; leastPerSec: number },
  ): Promise<void> => {
    let values: { ours: readonly number[]; bare: readonly number[] } = { ours: [], bare: [] };
    const { routerUs, batchSize } = await counted(async () => {
      values = await interleaved(ROUNDS, {
        ours: () => requestsPerSec(ours, connectionCount, expected),
        bare: () => requestsPerSec(bare, connectionCount, expected),
      });
    });
    report({
      what: `tiny model, ${what}`,
      unit: 'requests/s',
      ours: values.ours,
      baseline: { what: bareName, values: values.bare },
      budget: atLeast(leastPerSec),
      note: `${connectionCount} connections, load generator included, mean batch ${batchSize.toFixed(1)}, router CPU ${routerUs.toFixed(0)} µs a request`,
    });
  };

  const message = jsonRequest('identity', INPUT, [1, 2, 3, 4]);
  await measure('REST JSON', REST_CONNECTIONS, '200', {
    ours: { protocol: 'http', port: server.restPort, message },
    bare: { protocol: 'http', port: echo.http, message: { ...message, path: '/echo' } },
    bareName: 'bare node:http echo',
    leastPerSec: 5000,
  });
  const frame = grpcRequest('identity', INPUT, new Uint8Array(16));
  await measure(
    `gRPC raw, client ${isNative ? 'h2load' : 'on node:http2'}`,
    GRPC_CONNECTIONS,
    isNative ? 'http-200' : 'grpc-0',
    {
      ours: { protocol: 'grpc', port: server.grpcPort, frame, isNative },
      bare: { protocol: 'grpc', port: echo.http2, frame, isNative },
      bareName: 'bare node:http2 echo',
      leastPerSec: 12_000,
    },
  );
});
