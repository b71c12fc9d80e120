import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import {
  floatTensor,
  GrpcClient,
  grpcRequest,
  http,
  inferBinary,
  parameterOf,
  type InferOptions,
  type Reply,
} from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';

/*
 * A model of three variants, each the same matrix more often over: what they take differs by a lot, and by how much the server says itself.
 */

const bench = new TestBench();
afterAll(() => bench.close());

const WIDTH = 512;

/** `x` f32 [batch, 512] → `y`, through so many products with one matrix. */
function products(count: number): OnnxGraph {
  const graph = new OnnxGraph('products');
  let last = graph.input('x', 'FP32', ['batch', WIDTH]);
  const weights = Float32Array.from({ length: WIDTH * WIDTH }, (_, index) => ((index * 7919) % 13) / (6 * WIDTH));
  const matrix = graph.constant('w', 'FP32', [WIDTH, WIDTH], weights);
  for (let index = 0; index < count; index++)
    last = graph.add('MatMul', [last, matrix], {}, ...(index === count - 1 ? ['y'] : []));
  graph.output(last, 'FP32', ['batch', WIDTH]);
  return graph;
}

const VARIANTS = `
slo_ms: 60000
variants:
  - { model: large, accuracy: 80 }
  - { model: small, accuracy: 50 }
  - { model: middle, accuracy: 70 }
`;

const CORES = 2;
const FLAGS = ['--no-refine', '--max-cores', String(CORES), '--instances', String(CORES), '--max-batch', '1'];

function writeRepository(name: string): string {
  bench.repository(name, { small: products(6), middle: products(60), large: products(1200), other: identity('FP32') });
  bench.file(`${name}/any/variants.yaml`, VARIANTS);
  return bench.path(name);
}

const X = floatTensor('x', [1, WIDTH], new Float32Array(WIDTH).fill(0.5));

const ask = (server: RunningServer, options: InferOptions = {}): Promise<Reply> =>
  inferBinary(server, 'any', [X], { sloMs: 60_000, ...options });

const variantOf = ({ json }: Reply): unknown => json.parameters?.['sponge_variant'];

