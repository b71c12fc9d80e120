import { connect } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { ModelInferRequest, ModelInferResponse } from '../../../src/protocol/grpc/generated/open_inference.js';
import {
  floatTensor,
  GrpcClient,
  grpcRequest,
  http,
  infer,
  parameterOf,
  rawConnection,
  requestHead,
  scrape,
  type InferOptions,
  type Reply,
} from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';
import { PATIENT } from './mid-run.js';

/** Of requests that state no budget. */
const DEFAULT_SLO_MS = 700;

const bench = new TestBench();
let server: RunningServer;
let grpc: GrpcClient;

beforeAll(async () => {
  const flags = ['--slo', String(DEFAULT_SLO_MS), '--no-refine', ...PATIENT];
  server = await bench.serve(bench.model('echo', identity('FP32')), flags);
  grpc = new GrpcClient(server);
});
afterAll(async () => {
  grpc.close();
  await bench.close();
});

const INPUTS = [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }] as const;
const TENSOR = floatTensor('x', [1, 4], Float32Array.of(1, 2, 3, 4));
const send = (options: InferOptions = {}): Promise<Reply> => infer(server, 'echo', INPUTS, options);
const timeoutUs = (value: number) => ({ timeout: { parameterChoice: { $case: 'int64Param' as const, value } } });

/** Budget that was left on arrival, ms; on this machine the network takes next to nothing of it. */
async function budgetOf(options: InferOptions): Promise<number> {
  const { status, json } = await send(options);
  expect(status, json.error).toBe(200);
  return Number(json.parameters?.['sponge_budget_us']) / 1000;
}

/** Near `sloMs`, from below: receiving it took a moment. */
function expectNear(budgetMs: number, sloMs: number): void {
  expect(budgetMs).toBeLessThanOrEqual(sloMs);
  expect(budgetMs).toBeGreaterThan(0.5 * sloMs);
}

describe('the budget of a request', () => {
  it.each<[string, InferOptions, number]>([
    ['the header Request-Timeout-Ms', { sloMs: 5000 }, 5000],
    ['the parameter timeout, in µs', { parameters: { timeout: 4_000_000 } }, 4000],
    ['the tighter one: the parameter', { sloMs: 9000, parameters: { timeout: 3_000_000 } }, 3000],
    ['the tighter one: the header', { sloMs: 2500, parameters: { timeout: 8_000_000 } }, 2500],
    ['the header where the parameter is 0, which is none', { sloMs: 6000, parameters: { timeout: 0 } }, 6000],
    ["the model's default where none is stated", {}, DEFAULT_SLO_MS],
    ["the model's default where 0 is stated", { parameters: { timeout: 0 } }, DEFAULT_SLO_MS],
  ])('comes from %s', async (_, options, sloMs) => {
    expectNear(await budgetOf(options), sloMs);
  });

  it('comes from grpc-timeout or the parameter, the tighter one', async () => {
    const cases = [
      { deadlineMs: 5000, us: 0, sloMs: 5000 },
      { deadlineMs: 9000, us: 3_000_000, sloMs: 3000 },
      { deadlineMs: 2500, us: 8_000_000, sloMs: 2500 },
    ];
    for (const { deadlineMs, us, sloMs } of cases) {
      const { error, response } = await grpc.infer(grpcRequest('echo', [TENSOR], { parameters: timeoutUs(us) }), {
        deadlineMs,
      });
      expect(error).toBeNull();
      expectNear(Number(parameterOf(response, 'sponge_budget_us')) / 1000, sloMs);
    }
  });
});

describe('time that the network took', () => {
  it('is charged: the transfer of a slow upload', async () => {
    const body = JSON.stringify({ inputs: INPUTS });
    const connection = rawConnection(server);
    connection.write(requestHead('echo', body.length, 'Request-Timeout-Ms: 5000\r\nConnection: close\r\n'));
    connection.write(body.slice(0, 10));
    await delay(400);
    connection.write(body.slice(10));
    const answer = await connection.closed;
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    const { parameters } = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as {
      parameters: Record<string, unknown>;
    };
    expect(parameters['sponge_network_delay_source']).toBe('transfer');
    // Of the 400 ms: on a busy machine the head is on its way for a while too.
    expect(parameters['sponge_network_delay_us']).toBeGreaterThan(100_000);
    expect(Number(parameters['sponge_budget_us']) + Number(parameters['sponge_network_delay_us'])).toBeLessThanOrEqual(
      5_000_000,
    );
  });

  it('is charged: between the metadata and the message of a gRPC call', async () => {
    const message = ModelInferRequest.encode(grpcRequest('echo', [TENSOR])).finish();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    const session = connect(`http://${server.grpc}`);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/inference.GRPCInferenceService/ModelInfer',
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': '5S',
    });
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    const closed = new Promise((resolve) => stream.on('end', resolve));
    await delay(400);
    stream.end(Buffer.concat([prefix, message]));
    await closed;
    session.destroy();
    const response = ModelInferResponse.decode(Buffer.concat(chunks).subarray(5));
    expect(parameterOf(response, 'sponge_network_delay_source')).toBe('transfer');
    expect(Number(parameterOf(response, 'sponge_network_delay_us'))).toBeGreaterThan(100_000);
  });

  it('is charged: as the client declares it, when that is the most', async () => {
    const { json } = await send({ sloMs: 5000, parameters: { sponge_upload_us: 1_500_000 } });
    expect(json.parameters).toMatchObject({
      sponge_network_delay_source: 'declared_upload',
      sponge_network_delay_us: 1_500_000,
    });
    expectNear(Number(json.parameters?.['sponge_budget_us']) / 1000, 3500);
  });

  it('is charged: by the stamp of the client, once the offset of its clock is known', async () => {
    // The client's clock is an hour behind; eight stamps tell.
    const stamp = (): string => String((Date.now() - 3_600_000) * 1000);
    for (let i = 0; i < 8; i++) await send({ sloMs: 5000, headers: { 'sponge-sent-unix-us': stamp() } });
    const sentEarlier = stamp();
    await delay(300);
    const { json } = await send({ sloMs: 5000, headers: { 'sponge-sent-unix-us': sentEarlier } });
    expect(json.parameters?.['sponge_network_delay_source']).toBe('send_stamp');
    expect(json.parameters?.['sponge_network_delay_us']).toBeGreaterThan(100_000);
  });

  it('refuses what it has used up', async () => {
    const { status, json, headers } = await send({ sloMs: 800, parameters: { sponge_upload_us: 2_000_000 } });
    expect([status, json.reason]).toEqual([504, 'budget_spent_in_network']);
    expect(headers['retry-after']).toBeUndefined();
  });
});

