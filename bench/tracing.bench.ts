import { identity } from '../research/load-models/tiny-graphs.js';
import { bench } from './harness/bench.js';
import { Disturbed } from './harness/disturbed.js';
import { startHelper } from './harness/helper.js';
import { grpcRequest, jsonRequest } from './harness/messages.js';
import { interleaved } from './harness/repeat.js';
import { atLeast, isTiny, report } from './harness/row.js';
import { startSponge, type SpongeServer } from './harness/sponge-server.js';
import { median } from './harness/statistics.js';
import { writeBareModel } from './harness/tensor-models.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * What spans cost: requests/s of a model that does nothing, as in `throughput`, of a server that makes none, of one that makes those of all
 * requests, and of one that keeps none of them. The thread that makes spans, the collector and the load generator share the cores with the server.
 */

const ROUNDS = isTiny ? 1 : 9;
const ROUND_MS = isTiny ? 500 : 2000;
const CONNECTIONS = 64;
const INPUT = { name: 'x', datatype: 'FP32', shape: [1, 4] } as const;
/** Of what a server makes that makes no spans. */
const LEAST_SHARE = 0.95;

type Target = Extract<LoadRequest, { kind: 'closed-loop' }>['target'];

await bench(async (scope) => {
  const modelPath = writeBareModel(scope.folder(), 'identity', identity('FP32'));
  const client = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const endpoint = await startHelper<string, string>(scope, 'span-sink').call('start');
  const traced = (ratio: string): Promise<SpongeServer> =>
    startSponge(scope, [modelPath, '--no-refine', '--otlp-endpoint', endpoint, '--trace-ratio', ratio]);
  const servers = {
    off: await startSponge(scope, [modelPath, '--no-refine']),
    none: await traced('0'),
    all: await traced('1'),
  };

  const measure = async (what: string, expected: string, targetOf: (server: SpongeServer) => Target): Promise<void> => {
    const run = async (server: SpongeServer): Promise<number> => {
      const { latenciesMs, elapsedMs, statusCounts } = await client.call({
        kind: 'closed-loop',
        target: targetOf(server),
        connectionCount: CONNECTIONS,
        until: { requestCount: Infinity, durationMs: ROUND_MS },
      });
      const served = latenciesMs.length;
      if (statusCounts[expected] !== served) throw new Disturbed(`not all served: ${JSON.stringify(statusCounts)}`);
      return (1000 * served) / elapsedMs;
    };
    const spansOf = (): Promise<readonly number[]> =>
      servers.all.metrics('sponge_trace_spans_total', [{ result: 'exported' }, { result: 'dropped' }]);
    const before = await spansOf();
    const values = await interleaved(ROUNDS, {
      off: () => run(servers.off),
      none: () => run(servers.none),
      all: () => run(servers.all),
    });
    const [exported = 0, dropped = 0] = (await spansOf()).map((value, i) => value - before[i]!);
    const pairs = values.off.map((off, round) => values.all[round]! / off);
    for (const [ratio, ours] of [['100 %', values.all] as const, ['0 %', values.none] as const]) {
      report({
        what: `tiny model, ${what}, traced, ${ratio}`,
        unit: 'requests/s',
        ours,
        baseline: { what: 'no spans', values: values.off },
        budget: atLeast(LEAST_SHARE * median(values.off)),
        note:
          ratio === '0 %'
            ? `${CONNECTIONS} connections; what is kept until a request is over, and no more`
            : `${CONNECTIONS} connections; ${exported} spans exported, ${dropped} dropped; in pairs ${(100 * median(pairs)).toFixed(1)} %`,
      });
    }
  };

  const message = jsonRequest('identity', INPUT, [1, 2, 3, 4]);
  await measure('REST JSON', '200', ({ restPort }) => ({ protocol: 'http', port: restPort, message }));
  const frame = grpcRequest('identity', INPUT, new Uint8Array(16));
  await measure('gRPC raw', 'grpc-0', ({ grpcPort }) => ({ protocol: 'grpc', port: grpcPort, frame, isNative: false }));
});
