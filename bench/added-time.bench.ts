import { spawnSync } from 'node:child_process';
import { usefulThreadCounts } from '../src/server/served/thread-counts.js';
import { grantableMillicores, measureCpuCeiling } from '../src/server/scalers/cpu-ceiling.js';
import type { OnnxGraph } from '../src/server/onnx/onnx-writer.js';
import { bench, type Scope } from './harness/bench.js';
import { Disturbed } from './harness/disturbed.js';
import { usedCpuMs } from './harness/cpu-time.js';
import { startHelper } from './harness/helper.js';
import { binaryRequest, grpcRequest } from './harness/messages.js';
import { interleaved } from './harness/repeat.js';
import { atMost, isTiny, numberText, report, type Budget } from './harness/row.js';
import { startSponge } from './harness/sponge-server.js';
import { median } from './harness/statistics.js';
import { emptyClassifier, IMAGE_ELEMENTS, mirror, writeBareModel } from './harness/tensor-models.js';
import type { BareRequest, BareResult } from './helpers/bare-run.js';
import type { EchoPorts } from './helpers/echo-server.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * What the server adds to a request at low load: one client, one request in flight, a tensor of 602 112 bytes to a model that
 * does next to nothing, all CPU allocated for good. Added = median latency at the client − median of bare ONNX Runtime runs of
 * the same input, in a process of its own, on as many threads. The client is counted in. Baseline: the latency of a bare Node
 * server that takes the same bytes by the same client and answers as many as the model does.
 *
 * The budget is for an image classifier's traffic, 4 KB back; the same with 602 112 bytes back stands beside it.
 */

const ROUNDS = isTiny ? 1 : 9;
const REQUESTS_PER_ROUND = isTiny ? 10 : 150;
const IMAGE = { name: 'x', datatype: 'FP32', shape: [1, IMAGE_ELEMENTS] } as const;
/** More than any machine has: clamped to the largest allocation. */
const ALL_CORES = '1024';

const isNative = spawnSync('h2load', ['--version']).status === 0;

await bench(async (scope) => {
  await measure(scope, 'empty-classifier', emptyClassifier(), '/short', '4 KB back', atMost(1.5), atMost(4));
  if (!isTiny) await measure(scope, 'mirror', mirror(), '/echo', '602 KB back', null, null);
});

async function measure(
  scope: Scope,
  model: string,
  graph: OnnxGraph,
  echoPath: string,
  reply: string,
  restBudget: Budget | null,
  grpcBudget: Budget | null,
): Promise<void> {
  const modelPath = writeBareModel(scope.folder(), model, graph);
  const data = new Uint8Array(new Float32Array(IMAGE_ELEMENTS).fill(0.5).buffer);
  const rest = binaryRequest(model, IMAGE, data);
  const frame = grpcRequest(model, IMAGE, data);

  const client = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const echo = await startHelper<string, EchoPorts>(scope, 'echo-server').call(echoPath);
  const bare = startHelper<BareRequest, BareResult>(scope, 'bare-run');
  const threadCounts = usefulThreadCounts(grantableMillicores(measureCpuCeiling())).slice(-1);
  const server = await startSponge(scope, [
    ...[modelPath, '--policy', 'static', '--cpu', ALL_CORES, '--batch', '1', '--no-idle-release', '--no-refine'],
  ]);

  const latency = async (target: Extract<LoadRequest, { kind: 'connect' }>['target'], expected: string) => {
    const until = { requestCount: REQUESTS_PER_ROUND, durationMs: Infinity };
    const { latenciesMs, statusCounts } = await client.call({ kind: 'closed-loop', target, connectionCount: 1, until });
    if (statusCounts[expected] !== REQUESTS_PER_ROUND)
      throw new Disturbed(`unexpected: ${JSON.stringify(statusCounts)}`);
    return median(latenciesMs);
  };
  /** Of the server and its worker, a request, by round; the first one warms up. */
  const cpuMs: Record<'rest' | 'grpc', number[]> = { rest: [], grpc: [] };
  const withCpu = async (protocol: 'rest' | 'grpc', run: () => Promise<number>) => {
    const before = usedCpuMs(server.pid);
    const latencyMs = await run();
    cpuMs[protocol].push((usedCpuMs(server.pid) - before) / REQUESTS_PER_ROUND);
    return latencyMs;
  };
  const viaHttp = (port: number, path: string) =>
    latency({ protocol: 'http', port, message: { ...rest, path } }, '200');
  const viaGrpc = (port: number, isNativeClient: boolean) =>
    latency({ protocol: 'grpc', port, frame, isNative: isNativeClient }, isNativeClient ? 'http-200' : 'grpc-0');

  const labels = { outcome: 'completed_on_time' };
  const completedBefore = await server.metric('sponge_outcomes_total', labels);
  const values = await interleaved(ROUNDS, {
    bare: async () =>
      median((await bare.call({ modelPath, threadCounts, shape: IMAGE.shape, runCount: REQUESTS_PER_ROUND })).runMs),
    rest: () => withCpu('rest', () => viaHttp(server.restPort, rest.path)),
    http: () => viaHttp(echo.http, echoPath),
    grpc: () => withCpu('grpc', () => viaGrpc(server.grpcPort, isNative)),
    http2: () => viaGrpc(echo.http2, isNative),
  });
  // h2load does not read gRPC's status: the server has to have counted every request as served.
  const completed = (await server.metric('sponge_outcomes_total', labels)) - completedBefore;
  const sent = 2 * (ROUNDS + 1) * REQUESTS_PER_ROUND;
  if (completed !== sent) throw new Disturbed(`${completed} of ${sent} requests were completed on time`);

  const computed = { stage: 'compute' };
  const computeMs =
    (1000 * (await server.metric('sponge_latency_seconds_sum', computed))) /
    (await server.metric('sponge_latency_seconds_count', computed));
  const bareMs = median(values.bare);
  const note = `bare run ${numberText(bareMs)} ms, worker's own compute ${numberText(computeMs)} ms (mean)`;
  const added = (latencies: readonly number[]) => latencies.map((ms) => ms - bareMs);
  report({
    what: `added time p50, 602 KB in, ${reply}, REST binary`,
    unit: 'ms',
    ours: added(values.rest),
    baseline: { what: 'bare node:http echo', values: values.http },
    budget: restBudget,
    note,
  });
  report({
    what: `added time p50, 602 KB in, ${reply}, gRPC raw`,
    unit: 'ms',
    ours: added(values.grpc),
    baseline: { what: 'bare node:http2 echo', values: values.http2 },
    budget: grpcBudget,
    note: `${note}; client ${isNative ? 'h2load' : 'on node:http2 (install nghttp2-client for a native one)'}`,
  });
  if (process.platform === 'linux') {
    for (const [protocol, name] of [
      ['rest', 'REST binary'],
      ['grpc', 'gRPC raw'],
    ] as const) {
      report({
        what: `CPU a request, 602 KB in, ${reply}, ${name}`,
        unit: 'ms',
        ours: cpuMs[protocol].slice(1),
        baseline: null,
        budget: null,
        note: 'router and worker, all of their threads',
      });
    }
  }
  await server.stop();
}
