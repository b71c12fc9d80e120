import { connect, type OutgoingHttpHeaders } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { anyLength, simple, slow } from '../../../research/load-models/tiny-graphs.js';
import { BAD_REQUESTS, GOOD, SIXTEEN } from './bad-request-table.js';
import {
  batchesStarted,
  floatTensor,
  GrpcClient,
  grpcRequest,
  http,
  infer,
  inferBinary,
  queueDepth,
  rawConnection,
  requestHead,
  scrape,
  slowInput,
} from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';
import { holdRun, PATIENT } from './mid-run.js';

/*
 * Whatever a client does wrong is answered with the right status and one clear line, and leaves nothing in the server.
 */

const MIB = 1024 * 1024;
const BODY_TIMEOUT_MS = 800;

const bench = new TestBench();
let server: RunningServer;
let grpc: GrpcClient;

beforeAll(async () => {
  const repository = bench.repository('models', { simple: simple(), any_length: anyLength(), slow: slow(2000) });
  bench.file('models/any_length/model.yaml', 'shape: { x: [1, 8] }\n');
  const limits = ['--json-limit-mib', '1', '--binary-limit-mib', '2', '--body-timeout-ms', String(BODY_TIMEOUT_MS)];
  server = await bench.serve(repository, [...limits, '--no-refine', '--max-batch', '4', '--slo', '30000', ...PATIENT]);
  grpc = new GrpcClient(server);
});
afterAll(async () => {
  grpc.close();
  await bench.close();
});

/** Nothing is held, and a good request is served. */
async function expectUnharmed(): Promise<void> {
  await eventually('an empty queue', async () => (await queueDepth(server)) === 0);
  const reply = await http(`${server.rest}/v2/models/simple/infer`, { method: 'POST', body: GOOD });
  expect(reply.status).toBe(200);
  expect(reply.json.outputs?.[0]?.data).toEqual(SIXTEEN.map((value) => 2 * value));
  expect(server.log).not.toMatch(/request failed|internal error/);
}

