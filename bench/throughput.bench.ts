import { identity } from '../src/adapters/models/tiny-graphs.js';
import { bench } from './harness/bench.js';
import { startHelper } from './harness/helper.js';
import { jsonRequest } from './harness/messages.js';
import { interleaved } from './harness/repeat.js';
import { atLeast, isTiny, report } from './harness/row.js';
import { startSponge } from './harness/sponge-server.js';
import { writeBareModel } from './harness/tensor-models.js';
import type { EchoPorts } from './helpers/echo-server.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * Requests/s of a model that does nothing, REST with JSON, as the server is started by default: planning, batching and
 * resizing on. The load generator runs on the same cores, over connections with one request in flight each. Every answer is
 * a result; none is refused. Baseline: a bare Node server that echoes the same bytes to the same generator.
 */

const ROUNDS = isTiny ? 1 : 7;
const ROUND_MS = isTiny ? 300 : 3000;
const CONNECTION_COUNT = 64;
const ON_TIME = { outcome: 'completed_on_time' };
const ROUTER_CPU = 'sponge_router_cpu_seconds_total';

await bench(async (scope) => {
  const modelPath = writeBareModel(scope.folder(), 'identity', identity('FP32'));
  const message = jsonRequest('identity', { name: 'x', datatype: 'FP32', shape: [1, 4] }, [1, 2, 3, 4]);
  const client = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const echo = await startHelper<string, EchoPorts>(scope, 'echo-server').call('/echo');
  const server = await startSponge(scope, [modelPath, '--no-refine']);

  const requestsPerSec = async (port: number, path: string): Promise<number> => {
    const { latenciesMs, elapsedMs, statusCounts } = await client.call({
      kind: 'closed-loop',
      target: { protocol: 'http', port, message: { ...message, path } },
      connectionCount: CONNECTION_COUNT,
      until: { requestCount: Infinity, durationMs: ROUND_MS },
    });
    if (statusCounts['200'] !== latenciesMs.length) throw new Error(`not all served: ${JSON.stringify(statusCounts)}`);
    return (1000 * latenciesMs.length) / elapsedMs;
  };
  const servedBefore = await server.metric('sponge_outcomes_total', ON_TIME);
  const routerSecondsBefore = await server.metric(ROUTER_CPU);
  const { ours, bare } = await interleaved(ROUNDS, {
    ours: () => requestsPerSec(server.restPort, message.path),
    bare: () => requestsPerSec(echo.http, '/echo'),
  });
  const served = (await server.metric('sponge_outcomes_total', ON_TIME)) - servedBefore;
  const routerUs = (1e6 * ((await server.metric(ROUTER_CPU)) - routerSecondsBefore)) / served;
  const batchSize = (await server.metric('sponge_batch_size_sum')) / (await server.metric('sponge_batch_size_count'));
  report({
    what: 'tiny model, REST JSON',
    unit: 'requests/s',
    ours,
    baseline: { what: 'bare node:http echo', values: bare },
    budget: atLeast(5000),
    note: `${CONNECTION_COUNT} connections, load generator included, mean batch ${batchSize.toFixed(1)}, router CPU ${routerUs.toFixed(0)} µs a request`,
  });
});
