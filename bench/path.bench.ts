import { spawnSync } from 'node:child_process';
import { bench, type Scope } from './harness/bench.js';
import { startHelper, type Helper } from './harness/helper.js';
import { binaryRequest, grpcRequest, jsonRequest } from './harness/messages.js';
import {
  BYTE_STAGES,
  STAGES,
  stageBytes,
  stageTimes,
  type ByteStage,
  type Stage,
  type StageBytes,
} from './harness/path-stages.js';
import { pathWatch, type PathWatch } from './harness/path-watch.js';
import { interleaved } from './harness/repeat.js';
import { isTiny, numberText, report } from './harness/row.js';
import { startSponge, type SpongeServer } from './harness/sponge-server.js';
import { median, quantile } from './harness/statistics.js';
import { mirror, writeBareModel } from './harness/tensor-models.js';
import type { EchoPorts } from './helpers/echo-server.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * What becomes of one request, stage by stage: µs, and bytes that are copied, allocated and passed to and from the kernel, of a tensor
 * that goes to a model that returns it and comes back, planning, batching and resizing on. One client, one request in flight; the
 * stages are told by the server itself (`src/server/path-points.ts`), bytes in a run of their own. A row is the latency at the
 * client, beside a bare Node server that echoes the same bytes to the same client; what is not in the stages is the client's, the
 * kernel's and Node's before it hands over a head.
 *
 *   npm run bench -- path [--tiny]
 */

interface Size {
  readonly name: string;
  readonly elementCount: number;
  readonly requestsPerRound: number;
}

const ALL_SIZES: readonly Size[] = [
  { name: '40 B', elementCount: 10, requestsPerRound: 400 },
  { name: '4 KB', elementCount: 1000, requestsPerRound: 400 },
  { name: '602 KB', elementCount: 150_528, requestsPerRound: 60 },
  { name: '6 MB', elementCount: 1_500_000, requestsPerRound: 10 },
];
const SIZES = isTiny ? ALL_SIZES.slice(1, 2) : ALL_SIZES;
const ROUNDS = isTiny ? 1 : 5;
/** Of which bytes are counted. */
const COUNTED_REQUESTS = 20;
/** No deadline is missed for the size of a body, whatever else the machine does. */
const SLO_MS = 20_000;

type Target = Extract<LoadRequest, { kind: 'closed-loop' }>['target'];
type Client = Helper<LoadRequest, LoadResult>;

interface Protocol {
  readonly name: string;
  readonly ours: (server: SpongeServer) => Target;
  readonly bare: (ports: EchoPorts) => Target;
  readonly bareName: string;
  readonly expected: string;
}

const isNative = spawnSync('h2load', ['--version']).status === 0;

await bench(async (scope) => {
  const client = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const echo = await startHelper<string, EchoPorts>(scope, 'echo-server').call('/echo');
  for (const size of SIZES) await measure(scope, size, client, echo);
});

async function measure(scope: Scope, size: Size, client: Client, echo: EchoPorts): Promise<void> {
  const protocols = protocolsOf(size);
  const requestCount = isTiny ? 10 : size.requestsPerRound;
  const modelPath = writeBareModel(scope.folder(), 'mirror', mirror(size.elementCount));
  const run = async (target: Target, { expected }: Protocol, count: number): Promise<number> => {
    const until = { requestCount: count, durationMs: Infinity };
    const { latenciesMs, statusCounts } = await client.call({ kind: 'closed-loop', target, connectionCount: 1, until });
    if (statusCounts[expected] !== count) throw new Error(`not all served: ${JSON.stringify(statusCounts)}`);
    return 1000 * median(latenciesMs);
  };

  const times = Object.fromEntries(protocols.map(({ name }) => [name, [] as Readonly<Record<Stage, number>>[]]));
  const latencies = await serving(scope, modelPath, 'times', (server, watch) => {
    const variants = protocols.flatMap((protocol) => {
      const ours = async (): Promise<number> => {
        await watch.take();
        const latencyUs = await run(protocol.ours(server), protocol, requestCount);
        times[protocol.name]!.push(...stageTimes(await watch.take()));
        return latencyUs;
      };
      const bare = (): Promise<number> => run(protocol.bare(echo), protocol, requestCount);
      return [
        [protocol.name, ours],
        [`bare ${protocol.name}`, bare],
      ] as const;
    });
    return interleaved(ROUNDS, Object.fromEntries(variants));
  });
  const bytes = await serving(scope, modelPath, 'bytes', async (server, watch) => {
    const counted: Record<string, Readonly<Record<ByteStage, readonly StageBytes[]>>> = {};
    for (const protocol of protocols) {
      // What is made once and kept is no part of a request.
      await run(protocol.ours(server), protocol, COUNTED_REQUESTS);
      await watch.take();
      await run(protocol.ours(server), protocol, COUNTED_REQUESTS);
      counted[protocol.name] = stageBytes(await watch.take());
    }
    return counted;
  });

  for (const { name, bareName } of protocols) {
    const stages = timeParts(times[name]!, (ROUNDS + 1) * requestCount);
    const what = `one request's path, ${name}, ${size.name}`;
    const inside = times[name]!.map((each) => STAGES.reduce((sum, [stage]) => sum + each[stage], 0));
    report({
      what,
      unit: 'µs',
      ours: latencies[name]!,
      baseline: { what: bareName, values: latencies[`bare ${name}`]! },
      budget: null,
      note: `inside the server p50 ${numberText(median(inside))}, p99 ${numberText(quantile(inside, 0.99))} µs; by stage above`,
      parts: { ...stages, ...byteParts(bytes[name]!) },
    });
    console.log(`\n${what}\n${stageTable(stages, byteParts(bytes[name]!))}`);
  }
}