describe('a server of a model with variants', () => {
  let server: RunningServer;
  beforeAll(async () => {
    const path = writeRepository('group');
    const two = (other: string): string =>
      `variants:\n  - { model: small, accuracy: 1 }\n  - { model: ${other}, accuracy: 2 }\n`;
    bench.file('group/misfit/variants.yaml', two('other'));
    bench.file('group/partly/variants.yaml', two('nowhere'));
    bench.file('group/nobody/variants.yaml', two('nowhere').replace('small', 'neither'));
    bench.file('group/alone/variants.yaml', 'variants:\n  - { model: small, accuracy: 1 }\n');
    server = await bench.serve(path, FLAGS);
  });
  afterAll(() => server.stop());

  it('answers as a model does, over REST and gRPC, by the best with time to spare, and says which', async () => {
    const reply = await ask(server);
    expect(reply.status, reply.json.error).toBe(200);
    expect([variantOf(reply), reply.headers['sponge-variant'], reply.json['model_name']]).toEqual([
      'large',
      'large',
      'any',
    ]);
    const client = new GrpcClient(server);
    const { response, error } = await client.infer(grpcRequest('any', [X]));
    client.close();
    expect(error).toBeNull();
    expect(parameterOf(response, 'sponge_variant')).toBe('large');
    expect(response.outputs.map(({ name, shape }) => [name, shape.map(Number)])).toEqual([['y', [1, WIDTH]]]);
  });

  it('is told of as a model is: metadata, readiness, statistics, metrics', async () => {
    const at = async (path: string): Promise<Reply> => http(`${server.rest}/v2/models/${path}`);
    expect((await at('any')).json).toMatchObject({
      ...{ name: 'any', platform: 'onnxruntime_onnx' },
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, WIDTH] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, WIDTH] }],
    });
    expect((await at('any/ready')).status).toBe(200);
    await ask(server);
    const stats = (await at('any/stats')).json as unknown as { model_stats: { inference_count: number }[] };
    expect(stats.model_stats[0]!.inference_count).toBeGreaterThan(0);
    const metrics = (await http(server.metrics)).bytes.toString();
    expect(metrics).toMatch(/sponge_variant_answers_total\{[^}]*model="any"[^}]*variant="large"[^}]*\} [1-9]/);
    expect(server.banner).toContain('variants: small, middle, large');
  });

  it('takes from a request how much accuracy it needs, as parameter or header, and refuses what no variant has', async () => {
    const quick = await ask(server, { parameters: { sponge_accuracy_weight: 0 } });
    // Which of the two small ones is quicker is what the machine's profile says.
    expect(['small', 'middle']).toContain(variantOf(quick));
    const accurate = await ask(server, { parameters: { sponge_accuracy_weight: 0, sponge_least_accuracy: 60.5 } });
    expect(['middle', 'large']).toContain(variantOf(accurate));
    const byHeader = await ask(server, { headers: { 'sponge-accuracy-weight': '0', 'sponge-least-accuracy': '75' } });
    expect(variantOf(byHeader)).toBe('large');
    const most = await ask(server, { parameters: { sponge_least_accuracy: 81 } });
    expect([most.status, most.json.error]).toEqual([
      400,
      expect.stringContaining('no variant has 81, the best one has 80'),
    ]);
    const wrong = await ask(server, { parameters: { sponge_accuracy_weight: 2 } });
    expect([wrong.status, wrong.json.error]).toEqual([400, expect.stringContaining('expected a number ≥ 0 and ≤ 1')]);
  });

  it('goes to cheaper variants in an overload, keeps to the least accuracy of a request, and comes back', async () => {
    const alone = await ask(server);
    // Of the largest, so that whatever else a request takes is little beside it, on any machine: it is its work that is too much.
    const budgetMs = (12 * Number(alone.json.parameters!['sponge_actual_us'])) / 1000;
    const count = 12 * CORES * 3;
    const replies = await Promise.all(
      Array.from({ length: count }, (_, index) =>
        ask(server, {
          sloMs: budgetMs,
          ...(index % 10 === 0 ? { parameters: { sponge_least_accuracy: 80 } } : {}),
        }),
      ),
    );
    expect(new Set(replies.map(({ status }) => status))).toContain(200);
    for (const { status } of replies) expect([200, 429, 504]).toContain(status);
    const served = replies.map((reply) => (reply.status === 200 ? variantOf(reply) : 'none'));
    expect(served.filter((variant) => variant === 'small' || variant === 'middle').length).toBeGreaterThan(0);
    served.forEach((variant, index) => {
      if (index % 10 === 0) expect(['large', 'none']).toContain(variant);
    });
    await eventually('the best variant again', async () => variantOf(await ask(server)) === 'large');
    const after = await Promise.all([ask(server), ask(server)]);
    expect(after.map(variantOf)).toEqual(['large', 'large']);
  });

  it('goes on while workers are killed, with one answer for each request', async () => {
    const asked = Array.from({ length: 40 }, async (_, index) => {
      const reply = await ask(server);
      if (index === 0) for (const pid of server.workers()) process.kill(pid, 'SIGKILL');
      return reply;
    });
    const replies = await Promise.all(asked);
    expect(replies).toHaveLength(40);
    for (const { status, json } of replies) expect([200, 500, 503], json.error).toContain(status);
    await eventually('the best variant again', async () => variantOf(await ask(server)) === 'large');
  });

  it('says in one line why one is not served, and serves with the variants that there are', async () => {
    const { json } = await http(`${server.rest}/v2/repository/index`, { method: 'POST', body: {} });
    const entries = json as unknown as readonly { readonly name: string; readonly reason: string }[];
    const reasonOf = (name: string): string | undefined => entries.find((entry) => entry.name === name)?.reason;
    expect(reasonOf('misfit')).toBe(
      `variant 'other': input 'x' is FP32 [-1, 4], and of 'small' it is FP32 [-1, ${WIDTH}]`,
    );
    expect(reasonOf('nobody')).toMatch(/none of its variants is served: .*'(nowhere|neither)' is not served here/);
    const partly = await inferBinary(server, 'partly', [X], { sloMs: 60_000 });
    expect([partly.status, variantOf(partly)]).toEqual([200, 'small']);
    expect(server.log + (reasonOf('alone') ?? '')).toContain('a model with variants has two at least');
  });
});

describe('variants that come and go', () => {
  it('are brought by their model, serve while one of them is not there, and are back with it', async () => {
    const server = await bench.serve(writeRepository('asked'), [...FLAGS, '--model-control', 'explicit']);
    const post = (path: string): Promise<Reply> =>
      http(`${server.rest}/v2/repository/models/${path}`, { method: 'POST', body: {} });
    const loaded = await post('any/load');
    expect(loaded.status, loaded.json.error).toBe(200);
    expect(variantOf(await ask(server))).toBe('large');
    await post('large/unload');
    const without = await ask(server);
    expect([without.status, variantOf(without)]).toEqual([200, 'middle']);
    await post('large/load');
    expect(variantOf(await ask(server))).toBe('large');
    await Promise.all(['small', 'middle', 'large'].map((name) => post(`${name}/unload`)));
    expect((await ask(server)).status).toBe(503);
    await server.stop();
  });
});
