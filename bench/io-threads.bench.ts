import { readdirSync, readFileSync } from 'node:fs';
import { identity } from '../research/load-models/tiny-graphs.js';
import { bench } from './harness/bench.js';
import { Disturbed } from './harness/disturbed.js';
import { startHelper } from './harness/helper.js';
import { grpcRequest, jsonRequest } from './harness/messages.js';
import { interleaved } from './harness/repeat.js';
import { isTiny, report } from './harness/row.js';
import { startSponge } from './harness/sponge-server.js';
import { median } from './harness/statistics.js';
import { writeBareModel } from './harness/tensor-models.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * What a small request costs the thread that plans, with its front ends and with those on threads of their own (`--io-threads`), which do
 * the rest. The inverse is the rate at which that thread ends, were there cores for all others. On a machine of few cores the
 * requests/s themselves say nothing of it: all threads, workers and the load generator share those.
 */

const ROUNDS = isTiny ? 1 : 4;
const ROUND_MS = isTiny ? 500 : 1000;
const CONNECTIONS = 32;
const INPUT = { name: 'x', datatype: 'FP32', shape: [1, 4] } as const;
const THREAD_COUNTS = [0, 1, 2] as const;

type Target = Extract<LoadRequest, { kind: 'closed-loop' }>['target'];

interface Used {
  readonly plannerUs: number;
  readonly serverUs: number;
  readonly requestsPerSec: number;
  readonly medianMs: number;
  /** Of the two threads that used most beside the one that plans, what the second used of the first. */
  readonly balance: number;
}

await bench(async (scope) => {
  const modelPath = writeBareModel(scope.folder(), 'identity', identity('FP32'));
  const client = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const servers = await Promise.all(
    THREAD_COUNTS.map((count) => startSponge(scope, [modelPath, '--no-refine', '--io-threads', String(count)])),
  );

  const measure = async (what: string, expected: string, targetOf: (server: (typeof servers)[0]) => Target) => {
    const used = THREAD_COUNTS.map((): Used[] => []);
    const run = async (index: number): Promise<number> => {
      const server = servers[index]!;
      const before = threadCpuUs(server.pid);
      const { latenciesMs, elapsedMs, statusCounts } = await client.call({
        kind: 'closed-loop',
        target: targetOf(server),
        connectionCount: CONNECTIONS,
        until: { requestCount: Infinity, durationMs: ROUND_MS },
      });
      const after = threadCpuUs(server.pid);
      const served = latenciesMs.length;
      if (statusCounts[expected] !== served) throw new Disturbed(`not all served: ${JSON.stringify(statusCounts)}`);
      const deltas = [...after].map(([tid, us]) => [tid, us - (before.get(tid) ?? 0)] as const);
      const others = deltas.filter(([tid]) => tid !== server.pid).map(([, us]) => us);
      const [most = 0, second = 0] = others.sort((a, b) => b - a);
      const plannerUs = deltas.find(([tid]) => tid === server.pid)![1] / served;
      const serverUs = deltas.reduce((sum, [, us]) => sum + us, 0) / served;
      const balance = most === 0 ? 0 : second / most;
      const requestsPerSec = (1000 * served) / elapsedMs;
      used[index]!.push({ plannerUs, serverUs, requestsPerSec, medianMs: median(latenciesMs), balance });
      return plannerUs;
    };
    const values = await interleaved(ROUNDS, { none: () => run(0), one: () => run(1), two: () => run(2) });
    for (const [index, name] of (['none', 'one', 'two'] as const).entries()) {
      const of = (key: keyof Used): number => median(used[index]!.slice(1).map((each) => each[key]));
      report({
        what: `CPU of the planning thread, ${what}, --io-threads ${THREAD_COUNTS[index]}`,
        unit: 'µs a request',
        ours: values[name],
        baseline: index === 0 ? null : { what: '--io-threads 0', values: values.none },
        budget: null,
        note:
          `${CONNECTIONS} connections; ends at ${(1e6 / of('plannerUs')).toFixed(0)}/s; all threads of the server ` +
          `${of('serverUs').toFixed(0)} µs; ${of('requestsPerSec').toFixed(0)}/s here, p50 ${of('medianMs').toFixed(2)} ms; second busiest of the others ` +
          `${(100 * of('balance')).toFixed(0)} % of the busiest`,
      });
    }
  };

  const message = jsonRequest('identity', INPUT, [1, 2, 3, 4]);
  await measure('REST JSON', '200', ({ restPort }) => ({ protocol: 'http', port: restPort, message }));
  const frame = grpcRequest('identity', INPUT, new Uint8Array(16));
  await measure('gRPC raw', 'grpc-0', ({ grpcPort }) => ({ protocol: 'grpc', port: grpcPort, frame, isNative: false }));
});

/** By thread, so far. */
function threadCpuUs(pid: number): ReadonlyMap<number, number> {
  const tids = readdirSync(`/proc/${pid}/task`);
  return new Map(
    tids.map((tid) => [
      Number(tid),
      Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]) / 1e3,
    ]),
  );
}
