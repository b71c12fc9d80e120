import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixedBatch, identity } from '../../../research/load-models/tiny-graphs.js';
import {
  binaryOutputs,
  floatsOf,
  floatTensor,
  GrpcClient,
  grpcRequest,
  http,
  inferBinary,
  type Reply,
} from './clients.js';
import { TestBench, type RunningServer } from './harness.js';

/*
 * Pipelines of tiny models and functions: rows are divided, each goes through a model that gives it back, and their sums come together again
 * in order. What a row begins with makes the functions misbehave.
 */

const bench = new TestBench();
afterAll(() => bench.close());

const [THROWS, HANGS, LEAKS, FILLS] = [-1, -2, -3, -4];

const SPLIT = `
const kept = [];
export default function split({ rows }) {
  const [count] = rows.shape;
  const first = rows.data[0];
  if (first === ${THROWS}) throw new Error('row 1 is below zero');
  if (first === ${HANGS}) for (;;);
  if (first === ${LEAKS}) kept.push(new Uint8Array(40 * 1024 ** 2).fill(1));
  if (first === ${FILLS}) for (const all = []; ; ) all.push(Array.from({ length: 10_000 }, () => ({})));
  return { row: Array.from({ length: count }, (_, row) => ({ shape: [1, 4], data: rows.data.slice(4 * row, 4 * row + 4) })) };
}`;

const ADD = `
export default async function add({ rows }) {
  const sums = rows.map((row) => (row === null ? -100 : row.data.reduce((sum, each) => sum + each, 0)));
  return { sum: { shape: [sums.length], data: Float32Array.from(sums) } };
}`;

const SUMS = `
inputs:
  rows: { datatype: FP32, shape: [-1, 4] }
outputs: [sum]
steps:
  - name: split
    function: ./split.mjs
    memory_mib: 32
    time_limit_ms: 2000
    inputs: { rows: rows }
    outputs: { row: { datatype: FP32, shape: [1, 4], list: true } }
  - name: echo
    model: echo
    for_each: x
    max_parts: 8
    inputs: { x: row }
    outputs: { y: echoed }
  - name: add
    function: ./add.mjs
    inputs: { rows: echoed }
    outputs: { sum: { datatype: FP32, shape: [-1] } }
`;

const ENSEMBLE = `
platform: "ensemble"
input [{ name: "IN" data_type: TYPE_FP32 dims: [1, 4] }]
output [{ name: "OUT" data_type: TYPE_FP32 dims: [1, 4] }]
ensemble_scheduling {
  step [
    { model_name: "echo" model_version: -1 input_map { key: "x" value: "IN" } output_map { key: "y" value: "between" } },
    { model_name: "twice" model_version: -1 input_map { key: "x" value: "between" } output_map { key: "y" value: "OUT" } }
  ]
}`;

/** One step, of the model `echo`. */
const broken = (input: string, shape: string, rest = ''): string => `
inputs:
  x: { datatype: ${input}, shape: ${shape} }
outputs: [y]
steps:
  - { name: echo, model: echo, inputs: { x: x }, outputs: { y: y }${rest} }
`;

function writeRepository(name: string): string {
  bench.repository(name, { echo: identity('FP32'), twice: fixedBatch() });
  bench.file(`${name}/sums/pipeline.yaml`, SUMS);
  bench.file(`${name}/sums/split.mjs`, SPLIT);
  bench.file(`${name}/sums/add.mjs`, ADD);
  bench.file(`${name}/both/config.pbtxt`, ENSEMBLE);
  return bench.path(name);
}

const rowsOf = (...rows: readonly (readonly number[])[]) =>
  floatTensor('rows', [rows.length, 4], Float32Array.from(rows.flat()));

const sumsOf = (reply: Reply): number[] => [...floatsOf(binaryOutputs(reply)[0]!)];

