import { multilayerPerceptron, WEIGHT_BOUND_MLP } from '../research/load-models/load-models.js';
import { identity } from '../research/load-models/tiny-graphs.js';
import { bench } from './harness/bench.js';
import { Disturbed } from './harness/disturbed.js';
import { startHelper } from './harness/helper.js';
import { binaryRequest, grpcRequest, jsonRequest } from './harness/messages.js';
import { interleaved } from './harness/repeat.js';
import { atLeast, isTiny, report } from './harness/row.js';
import { startSponge, type SpongeServer } from './harness/sponge-server.js';
import { median } from './harness/statistics.js';
import { writeBareModel } from './harness/tensor-models.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * What spans cost: requests/s of a server that makes none, of one that makes those of all requests, and of one that keeps none of them; of a
 * model that does nothing, as in `throughput`, and of one that computes. The thread that makes spans, the collector and the load generator
 * share the cores with the server.
 */

const ROUNDS = isTiny ? 1 : 7;
const ROUND_MS = isTiny ? 500 : 2000;
/**
 * Of load before a server is measured. For some eight seconds V8 compiles what is called again and again, on threads that take of the same cores;
 * there is more of that where spans are made too, and it is no price of theirs that lasts.
 */
const WARM_UP_MS = isTiny ? 0 : 8000;
const CONNECTIONS = 64;
const INPUT = { name: 'x', datatype: 'FP32', shape: [1, 4] } as const;
const MLP = isTiny ? { width: 32, layerCount: 2 } : WEIGHT_BOUND_MLP;
/** Of what a server makes that makes no spans. */
const LEAST_SHARE = 0.95;

type Target = Extract<LoadRequest, { kind: 'closed-loop' }>['target'];
type Way = readonly [what: string, expected: string, targetOf: (server: SpongeServer) => Target];

await bench(async (scope) => {
  const client = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const endpoint = await startHelper<string, string>(scope, 'span-sink').call('start');

  const load = (target: Target, durationMs: number): Promise<LoadResult> => {
    const until = { requestCount: Infinity, durationMs };
    return client.call({ kind: 'closed-loop', target, connectionCount: CONNECTIONS, until });
  };

  /** In each of the ways, one after the other; its servers are ended when that is done. */
  const measure = async (modelPath: string, ways: readonly Way[]): Promise<void> => {
    const flags = [modelPath, '--no-refine'];
    const traced = (ratio: string): Promise<SpongeServer> =>
      startSponge(scope, [...flags, '--otlp-endpoint', endpoint, '--trace-ratio', ratio]);
    const servers = { off: await startSponge(scope, flags), none: await traced('0'), all: await traced('1') };
    for (const way of ways) await measureWay(servers, way);
    await Promise.all(Object.values(servers).map((server) => server.stop()));
  };

  const measureWay = async (
    servers: Readonly<Record<'off' | 'none' | 'all', SpongeServer>>,
    [what, expected, targetOf]: Way,
  ): Promise<void> => {
    const run = async (server: SpongeServer): Promise<number> => {
      const { latenciesMs, elapsedMs, statusCounts } = await load(targetOf(server), ROUND_MS);
      const served = latenciesMs.length;
      if (statusCounts[expected] !== served) throw new Disturbed(`not all served: ${JSON.stringify(statusCounts)}`);
      return (1000 * served) / elapsedMs;
    };
    const spansOf = (): Promise<readonly number[]> =>
      servers.all.metrics('sponge_trace_spans_total', [{ result: 'exported' }, { result: 'dropped' }]);
    if (WARM_UP_MS > 0) for (const server of Object.values(servers)) await load(targetOf(server), WARM_UP_MS);
    const before = await spansOf();
    const values = await interleaved(ROUNDS, {
      off: () => run(servers.off),
      none: () => run(servers.none),
      all: () => run(servers.all),
    });
    const [exported = 0, dropped = 0] = (await spansOf()).map((value, i) => value - before[i]!);
    for (const [ratio, ours] of [['100 %', values.all] as const, ['0 %', values.none] as const]) {
      const pairs = values.off.map((off, round) => ours[round]! / off);
      const kept =
        ratio === '100 %'
          ? `${exported} spans exported, ${dropped} dropped`
          : 'what is kept until a request is over, and no more';
      report({
        what: `${what}, traced, ${ratio}`,
        unit: 'requests/s',
        ours,
        baseline: { what: 'no spans', values: values.off },
        budget: atLeast(LEAST_SHARE * median(values.off)),
        note: `${CONNECTIONS} connections; ${kept}; in pairs ${(100 * median(pairs)).toFixed(1)} %`,
      });
    }
  };

  const folder = scope.folder();
  const message = jsonRequest('identity', INPUT, [1, 2, 3, 4]);
  const frame = grpcRequest('identity', INPUT, new Uint8Array(16));
  await measure(writeBareModel(folder, 'identity', identity('FP32')), [
    ['tiny model, REST JSON', '200', ({ restPort }) => ({ protocol: 'http', port: restPort, message })],
    [
      'tiny model, gRPC raw',
      'grpc-0',
      ({ grpcPort }) => ({ protocol: 'grpc', port: grpcPort, frame, isNative: false }),
    ],
  ]);
  const row = { name: 'input', datatype: 'FP32', shape: [1, MLP.width] } as const;
  const floats = binaryRequest('mlp', row, new Uint8Array(new Float32Array(MLP.width).fill(0.5).buffer));
  await measure(writeBareModel(folder, 'mlp', multilayerPerceptron(MLP)), [
    [
      `perceptron of ${MLP.layerCount} × ${MLP.width}, REST binary`,
      '200',
      ({ restPort }) => ({ protocol: 'http', port: restPort, message: floats }),
    ],
  ]);
});
