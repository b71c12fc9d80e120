import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { GrpcClient, grpcRequest, http, infer, type Reply } from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';

/* Inputs that end a worker process, sent among good ones: who is told what, and what it costs the others. */

const bench = new TestBench();
let server: RunningServer;
beforeAll(async () => {
  const repository = bench.repository('deadly', { divider: divider('divider'), neighbour: divider('neighbour') });
  server = await bench.serve(repository, ['--no-refine']);
});
afterAll(() => bench.close());

const LEAST = -(2n ** 63n);

/** `x` i64 [batch, 4] → `y` = LEAST / (1 + x): the processor ends a process that divides the least integer by −1, and by 0. */
function divider(name: string): OnnxGraph {
  const graph = new OnnxGraph(name);
  const x = graph.input('x', 'INT64', ['batch', 4]);
  graph.constant('least', 'INT64', [1, 1], BigInt64Array.of(LEAST));
  graph.constant('one', 'INT64', [1, 1], BigInt64Array.of(1n));
  graph.output(graph.add('Div', ['least', graph.add('Add', ['one', x])], {}, 'y'), 'INT64', ['batch', 4]);
  return graph;
}

/** The last one makes each content another. */
const good = (number: number): number[] => [1, 2, 3, 3 + number];
const deadly = (number: number): number[] => [-2, 0, 0, number];

function send(data: readonly number[], client: string, model = 'divider'): Promise<Reply> {
  const x = { name: 'x', datatype: 'INT64' as const, shape: [1, 4], data };
  return infer(server, model, [x], { headers: { 'sponge-client': client } });
}

function losses(): number {
  return server.log.match(/worker lost: the worker process was killed by SIGFPE/g)?.length ?? 0;
}

describe('an input that ends the worker', () => {
  it('is told so, costs one restart, and is refused at once when it comes again, by whomever, in either protocol', async () => {
    const first = await send(deadly(1), 'a');
    expect(first.json).toMatchObject({ reason: 'poison', error: expect.stringMatching(/killed by SIGFPE/) as unknown });
    expect(first.status).toBe(500);
    const again = await send(deadly(1), 'b');
    expect(again.json).toMatchObject({ reason: 'poison', error: expect.stringMatching(/not tried again/) as unknown });
    const grpc = new GrpcClient(server);
    const data = new Uint8Array(BigInt64Array.from(deadly(1).map(BigInt)).buffer);
    const raw = grpcRequest('divider', [{ name: 'x', datatype: 'INT64', shape: [1, 4], data }]);
    const called = await grpc.call('modelInfer', raw);
    grpc.close();
    expect(called.error?.code).toBe(13);
    expect(losses()).toBe(1);
    // Of the same shape, and harmless.
    expect((await send(good(1), 'a')).status).toBe(200);
    expect(losses()).toBe(1);
  });

  it('fails alone: those that wait with it are all answered, and another model serves meanwhile', async () => {
    const before = losses();
    const burst = Array.from({ length: 12 }, (_, i) => send(i === 5 ? deadly(2) : good(i), i === 5 ? 'c' : 'good'));
    const replies = await Promise.all(burst);
    expect(replies.map(({ status }) => status)).toEqual(burst.map((_, i) => (i === 5 ? 500 : 200)));
    expect(losses()).toBeLessThanOrEqual(before + 2);
    const beside = await send(good(1), 'good', 'neighbour');
    expect(beside.status).toBe(200);
  });

  it('has its client held back after the third, and nobody else', async () => {
    for (let number = 10; number < 13; number++) expect((await send(deadly(number), 'bad')).status).toBe(500);
    // Served by the worker after the third, whose loss has been logged by then.
    expect((await send(good(1), 'good')).status).toBe(200);
    const before = losses();
    const refused = await send(good(1), 'bad');
    expect(refused.json).toMatchObject({
      reason: 'poison',
      error: expect.stringMatching(/3 requests of this client/) as unknown,
    });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect((await send(good(1), 'good')).status).toBe(200);
    expect(losses()).toBe(before);
  });
});

describe('a model whose worker restarts', () => {
  it('is not ready and says why, while the server is, for the other one', async () => {
    const status = async (path: string): Promise<number> => (await http(`${server.rest}/v2/${path}`)).status;
    const grpc = new GrpcClient(server);
    const pending = send(deadly(20), 'd');
    expect((await pending).json.reason).toBe('poison');
    // It was told at the crash: the restart has only begun.
    const during = await Promise.all(['divider/ready', 'neighbour/ready'].map((path) => status(`models/${path}`)));
    expect(during).toEqual([503, 200]);
    expect(await status('health/ready')).toBe(200);
    await eventually('ready again', async () => (await status('models/divider/ready')) === 200);
    expect((await grpc.call('modelReady', { name: 'divider', version: '' })).response.ready).toBe(true);
    grpc.close();
  });
});
