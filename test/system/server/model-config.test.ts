import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { identity, slow } from '../../../research/load-models/tiny-graphs.js';
import {
  binaryOutputs,
  floatsOf,
  floatTensor,
  GrpcClient,
  http,
  inferBinary,
  slowInput,
  slowPlace,
  type Reply,
} from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';

/* Triton's model configuration: beside a model, and sent with the call that loads one. */

const bench = new TestBench();
afterAll(() => bench.close());

function post(server: RunningServer, path: string, body: object = {}): Promise<Reply> {
  return http(`${server.rest}/v2/repository/models/${path}`, { method: 'POST', body });
}

function configOf(server: RunningServer, model: string): Promise<Reply> {
  return http(`${server.rest}/v2/models/${model}/config`);
}

const VALUES = Float32Array.of(1, 2, 3, 4);

describe('a repository with config.pbtxt', () => {
  let server: RunningServer;
  beforeAll(async () => {
    bench.repository('triton', { shaped: identity('FP32'), wrong: identity('FP32'), single: identity('FP32') });
    bench.file(
      'triton/shaped/config.pbtxt',
      `name: "shaped" platform: "onnxruntime_onnx" max_batch_size: 4
       input [ { name: "x" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 4 ] } format: FORMAT_NONE } ]
       output [ { name: "y" dims: [ 4, 1 ] reshape { shape: [ 4 ] } label_filename: "labels.txt" } ]
       dynamic_batching {
         preferred_batch_size: [ 4 ]
         default_queue_policy { default_timeout_microseconds: 30000000 max_queue_size: 100 }
       }
       instance_group [ { count: 1 kind: KIND_CPU } ]
       parameters { key: "intra_op_thread_count" value { string_value: "1" } }
       optimization { graph { level: 1 } }
       model_warmup [ { name: "zeros" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 2, 2 ] zero_data: true } } } ]
      `,
    );
    bench.file('triton/shaped/labels.txt', 'ant\nbee\ncat\ndog\n');
    bench.file('triton/wrong/config.pbtxt', 'input { name: "x" dims: 5 }');
    bench.file('triton/single/config.pbtxt', 'max_batch_size: 0');
    server = await bench.serve(bench.path('triton'), ['--no-refine']);
  });
  afterAll(() => server.stop());

  it('serves a model in the shapes that it says, both ways', async () => {
    const reply = await inferBinary(server, 'shaped', [floatTensor('x', [1, 2, 2], VALUES)]);
    expect(reply.status, reply.json.error).toBe(200);
    const [output] = binaryOutputs(reply);
    expect([output!.shape, [...floatsOf(output!)]]).toEqual([[1, 4, 1], [...VALUES]]);
    const { json } = await http(`${server.rest}/v2/models/shaped`);
    expect(json).toMatchObject({ inputs: [{ shape: [-1, 2, 2] }], outputs: [{ shape: [-1, 4, 1] }] });
  });

  it('refuses the model’s own shape, and more rows than it says', async () => {
    const own = await inferBinary(server, 'shaped', [floatTensor('x', [1, 4], VALUES)]);
    expect([own.status, own.json.error]).toEqual([400, expect.stringContaining('expected FP32 [-1, 2, 2]')]);
    const rows = await inferBinary(server, 'shaped', [floatTensor('x', [5, 2, 2], new Float32Array(20))]);
    expect([rows.status, rows.json.error]).toEqual([400, expect.stringContaining('at most 4')]);
  });

  it('takes its timeout for requests that state none, as if they had', async () => {
    const reply = await inferBinary(server, 'shaped', [floatTensor('x', [1, 2, 2], VALUES)]);
    const budgetUs = Number(reply.json.parameters!['sponge_budget_us']);
    expect(budgetUs).toBeLessThanOrEqual(30_000_000);
    expect(budgetUs).toBeGreaterThan(1_000_000);
  });

  it('tells what it has taken from it, over REST and gRPC, and names what it has not', async () => {
    const { json } = await configOf(server, 'shaped');
    expect(json).toMatchObject({
      name: 'shaped',
      max_batch_size: 4,
      input: [{ name: 'x', dims: [2, 2], reshape: { shape: [4] } }],
      output: [{ name: 'y', dims: [4, 1], reshape: { shape: [4] }, label_filename: 'labels.txt' }],
      dynamic_batching: {
        preferred_batch_size: [],
        default_queue_policy: {
          timeout_action: 'REJECT',
          default_timeout_microseconds: 30_000_000,
          max_queue_size: 100,
        },
      },
      instance_group: [{ count: 1, kind: 'KIND_CPU' }],
      parameters: { intra_op_thread_count: { string_value: '1' } },
      model_warmup: [{ name: 'zeros', inputs: { x: { dims: [2, 2], zero_data: true } } }],
    });
    expect(json).not.toHaveProperty('optimization');
    const grpc = new GrpcClient(server);
    const { response } = await grpc.call('modelConfig', { name: 'shaped', version: '' });
    expect(response.config).toMatchObject({
      maxBatchSize: 4,
      input: [{ dims: [2, 2], reshape: { shape: [4] } }],
      output: [{ labelFilename: 'labels.txt' }],
      modelWarmup: [{ name: 'zeros' }],
    });
    grpc.close();
    const notices = server.log.split('\n').filter((line) => line.includes('without effect here'));
    expect(notices).toEqual([expect.stringContaining('dynamic_batching.preferred_batch_size, optimization')]);
  });

  it('has no batches where it says max_batch_size: 0', async () => {
    const { json } = await configOf(server, 'single');
    expect(json).toMatchObject({ max_batch_size: 0, input: [{ dims: [-1, 4] }] });
    expect(json).not.toHaveProperty('dynamic_batching');
  });

  it('does not serve a model that is not as it says, and says why', async () => {
    const reason =
      "config.pbtxt: input 'x': dims are [-1, 5] with the batch axis before them, and the model's are [-1, 4]";
    expect(server.log).toContain(reason);
    const { status, json } = await inferBinary(server, 'wrong', [floatTensor('x', [1, 4], VALUES)]);
    expect([status, json.error]).toEqual([503, expect.stringContaining(reason)]);
  });
});