/** With a server of its own, which is told of once it has been measured. */
async function serving<T>(
  scope: Scope,
  modelPath: string,
  what: 'times' | 'bytes',
  act: (server: SpongeServer, watch: PathWatch) => Promise<T>,
): Promise<T> {
  const watch = pathWatch(scope.folder(), what);
  const limits = ['--json-limit-mib', '64', '--slo', String(SLO_MS)];
  const server = await startSponge(scope, [modelPath, '--no-refine', ...limits], { watch });
  const result = await act(server, watch);
  await server.stop();
  return result;
}

function protocolsOf({ elementCount }: Size): readonly Protocol[] {
  const input = { name: 'x', datatype: 'FP32', shape: [1, elementCount] } as const;
  // With the digits that a float has as a rule.
  const floats = Float32Array.from({ length: elementCount }, (_, i) => Math.sin(i + 1));
  const data = new Uint8Array(floats.buffer);
  const json = jsonRequest('mirror', input, [...floats]);
  const binary = binaryRequest('mirror', input, data);
  const frame = grpcRequest('mirror', input, data);
  const viaHttp = (name: string, message: typeof json): Protocol => ({
    name,
    ours: ({ restPort }) => ({ protocol: 'http', port: restPort, message }),
    bare: ({ http }) => ({ protocol: 'http', port: http, message: { ...message, path: '/echo' } }),
    bareName: 'bare node:http echo',
    expected: '200',
  });
  const viaGrpc: Protocol = {
    name: 'gRPC',
    ours: ({ grpcPort }) => ({ protocol: 'grpc', port: grpcPort, frame, isNative }),
    bare: ({ http2 }) => ({ protocol: 'grpc', port: http2, frame, isNative }),
    bareName: 'bare node:http2 echo',
    expected: isNative ? 'http-200' : 'grpc-0',
  };
  return [viaHttp('REST JSON', json), viaHttp('REST binary', binary), viaGrpc];
}

type Parts = Record<string, Record<string, number>>;

/** @throws Error where less than nine in ten of the requests were seen on their whole way */
function timeParts(requests: readonly Readonly<Record<Stage, number>>[], sentCount: number): Parts {
  if (requests.length < 0.9 * sentCount) throw new Error(`${requests.length} of ${sentCount} requests were followed`);
  return Object.fromEntries(
    STAGES.map(([stage]) => {
      const us = requests.map((each) => each[stage]);
      return [stage, { p50Us: median(us), p99Us: quantile(us, 0.99) }];
    }),
  );
}

function byteParts(bytes: Readonly<Record<ByteStage, readonly StageBytes[]>>): Parts {
  return Object.fromEntries(
    BYTE_STAGES.map((stage) => {
      const of = (kind: keyof StageBytes): number => {
        const known = bytes[stage].map((each) => each[kind]).filter((value) => value !== null);
        return known.length === 0 ? NaN : Math.round(median(known));
      };
      return [stage, { copied: of('copied'), allocated: of('allocated'), read: of('read'), written: of('written') }];
    }),
  );
}

function stageTable(times: Parts, bytes: Parts): string {
  const timeLines = Object.entries(times).map(([stage, { p50Us, p99Us }]) => [
    stage,
    numberText(p50Us!),
    numberText(p99Us!),
  ]);
  const byteLines = Object.entries(bytes)
    .map(([stage, counts]) => [
      stage,
      ...Object.values(counts).map((count) => (Number.isNaN(count) ? 'collected' : String(count))),
    ])
    .filter(([, ...counts]) => counts.some((count) => count !== '0'));
  return [
    aligned([['stage', 'p50 µs', 'p99 µs'], ...timeLines]),
    aligned([['bytes a request', 'copied', 'allocated', 'from the kernel', 'to the kernel'], ...byteLines]),
  ].join('\n\n');
}

function aligned(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((cells) => cells[column]!.length)));
  const text = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  return lines.map((cells) => `  ${text(cells)}`).join('\n');
}