describe('a bad REST request', () => {
  it.each(BAD_REQUESTS)('is answered $status: $what', async ({ status, error, path, body, headers }) => {
    const url = `${server.rest}/v2/${path ?? 'models/simple/infer'}`;
    const reply = await http(url, {
      method: 'POST',
      ...(body === undefined ? {} : { body }),
      ...(headers && { headers }),
    });
    expect(reply.status, reply.bytes.toString().slice(0, 300)).toBe(status);
    expect(reply.headers['content-type']).toMatch(/^application\/json/);
    expect(reply.json.error).toMatch(error);
    expect(reply.json.error).not.toMatch(/\n|at \w+ \(/);
    expect(reply.json.error!.length).toBeLessThan(500);
  });

  it('never reaches the queue and leaves nothing behind', async () => {
    await expectUnharmed();
    const metrics = await scrape(server);
    expect(metrics.sum('sponge_outcomes_total', { model: 'simple', outcome: 'failed' })).toBe(0);
    expect(metrics.sum('sponge_outcomes_total', { model: 'simple' })).toBe(1);
  });
});

describe('a bad gRPC request', () => {
  const bytes = new Uint8Array(64);
  const tensor = (
    name: string,
    shape: number[] = [1, 16],
    data = bytes,
  ): Parameters<typeof grpcRequest>[1][number] => ({
    name,
    datatype: 'INT32',
    shape,
    data,
  });
  const good = [tensor('INPUT0'), tensor('INPUT1')];

  it.each([
    ['an unknown model', 5, grpcRequest('nobody', good)],
    ['an unknown version', 5, grpcRequest('simple', good, { modelVersion: '7' })],
    ['an unknown input', 3, grpcRequest('simple', [tensor('INPUT7'), tensor('INPUT1')])],
    ['a negative size', 3, grpcRequest('simple', [tensor('INPUT0', [-1, 16]), tensor('INPUT1')])],
    [
      'sizes whose product overflows',
      3,
      grpcRequest('simple', [tensor('INPUT0', [2 ** 40, 2 ** 40]), tensor('INPUT1')]),
    ],
    ['a wrong byte count', 3, grpcRequest('simple', [tensor('INPUT0', [1, 16], new Uint8Array(63)), tensor('INPUT1')])],
    ['fewer tensors than inputs', 3, grpcRequest('simple', good, { rawInputContents: [Buffer.from(bytes)] })],
    ['a message over the limit', 8, grpcRequest('simple', [tensor('INPUT0', [1, 16], new Uint8Array(3 * MIB))])],
  ])('is answered with its code: %s', async (_, code, message) => {
    const { error } = await grpc.infer(message);
    expect(error?.code, error?.details).toBe(code);
    expect(error?.details).not.toMatch(/\n/);
  });

  it.each(['0m', '-5m', '10x', 'soon', '123456789m'])('is refused for a grpc-timeout of %s', async (timeout) => {
    const session = connect(`http://${server.grpc}`);
    const headers: OutgoingHttpHeaders = {
      ':method': 'POST',
      ':path': '/inference.GRPCInferenceService/ModelInfer',
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': timeout,
    };
    const stream = session.request(headers);
    const received: Record<string, unknown> = {};
    for (const part of ['response', 'trailers'] as const) {
      stream.on(part, (fields: object) => void Object.assign(received, fields));
    }
    stream.on('error', () => undefined);
    const closed = new Promise<void>((resolve) => stream.on('close', resolve));
    stream.resume();
    stream.end(Buffer.alloc(5));
    await closed;
    session.destroy();
    // DEADLINE_EXCEEDED for one that has passed, INVALID_ARGUMENT for what is none.
    expect(['3', '4']).toContain(received['grpc-status']);
  });
});

describe('a client that sends slowly, or half', () => {
  it('is told 408 when its body does not end in time', async () => {
    const connection = rawConnection(server);
    connection.write(`${requestHead('simple', 1000)}{"inputs"`);
    const answer = await connection.closed;
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toMatch(/"error":"request body was not complete within 800 ms"/);
    await expectUnharmed();
  });

  it('is told 408 when its headers do not end in time', async () => {
    const connection = rawConnection(server);
    connection.write('POST /v2/models/simple/infer HTTP/1.1\r\nHost: te');
    expect(await connection.closed).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('is told 400 when it speaks no HTTP', async () => {
    const connection = rawConnection(server);
    connection.write('\x16\x03\x01 hello\r\n\r\n');
    expect(await connection.closed).toMatch(/^HTTP\/1\.1 400 [\s\S]*"error":"not an HTTP request"/);
  });
});

describe('a client that leaves', () => {
  const slowBody = Buffer.from(
    JSON.stringify({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1024], data: new Array<number>(1024).fill(0) }],
    }),
  );

  it.each([
    ['before it sent anything', ''],
    ['in the middle of the headers', 'POST /v2/models/slow/infer HTTP/1.1\r\nHo'],
    ['before the body', requestHead('slow', slowBody.length)],
    ['in the middle of the body', `${requestHead('slow', slowBody.length)}${slowBody.toString('latin1', 0, 500)}`],
  ])('%s is never counted and leaves nothing', async (_, bytes) => {
    const before = await scrape(server);
    const connection = rawConnection(server);
    connection.write(bytes);
    await delay(50);
    connection.destroy();
    await expectUnharmed();
    const after = await scrape(server);
    expect(after.sum('sponge_outcomes_total', { model: 'slow' })).toBe(
      before.sum('sponge_outcomes_total', { model: 'slow' }),
    );
  });

  it('while it is queued or runs is cancelled, over REST and gRPC; statistics say so', async () => {
    const cancelled = { model: 'slow', outcome: 'cancelled', reason: 'cancelled' };
    let running!: ReturnType<typeof rawConnection>;
    // So that it cannot end before the others have left.
    const run = await holdRun(server, () => {
      running = rawConnection(server);
      running.write(requestHead('slow', slowBody.length, 'Connection: close\r\n'));
      running.write(slowBody);
      return running.closed;
    });
    onTestFinished(() => run.release());
    const before = await scrape(server);
    const started = await batchesStarted(server, 'slow');
    const queued = rawConnection(server);
    queued.write(requestHead('slow', slowBody.length));
    queued.write(slowBody);
    let cancelCall: () => void = () => undefined;
    const viaGrpc = grpc.infer(grpcRequest('slow', [slowInput(0)]), {
      onStarted: (call) => (cancelCall = () => call.cancel()),
    });
    await eventually('two to wait', async () => (await queueDepth(server, 'slow')) === 2);
    for (const connection of [queued, running]) connection.destroy();
    cancelCall();
    expect((await viaGrpc).error?.code).toBe(1);
    await eventually('all three to be cancelled', async () => {
      return (
        (await scrape(server)).sum('sponge_outcomes_total', cancelled) ===
        before.sum('sponge_outcomes_total', cancelled) + 3
      );
    });
    run.release();
    await expectUnharmed();
    const after = await scrape(server);
    const triton = { model: 'slow', reason: 'CANCELED' };
    expect(after.sum('nv_inference_request_failure', triton) - before.sum('nv_inference_request_failure', triton)).toBe(
      3,
    );
    expect(after.sum('sponge_batch_size_count', { model: 'slow' }), 'the queued ones never ran').toBe(started);
    const { json } = await http(`${server.rest}/v2/models/slow/stats`);
    expect(JSON.stringify(json)).toMatch(/"fail":\{"count":3,/);
  });

  it('while it receives the answer has been served all the same', async () => {
    const length = 400_000;
    const before = await scrape(server);
    const head = Buffer.from(
      JSON.stringify({
        inputs: [{ name: 'x', datatype: 'FP32', shape: [1, length], parameters: { binary_data_size: 4 * length } }],
        parameters: { binary_data_output: true },
      }),
    );
    const connection = rawConnection(server);
    connection.socket.pause();
    const headers = `Inference-Header-Content-Length: ${head.length}\r\n`;
    connection.write(requestHead('any_length', head.length + 4 * length, headers));
    connection.write(Buffer.concat([head, Buffer.alloc(4 * length)]));
    const served = { model: 'any_length' };
    await eventually('the answer', async () => {
      return (
        (await scrape(server)).sum('sponge_outcomes_total', served) === before.sum('sponge_outcomes_total', served) + 1
      );
    });
    connection.destroy();
    await expectUnharmed();
    const again = await inferBinary(server, 'any_length', [floatTensor('x', [1, 8], new Float32Array(8))]);
    expect(again.status).toBe(200);
  });
});

describe('afterwards', () => {
  it('the same worker and the same server go on', async () => {
    expect(server.workers()).toHaveLength(3);
    expect((await scrape(server)).sum('sponge_worker_losses_total')).toBe(0);
    const reply = await infer(server, 'any_length', [{ name: 'x', datatype: 'FP32', shape: [1, 3], data: [1, 2, 3] }]);
    expect(reply.json.outputs?.[1]?.data).toEqual([6]);
  });
});