describe('a deadline that passes while the request waits', () => {
  it('is told at once where it was stated; a default one, or best effort, is served late', async () => {
    // Connections first: opening one counts for the client, and not for the server.
    await Promise.all([send(), send(), send(), grpc.infer(grpcRequest('echo', [TENSOR]))]);
    const before = await scrape(server);
    const worker = server.worker();
    // A worker that stands still, with a batch on each instance: requests wait, and no estimate says that they will be late.
    process.kill(worker, 'SIGSTOP');
    const held = await holdInstances();
    const sloMs = 300;
    const stated = send({ sloMs });
    const viaGrpc = grpc.infer(grpcRequest('echo', [TENSOR], { parameters: timeoutUs(1000 * sloMs) }));
    const defaulted = send({ id: 'defaulted' });
    const bestEffort = send({ sloMs, parameters: { best_effort: true } });
    // As late as a timer and an answer are on this machine, at this moment.
    const control = delay(sloMs, performance.now()).then(async (sentAtMs) => {
      await http(`${server.rest}/v2/health/ready`);
      return performance.now() - sentAtMs;
    });

    const { status, json, headers, elapsedMs } = await stated;
    expect([status, json.reason], json.error).toEqual([504, 'expired']);
    expect(headers['retry-after']).toBeUndefined();
    expect(elapsedMs).toBeGreaterThan(sloMs - 5);
    const controlMs = await control;
    console.info(
      `told ${(elapsedMs - sloMs).toFixed(1)} ms after its deadline; ` +
        `a timer and an answer come ${(controlMs - sloMs).toFixed(1)} ms late`,
    );
    expect(elapsedMs).toBeLessThan(2 * controlMs);
    const { error } = await viaGrpc;
    expect(error?.code).toBe(4); // DEADLINE_EXCEEDED
    expect(error?.metadata.get('x-sponge-reason')).toEqual(['expired']);

    await delay(DEFAULT_SLO_MS);
    process.kill(worker, 'SIGCONT');
    for (const { status } of await Promise.all(held)) expect(status).toBe(200);
    for (const reply of await Promise.all([defaulted, bestEffort])) {
      expect(reply.status, reply.json.error).toBe(200);
      expect(reply.json.parameters?.['sponge_late']).toBe(true);
      expect(reply.json.outputs?.[0]?.data).toEqual([1, 2, 3, 4]);
    }
    const after = await scrape(server);
    const grown = (labels: Record<string, string>): number =>
      after.sum('sponge_outcomes_total', labels) - before.sum('sponge_outcomes_total', labels);
    expect(grown({ outcome: 'expired', reason: 'expired' })).toBe(2);
    expect(grown({ outcome: 'completed_late' })).toBe(2);
    await eventually('an empty queue', async () => (await scrape(server)).sum('sponge_queue_depth') === 0);
    expect((await http(`${server.rest}/v2/health/ready`)).status).toBe(200);
    expect(server.worker()).toBe(worker);
  });

  it('is told half a second after it where the batch was begun', async () => {
    const worker = server.worker();
    process.kill(worker, 'SIGSTOP');
    const held = await holdInstances(() => send({ sloMs: 300 }));
    for (const { status, json, elapsedMs } of await Promise.all(held)) {
      expect([status, json.reason]).toEqual([504, 'expired']);
      expect(json.error).toMatch(/^deadline passed \d+\.\d ms ago, .* its batch has still not ended$/);
      expect(elapsedMs).toBeGreaterThan(800 - 5);
    }
    process.kill(worker, 'SIGCONT');
    expect((await send({ sloMs: 60_000 })).status).toBe(200);
    expect(server.worker()).toBe(worker);
  });
});

/** Requests that run, one on each instance of a worker that stands still. */
async function holdInstances(
  sendOne: () => Promise<Reply> = () => send({ sloMs: 60_000 }),
): Promise<readonly Promise<Reply>[]> {
  const startedCount = async (): Promise<number> => (await scrape(server)).sum('sponge_batch_size_sum');
  const startedBefore = await startedCount();
  const instanceCount = (await scrape(server)).sum('sponge_instances');
  const held: Promise<Reply>[] = [];
  while (held.length < instanceCount) {
    held.push(sendOne());
    await eventually('it to be started', async () => (await startedCount()) === startedBefore + held.length);
  }
  return held;
}