const ask = (server: RunningServer, first: number): Promise<Reply> =>
  inferBinary(server, 'sums', [rowsOf([first, 1, 1, 1], [2, 0, 0, 0])], { sloMs: 60_000 });

describe('a server of pipelines', () => {
  let server: RunningServer;
  beforeAll(async () => {
    const path = writeRepository('chain');
    bench.file('chain/bad-type/pipeline.yaml', broken('INT32', '[-1, 4]'));
    bench.file('chain/bad-shape/pipeline.yaml', broken('FP32', '[-1, 5]'));
    bench.file('chain/bad-model/pipeline.yaml', broken('FP32', '[-1, 4]').replace('model: echo', 'model: nowhere'));
    bench.file('chain/bad-tensor/pipeline.yaml', broken('FP32', '[-1, 4]').replace('{ x: x }', '{ x: z }'));
    bench.file('chain/bad-function/pipeline.yaml', SUMS);
    bench.file('chain/bad-function/split.mjs', 'export const nothing = 1;');
    server = await bench.serve(path, ['--no-refine', '--instances', 'auto']);
  });
  afterAll(() => server.stop());

  it('answers as a model does, over REST and gRPC, parts in their order', async () => {
    const rows = rowsOf([1, 2, 3, 4], [5, 0, 0, 0], [0, 0, 0, 7]);
    const reply = await inferBinary(server, 'sums', [rows], { sloMs: 60_000 });
    expect(reply.status, reply.json.error).toBe(200);
    expect(sumsOf(reply)).toEqual([10, 5, 7]);
    const client = new GrpcClient(server);
    const { response, error } = await client.infer(grpcRequest('sums', [rows]));
    client.close();
    expect(error).toBeNull();
    expect([...new Float32Array(Uint8Array.from(response.rawOutputContents[0]!).buffer)]).toEqual([10, 5, 7]);
    const empty = await inferBinary(server, 'sums', [rowsOf()], { sloMs: 60_000 });
    expect(sumsOf(empty)).toEqual([]);
  });

  it('is told of as a model is: metadata, configuration, readiness, statistics, metrics', async () => {
    const at = async (path: string): Promise<Reply> => http(`${server.rest}/v2/models/${path}`);
    expect((await at('sums')).json).toMatchObject({
      ...{ name: 'sums', platform: 'ensemble' },
      inputs: [{ name: 'rows', datatype: 'FP32', shape: [-1, 4] }],
      outputs: [{ name: 'sum', datatype: 'FP32', shape: [-1] }],
    });
    expect((await at('sums/ready')).status).toBe(200);
    expect((await at('sums/config')).json).toMatchObject({
      ensemble_scheduling: { step: [{ model_name: 'split' }, { model_name: 'echo' }, { model_name: 'add' }] },
    });
    const stats = (await at('sums/stats')).json as unknown as { model_stats: { execution_count: number }[] };
    expect(stats.model_stats[0]!.execution_count).toBe(3);
    const metrics = (await http(server.metrics)).bytes.toString();
    expect(metrics).toMatch(/sponge_outcomes_total\{[^}]*model="sums"[^}]*completed_on_time[^}]*\} 3/);
    expect(server.banner).toContain('a pipeline: split → echo → add');
  });

  it('reads an ensemble of Triton', async () => {
    const reply = await inferBinary(server, 'both', [floatTensor('IN', [1, 4], Float32Array.of(1, 2, 3, 4))], {
      sloMs: 60_000,
    });
    expect(reply.status, reply.json.error).toBe(200);
    expect(sumsOf(reply)).toEqual([2, 4, 6, 8]);
  });

  it('fails a request whose function throws, hangs or needs too much memory, with the reason, and goes on', async () => {
    const thrown = await ask(server, THROWS);
    expect([thrown.status, thrown.json.error]).toEqual([
      500,
      expect.stringContaining("step 'split': row 1 is below zero"),
    ]);
    const hung = await ask(server, HANGS);
    expect([hung.status, hung.json.error]).toEqual([
      500,
      expect.stringContaining('it ran longer than 2000 ms (time_limit_ms)'),
    ]);
    expect(sumsOf(await ask(server, 1))).toEqual([4, 2]);
    const full = await ask(server, FILLS);
    expect([full.status, full.json.error]).toEqual([
      500,
      expect.stringMatching(/more memory than 32 MiB|ran longer than 2000 ms/),
    ]);
    expect(sumsOf(await ask(server, 1))).toEqual([4, 2]);
  });

  it('answers what a function that leaks has made, and replaces its thread', async () => {
    expect(sumsOf(await ask(server, LEAKS))).toEqual([0, 2]);
    expect(server.log).toMatch(/holds \d+ MiB after a call, and may hold 32: its thread is replaced/);
    expect(sumsOf(await ask(server, 1))).toEqual([4, 2]);
  });

  it('refuses more parts than a step takes, and what is no request', async () => {
    const many = await inferBinary(server, 'sums', [rowsOf(...Array.from({ length: 9 }, () => [0, 0, 0, 0]))], {
      sloMs: 60_000,
    });
    expect([many.status, many.json.error]).toEqual([
      500,
      expect.stringContaining("step 'echo': it would run for 9 parts, and max_parts is 8"),
    ]);
    const wrong = await inferBinary(server, 'sums', [{ ...rowsOf([1, 2, 3, 4]), shape: [4, 1] }]);
    expect([wrong.status, wrong.json.error]).toEqual([
      400,
      expect.stringContaining("input 'rows': expected FP32 [-1, 4]"),
    ]);
  });

  it('says in one line why one is not served, and serves the others', async () => {
    const { json } = await http(`${server.rest}/v2/repository/index`, { method: 'POST', body: {} });
    const entries = json as unknown as readonly { readonly name: string; readonly reason: string }[];
    const reasonOf = (name: string): string => entries.find((entry) => entry.name === name)!.reason;
    expect(reasonOf('bad-type')).toBe(
      "step 'echo': 'x' is INT32 [-1, 4], and input 'x' of model 'echo' is FP32 [-1, 4]",
    );
    expect(reasonOf('bad-shape')).toBe(
      "step 'echo': 'x' is FP32 [-1, 5], and input 'x' of model 'echo' is FP32 [-1, 4]",
    );
    expect(reasonOf('bad-model')).toBe("Request for unknown model: 'nowhere' is not served here");
    expect(reasonOf('bad-tensor')).toContain("step 'echo': input 'x': there is no tensor 'z', only 'x', 'y'");
    expect(reasonOf('bad-function')).toContain('it exports no function: export default function (inputs)');
  });
});

describe('a pipeline that is asked for', () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await bench.serve(writeRepository('asked'), [
      '--model-control',
      'explicit',
      '--no-refine',
      '--instances',
      'auto',
    ]);
  });

  const post = (path: string, body: object = {}): Promise<Reply> =>
    http(`${server.rest}/v2/repository/models/${path}`, { method: 'POST', body });
  const isReady = async (model: string): Promise<boolean> =>
    (await http(`${server.rest}/v2/models/${model}/ready`)).status === 200;

  it('brings its models, is unavailable without them, and takes them with it', async () => {
    const loaded = await post('sums/load');
    expect(loaded.status, loaded.json.error).toBe(200);
    expect([await isReady('sums'), await isReady('echo')]).toEqual([true, true]);
    expect(sumsOf(await ask(server, 1))).toEqual([4, 2]);
    await post('echo/unload');
    expect(await isReady('sums')).toBe(false);
    expect((await ask(server, 1)).status).toBe(503);
    await post('echo/load');
    expect(sumsOf(await ask(server, 1))).toEqual([4, 2]);
    await post('sums/unload', { parameters: { unload_dependents: true } });
    expect([await isReady('sums'), await isReady('echo')]).toEqual([false, false]);
  });
});