describe('a model that is sent with the call that loads it', () => {
  let server: RunningServer;
  const sentFolders = (): readonly string[] =>
    readdirSync(bench.path('temporary')).filter((name) => name.startsWith('sponge-sent-'));
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const place = async (model: string, steps = 0): Promise<number> => {
    const reply = await inferBinary(server, model, [slowInput(steps)], { sloMs: 60_000 });
    expect(reply.status, reply.json.error).toBe(200);
    return slowPlace(reply);
  };

  beforeAll(async () => {
    bench.file('temporary/keep', '');
    bench.repository('sent', { slow: slow(3) });
    const flags = ['--model-control', 'explicit', '--load-model', 'slow', '--no-refine'];
    server = await bench.serve(bench.path('sent'), flags, { TMPDIR: bench.path('temporary') });
  });

  it('is served in the place of the repository’s, which comes back when it is loaded without files', async () => {
    expect(await place('slow')).toBe(3);
    const files = { 'file:7/model.onnx': base64(slow(5).toModel()), 'file:7/notes': base64(new Uint8Array(1_500_000)) };
    const loaded = await post(server, 'slow/load', { parameters: { config: '{"name": "slow"}', ...files } });
    expect([loaded.status, loaded.json]).toEqual([200, {}]);
    expect(await place('slow')).toBe(5);
    expect((await http(`${server.rest}/v2/models/slow`)).json['versions']).toEqual(['7']);
    expect(sentFolders()).toHaveLength(1);
    expect(existsSync(bench.path('sent/slow/7'))).toBe(false);

    expect((await post(server, 'slow/load')).status).toBe(200);
    expect(await place('slow')).toBe(3);
    await eventually('an end of its folder', () => sentFolders().length === 0);
  });

  it('needs no folder of its own, over gRPC too, and leaves nothing when it is unloaded', async () => {
    const grpc = new GrpcClient(server);
    const file = { parameterChoice: { $case: 'bytesParam', value: Buffer.from(slow(4).toModel()) } } as const;
    const config = { parameterChoice: { $case: 'stringParam', value: '{"backend": "onnxruntime"}' } } as const;
    const load = { repositoryName: '', modelName: 'new', parameters: { config, 'file:1/model.onnx': file } };
    expect((await grpc.call('repositoryModelLoad', load)).error).toBeNull();
    expect(await place('new')).toBe(4);
    // Another one, whose file is no model: the first goes on.
    const broken = { parameterChoice: { $case: 'bytesParam', value: Buffer.from('no model') } } as const;
    const refused = await grpc.call('repositoryModelLoad', {
      ...load,
      parameters: { config, 'file:1/model.onnx': broken },
    });
    expect(refused.error?.details).toMatch(/failed to load 'new': .*not an ONNX model/);
    expect(refused.error?.details).not.toContain('sponge-sent');
    expect(await place('new')).toBe(4);
    expect(sentFolders()).toHaveLength(1);
    expect((await grpc.call('repositoryModelUnload', { ...load, parameters: {} })).error).toBeNull();
    grpc.close();
    await eventually('an end of its folder', () => sentFolders().length === 0);
    const again = await post(server, 'new/load');
    expect([again.status, again.json.error]).toEqual([404, expect.stringContaining('no such model')]);
  });

  it('is served as the configuration says that is sent, until it is loaded without', async () => {
    const before = (await configOf(server, 'slow')).json['max_batch_size'];
    expect((await post(server, 'slow/load', { parameters: { config: '{"max_batch_size": 2}' } })).status).toBe(200);
    expect((await configOf(server, 'slow')).json['max_batch_size']).toBe(2);
    expect((await post(server, 'slow/load')).status).toBe(200);
    expect((await configOf(server, 'slow')).json['max_batch_size']).toBe(before);
  });

  it.each<[string, object, string]>([
    ['slow', { config: '{"input": [{"name": "z"}]}' }, "config.pbtxt: input 'z': the model has no such input"],
    ['slow', { config: '{"nme": 1}' }, 'config: ModelConfig: key "nme" is unknown'],
    ['slow', { 'file:1/model.onnx': 'AAAA' }, 'files need a config'],
    ['slow', { config: '{}', 'file:1/model.onnx': 'A-A' }, 'file:1/model.onnx is not base64'],
    ['slow', { config: '{}', 'file:labels.txt': 'AAAA' }, 'holds no model.onnx'],
    ['.hidden', { config: '{}', 'file:1/model.onnx': 'AAAA' }, 'has a name without slashes'],
  ])('is refused with the reason where it cannot be served: %s %j', async (model, parameters, reason) => {
    const { status, json } = await post(server, `${model}/load`, { parameters });
    expect([status, json.error]).toEqual([400, expect.stringContaining(reason)]);
    expect(await place('slow')).toBe(3);
    expect(sentFolders()).toEqual([]);
  });

  it('is gone with the server', async () => {
    const files = { 'file:1/model.onnx': base64(slow(2).toModel()) };
    expect((await post(server, 'last/load', { parameters: { config: '{}', ...files } })).status).toBe(200);
    expect(sentFolders()).toHaveLength(1);
    await server.stop();
    expect(sentFolders()).toEqual([]);
  });
});
