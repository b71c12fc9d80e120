import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DATATYPES } from '../../src/scheduler/domain/tensor.js';
import type { Datatype } from '../../src/scheduler/domain/tensor.js';
import { unpackBytes } from '../../src/protocol/tensor-layout.js';
import { okReply } from './fake-service.js';
import { binaryBody, call, splitBinary, startRest } from './rest-harness.js';
import type { RestReply, RestUnderTest } from './rest-harness.js';

/* The Open Inference Protocol v2 over HTTP: its own examples, adapted to the models at hand. */

let rest: RestUnderTest;
beforeAll(async () => {
  rest = await startRest();
});
beforeEach(() => rest.fake.reset());
afterAll(() => rest.server.close());

const get = (path: string): Promise<RestReply> => call(rest.server, 'GET', path);
const post = (
  path: string,
  body?: string | Uint8Array | object,
  headers?: Record<string, string>,
): Promise<RestReply> => call(rest.server, 'POST', path, body, headers);

const SERVED = {
  sponge_budget_us: 500_000,
  sponge_network_delay_us: 20_500,
  sponge_network_delay_source: 'transfer',
  sponge_queue_us: 1500,
  sponge_slack_us: 400_250,
  sponge_batch: 2,
  sponge_allocation_millicores: 1500,
  sponge_planned_us: 30_000,
  sponge_actual_us: 25_125,
  sponge_predicted_us: 30_000,
};

describe('health', () => {
  it('says live and ready', async () => {
    const live = await get('/v2/health/live');
    expect([live.status, live.json()]).toEqual([200, { live: true }]);
    const ready = await get('/v2/health/ready');
    expect([ready.status, ready.json()]).toEqual([200, { ready: true }]);
  });

  it('answers 503 while not', async () => {
    rest.fake.isLiveNow = false;
    rest.fake.isReadyNow = false;
    const live = await get('/v2/health/live');
    expect([live.status, live.json()]).toEqual([503, { live: false }]);
    const ready = await get('/v2/health/ready');
    expect([ready.status, ready.json()]).toEqual([503, { ready: false }]);
  });

  it('tells of one model, by version too', async () => {
    const ready = await get('/v2/models/versioned/versions/1/ready');
    expect([ready.status, ready.json()]).toEqual([200, { name: 'versioned', ready: true }]);
    const loading = await get('/v2/models/loading/ready');
    expect([loading.status, loading.json()]).toEqual([503, { name: 'loading', ready: false }]);
  });
});

describe('metadata', () => {
  it('of the server, with and without the slash', async () => {
    for (const path of ['/v2', '/v2/']) {
      const reply = await get(path);
      expect(reply.status).toBe(200);
      expect(reply.json()).toMatchObject({ name: 'sponge-test', version: '0.0.1' });
      expect((reply.json() as { extensions: string[] }).extensions).toContain('binary_tensor_data');
    }
  });

  it('lists every model once', async () => {
    const { models } = (await get('/v2/models')).json() as { models: string[] };
    expect(models).toContain('fixed');
    expect(models.filter((name) => name === 'versioned')).toHaveLength(1);
  });

  it('of a model, with its open axes as −1', async () => {
    expect((await get('/v2/models/versioned')).json()).toEqual({
      name: 'versioned',
      versions: ['1', '2'],
      platform: 'onnxruntime_onnx',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 2] }],
    });
    expect((await get('/v2/models/versioned/versions/1')).status).toBe(200);
  });

  it('finds a model whose name needs escaping in a URL', async () => {
    expect((await get('/v2/models/%66ixed')).status).toBe(200);
  });

  it('configuration as Triton’s load generator reads it', async () => {
    expect((await get('/v2/models/versioned/config')).json()).toEqual({
      name: 'versioned',
      platform: 'onnxruntime_onnx',
      backend: 'onnxruntime',
      runtime: '',
      version_policy: { specific: { versions: [1, 2] } },
      max_batch_size: 4,
      input: [
        {
          name: 'x',
          data_type: 'TYPE_FP32',
          format: 'FORMAT_NONE',
          dims: [2],
          is_shape_tensor: false,
          allow_ragged_batch: false,
          optional: false,
          is_non_linear_format_io: false,
        },
      ],
      output: [
        {
          name: 'y',
          data_type: 'TYPE_FP32',
          dims: [2],
          label_filename: '',
          is_shape_tensor: false,
          is_non_linear_format_io: false,
        },
      ],
      batch_input: [],
      batch_output: [],
      instance_group: [],
      default_model_filename: '',
      cc_model_filenames: {},
      metric_tags: {},
      parameters: {},
      model_warmup: [],
      dynamic_batching: {
        preferred_batch_size: [],
        max_queue_delay_microseconds: 0,
        preserve_ordering: false,
        priority_levels: 0,
        default_priority_level: 0,
        priority_queue_policy: {},
      },
    });
    const fixed = (await get('/v2/models/fixed/versions/1/config')).json();
    expect(fixed).toMatchObject({ max_batch_size: 0, input: [{ dims: [2, 3] }, { data_type: 'TYPE_INT64' }] });
    expect(fixed).not.toHaveProperty('dynamic_batching');
    expect((await get('/v2/models/identity_bytes/config')).json()).toMatchObject({
      input: [{ data_type: 'TYPE_STRING' }],
    });
    expect((await get('/v2/models/identity_bf16/config')).json()).toMatchObject({
      input: [{ data_type: 'TYPE_BF16' }],
    });
  });

  it('says which inputs may be left out, and where any rank is taken', async () => {
    expect((await get('/v2/models/open')).json()).toMatchObject({
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [-1], parameters: { sponge_any_rank: true } },
        { name: 'scale', datatype: 'FP32', shape: [3], parameters: { sponge_optional: true } },
      ],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [-1], parameters: { sponge_any_rank: true } }],
    });
    expect((await get('/v2/models/open/config')).json()).toMatchObject({
      input: [
        { name: 'x', data_type: 'TYPE_FP32', dims: [-1] },
        { name: 'scale', data_type: 'TYPE_FP32', dims: [3], optional: true },
      ],
      output: [{ name: 'y', data_type: 'TYPE_FP32', dims: [-1] }],
    });
  });
});

describe('statistics and repository', () => {
  it('statistics of all models and of one', async () => {
    const all = (await get('/v2/models/stats')).json() as { model_stats: unknown[] };
    expect(all.model_stats.length).toBe(rest.fake.models().length);
    expect((await get('/v2/models/versioned/versions/1/stats')).json()).toEqual({
      model_stats: [
        {
          name: 'versioned',
          version: '1',
          last_inference: 1_700_000_000_000,
          inference_count: 3,
          execution_count: 2,
          inference_stats: {
            success: { count: 3, ns: 9_000_000 },
            fail: { count: 0, ns: 0 },
            queue: { count: 3, ns: 1_000_000 },
            compute_input: { count: 3, ns: 500_000 },
            compute_infer: { count: 3, ns: 7_000_000 },
            compute_output: { count: 3, ns: 500_000 },
            cache_hit: { count: 0, ns: 0 },
            cache_miss: { count: 0, ns: 0 },
          },
          batch_stats: [
            {
              batch_size: 1,
              compute_input: { count: 1, ns: 100_000 },
              compute_infer: { count: 1, ns: 3_000_000 },
              compute_output: { count: 1, ns: 100_000 },
            },
            {
              batch_size: 2,
              compute_input: { count: 1, ns: 400_000 },
              compute_infer: { count: 1, ns: 4_000_000 },
              compute_output: { count: 1, ns: 400_000 },
            },
          ],
          response_stats: {},
          memory_usage: [],
        },
      ],
    });
  });

  it('index of all models, or of those that are ready', async () => {
    const loading = { name: 'loading', version: '1', state: 'LOADING', reason: 'reading model.onnx' };
    for (const body of [undefined, '', {}, { ready: false }]) {
      expect((await post('/v2/repository/index', body)).json()).toContainEqual(loading);
    }
    const ready = (await post('/v2/repository/index', { ready: true })).json();
    expect(ready).toContainEqual({ name: 'fixed', version: '1', state: 'READY', reason: '' });
    expect(ready).not.toContainEqual(loading);
  });
});

describe('classification', () => {
  const inputs = [{ name: 'x', shape: [2, 4], datatype: 'FP32', data: [0.5, 4, 3, 2, 9, 8, 7, 10] }];

  it('answers the largest of each row with their labels, as JSON and as binary data', async () => {
    const expected = ['4.000000:1:bee', '3.000000:2:cat', '10.000000:3', '9.000000:0:ant'];
    const json = await post('/v2/models/raw/infer', {
      inputs,
      outputs: [{ name: 'y', parameters: { classification: 2 } }],
    });
    expect(json.json()).toMatchObject({ outputs: [{ name: 'y', datatype: 'BYTES', shape: [2, 2], data: expected }] });
    const binary = await post('/v2/models/raw/infer', {
      inputs,
      outputs: [{ name: 'y', parameters: { classification: 2, binary_data: true } }],
    });
    const { tail } = splitBinary(binary);
    expect(unpackBytes(tail).map((text) => Buffer.from(text).toString())).toEqual(expected);
  });

  it('refuses more classes than are written', async () => {
    const many = [{ name: 'x', shape: [8, 4000], datatype: 'FP32', data: Array<number>(32_000).fill(1) }];
    const outputs = [{ name: 'y', parameters: { classification: 4000 } }];
    const reply = await post('/v2/models/identity_fp32/infer', { inputs: many, outputs });
    expect(reply.status).toBe(400);
    expect(reply.bytes.toString()).toContain("output 'y': 4000 classes of 8 rows are more than 20000");
  });
});

describe('inference in JSON', () => {
  it('answers the example of the protocol', async () => {
    const reply = await post('/v2/models/fixed/infer', {
      id: '42',
      inputs: [
        { name: 'a', shape: [2, 3], datatype: 'FP32', data: [1, 2, 3, 4, 5, 6.5] },
        { name: 'b', shape: [2], datatype: 'INT64', data: [-7, 7] },
      ],
      outputs: [{ name: 'sum' }],
    });
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('application/json');
    expect(reply.json()).toEqual({
      model_name: 'fixed',
      model_version: '1',
      id: '42',
      parameters: SERVED,
      outputs: [{ name: 'sum', datatype: 'FP32', shape: [2, 3], data: [1, 2, 3, 4, 5, 6.5] }],
    });
  });

  it('takes nested data, and sends all outputs when none is named', async () => {
    const reply = await post('/v2/models/fixed/versions/1/infer', {
      inputs: [
        { name: 'b', shape: [1], datatype: 'INT64', data: ['9007199254740993'] },
        { name: 'a', shape: [2, 3], datatype: 'FP32', data: [[1, 2, 3], [4, 5, 6]] }, // prettier-ignore
      ],
    });
    expect(reply.status).toBe(200);
    expect(reply.json()).not.toHaveProperty('id');
    const text = reply.bytes.toString();
    // 2^53 + 1: all its digits, which JSON.parse would lose.
    expect(text).toContain('{"name":"count","datatype":"INT64","shape":[1],"data":[9007199254740993]}');
    expect(text).toContain('"data":[1,2,3,4,5,6]');
  });

  it('takes NaN and the infinities bare, as Python writes them, and answers in strict JSON', async () => {
    for (const body of [
      '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[NaN,Infinity,-Infinity,1.5]}]}',
      '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[["NaN", Infinity ,-Infinity,1.5]]}]}',
    ]) {
      const reply = await post('/v2/models/identity_fp32/infer', body);
      expect(reply.json()).toMatchObject({ outputs: [{ data: ['NaN', 'Infinity', '-Infinity', 1.5] }] });
    }
    const refused = await post(
      '/v2/models/identity_int32/infer',
      '{"inputs":[{"name":"x","shape":[1,2],"datatype":"INT32","data":[1,NaN]}]}',
    );
    expect(refused.status).toBe(400);
    expect(refused.bytes.toString()).toContain('INT32 element 1: expected an integer');
  });

  it('carries the ends of the 64-bit integers, which a double cannot hold', async () => {
    for (const [datatype, data] of [
      ['INT64', '-9223372036854775808,9223372036854775807'],
      ['UINT64', '9007199254740993,18446744073709551615'],
    ] as const) {
      const body = `{"inputs":[{"name":"x","shape":[1,2],"datatype":"${datatype}","data":[${data}]}]}`;
      const reply = await post(`/v2/models/identity_${datatype.toLowerCase()}/infer`, body);
      expect(reply.bytes.toString()).toContain(`"data":[${data}]`);
    }
  });

  const EXAMPLES: Readonly<Record<Exclude<Datatype, 'FP16' | 'BF16'>, readonly unknown[]>> = {
    BOOL: [true, false],
    UINT8: [0, 255],
    UINT16: [0, 65_535],
    UINT32: [0, 4_294_967_295],
    UINT64: [0, 9_007_199_254_740_991],
    INT8: [-128, 127],
    INT16: [-32_768, 32_767],
    INT32: [-2_147_483_648, 2_147_483_647],
    INT64: [-9_007_199_254_740_991, 9_007_199_254_740_991],
    FP32: [0.5, -3.25],
    FP64: [0.1, -1e300],
    BYTES: ['', 'grüße 🌍'],
  };
  it.each(Object.entries(EXAMPLES))('carries %s', async (datatype, data) => {
    const reply = await post(`/v2/models/identity_${datatype.toLowerCase()}/infer`, {
      inputs: [{ name: 'x', shape: [1, 2], datatype, data }],
    });
    expect(reply.json()).toMatchObject({ outputs: [{ name: 'y', datatype, shape: [1, 2], data }] });
  });

  it.each<[readonly number[], unknown, readonly number[]]>([
    [[], 2.5, [2.5]],
    [[], [2.5], [2.5]],
    [[0], [], []],
    [[2, 0], [[], []], []],
    [[1, 1, 1], [[[7]]], [7]],
  ])('takes any shape, a scalar and an empty one too, where no rank is declared: %j', async (shape, data, flat) => {
    const reply = await post('/v2/models/open/infer', { inputs: [{ name: 'x', shape, datatype: 'FP32', data }] });
    expect(reply.json()).toMatchObject({ outputs: [{ name: 'y', datatype: 'FP32', shape, data: flat }] });
  });

  it('takes a batch without rows', async () => {
    const inputs = [{ name: 'x', shape: [0, 4], datatype: 'FP32', data: [] }];
    const reply = await post('/v2/models/raw/infer', { inputs });
    expect(reply.json()).toMatchObject({ outputs: [{ name: 'y', shape: [0, 4], data: [] }] });
  });

  it('carries strings with NUL, and long ones, as JSON parsed and written on either thread', async () => {
    for (const length of [3, 3_000_000]) {
      const data = ['a\0b', '', `\0${'é'.repeat(length)}\u{10ffff}`];
      const inputs = [{ name: 'x', shape: [1, 3], datatype: 'BYTES', data }];
      const reply = await post('/v2/models/identity_bytes/infer', { inputs });
      const { outputs } = reply.json() as { outputs: [{ data: string[] }] };
      expect(outputs[0].data.map((text) => text.length)).toEqual([3, 0, length + 3]);
      expect(outputs[0].data.every((text, index) => text === data[index])).toBe(true);
    }
  });

  it('refuses to write bytes that are not UTF-8, as JSON cannot carry them', async () => {
    const input = { name: 'x', shape: [1, 1], datatype: 'BYTES', parameters: { binary_data_size: 6 } };
    const { body, headers } = binaryBody({ inputs: [input] }, Buffer.from([2, 0, 0, 0, 0xff, 0xfe]));
    const reply = await post('/v2/models/identity_bytes/infer', body, headers);
    expect([reply.status, reply.json()]).toEqual([
      400,
      {
        error: `tensor 'y': BYTES element 0 is not UTF-8, which JSON cannot carry; ask for it with "binary_data": true`,
      },
    ]);
  });

  it('flags an answer that came after its deadline', async () => {
    rest.fake.behaviour = (infer) => Promise.resolve(okReply(rest.fake.model('raw'), infer, true));
    const reply = await post('/v2/models/raw/infer', {
      inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }],
    });
    expect(reply.status).toBe(200);
    expect(reply.json()).toMatchObject({ parameters: { ...SERVED, sponge_late: true } });
  });

  it('hands the service everything that was stated', async () => {
    const before = performance.now();
    const body = JSON.stringify({
      id: 'abc',
      parameters: { timeout: 250_000, priority: 1, note: 'kept', best_effort: true },
      inputs: [{ name: 'x', shape: [2, 2], datatype: 'FP32', data: [1, 2, 3, 4] }],
      outputs: [{ name: 'y' }],
    });
    await post('/v2/models/versioned/versions/1/infer', body, {
      'request-timeout-ms': '300.5',
      'x-envoy-expected-rq-timeout-ms': '15000',
      'x-request-timeout-seconds': '0.25',
      'sponge-upload-us': '1234',
      'sponge-sent-unix-us': '1700000000000000',
    });
    const { call: received } = rest.fake.calls[0]!;
    expect(received).toMatchObject({
      modelName: 'versioned',
      modelVersion: '1',
      id: 'abc',
      outputNames: ['y'],
      parameters: {
        timeout: 250_000,
        priority: 1,
        note: 'kept',
        best_effort: true,
        sponge_upload_us: 1234,
        sponge_sent_unix_us: 1_700_000_000_000_000,
      },
      statedBudgetsMs: [300.5, 15_000, 250],
      arrival: { bodyBytes: Buffer.byteLength(body), peer: '127.0.0.1' },
    });
    const { firstByteAtMs, receivedAtMs } = received.arrival;
    expect(before <= firstByteAtMs && firstByteAtMs <= receivedAtMs && receivedAtMs <= performance.now()).toBe(true);
  });

  it('takes X-Request-ID for the id where the body has none, and sends it back', async () => {
    const inputs = [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }];
    const without = await post('/v2/models/raw/infer', { inputs }, { 'x-request-id': 'r-1' });
    expect(without.headers['x-request-id']).toBe('r-1');
    expect(without.json()).toMatchObject({ id: 'r-1' });
    const both = await post('/v2/models/raw/infer', { id: 'mine', inputs }, { 'x-request-id': 'r-2' });
    expect(both.headers['x-request-id']).toBe('r-2');
    expect(both.json()).toMatchObject({ id: 'mine' });
  });

  it('parses and writes large JSON on another thread, with the same results and refusals', async () => {
    // 200 000 numbers of 7 characters are 1.4 MB: above the 1 MiB that is parsed in place, both ways.
    const data = Array.from({ length: 200_000 }, (_, index) => index + 0.25);
    const large = { inputs: [{ name: 'x', shape: [1, data.length], datatype: 'FP32', data }] };
    const reply = await post('/v2/models/identity_fp32/infer', large);
    expect(reply.status).toBe(200);
    expect((reply.json() as { outputs: [{ data: number[] }] }).outputs[0].data).toEqual(data);

    const wrong = { inputs: [{ ...large.inputs[0], datatype: 'INT32' }] };
    const refused = await post('/v2/models/identity_int32/infer', wrong);
    expect([refused.status, refused.json()]).toEqual([
      400,
      { error: "tensor 'x': INT32 element 0: expected an integer from -2147483648 to 2147483647, got 0.25" },
    ]);
    const broken = await post('/v2/models/identity_fp32/infer', `${JSON.stringify(large)}]`);
    expect([broken.status, broken.json()]).toEqual([400, { error: 'request body is not valid JSON' }]);
    expect(rest.fake.calls).toHaveLength(1);
  });
});

describe('the binary tensor data extension', () => {
  it('carries every datatype both ways, byte for byte', async () => {
    for (const datatype of DATATYPES) {
      const bytes =
        datatype === 'BYTES' ? Buffer.from('\x01\0\0\0\xff\x02\0\0\0ab', 'latin1') : Buffer.alloc(2 * 8).fill(1);
      const count = datatype === 'BYTES' ? 2 : bytes.length / Number(/\d+$/.exec(datatype)?.[0] ?? 8) * 8; // prettier-ignore
      const { body, headers } = binaryBody(
        {
          parameters: { binary_data_output: true },
          inputs: [{ name: 'x', shape: [1, count], datatype, parameters: { binary_data_size: bytes.length } }],
        },
        bytes,
      );
      const reply = await post(`/v2/models/identity_${datatype.toLowerCase()}/infer`, body, headers);
      expect(reply.headers['content-type']).toBe('application/octet-stream');
      const { json, tail } = splitBinary(reply);
      expect(json).toMatchObject({
        outputs: [{ name: 'y', datatype, shape: [1, count], parameters: { binary_data_size: bytes.length } }],
      });
      expect(tail.equals(bytes)).toBe(true);
    }
  });

  it('mixes JSON and binary inputs and outputs, in order', async () => {
    const b = Buffer.alloc(16);
    b.writeBigInt64LE(-5n, 0);
    b.writeBigInt64LE(6n, 8);
    const { body, headers } = binaryBody(
      {
        inputs: [
          { name: 'a', shape: [2, 3], datatype: 'FP32', data: [1, 2, 3, 4, 5, 6] },
          { name: 'b', shape: [2], datatype: 'INT64', parameters: { binary_data_size: 16 } },
        ],
        outputs: [{ name: 'count', parameters: { binary_data: true } }, { name: 'sum' }],
      },
      b,
    );
    const { json, tail } = splitBinary(await post('/v2/models/fixed/infer', body, headers));
    expect(json).toMatchObject({
      outputs: [
        { name: 'count', datatype: 'INT64', shape: [2], parameters: { binary_data_size: 16 } },
        { name: 'sum', data: [1, 2, 3, 4, 5, 6] },
      ],
    });
    expect(tail.equals(b)).toBe(true);
  });

  it('lets one output differ from binary_data_output', async () => {
    const reply = await post('/v2/models/fixed/infer', {
      parameters: { binary_data_output: true },
      inputs: [
        { name: 'a', shape: [2, 3], datatype: 'FP32', data: [1, 2, 3, 4, 5, 6] },
        { name: 'b', shape: [1], datatype: 'INT64', data: [3] },
      ],
      outputs: [{ name: 'sum' }, { name: 'count', parameters: { binary_data: false } }],
    });
    const { json, tail } = splitBinary(reply);
    expect(json).toMatchObject({ outputs: [{ parameters: { binary_data_size: 24 } }, { data: [3] }] });
    expect(tail).toHaveLength(24);
  });

  it('answers in JSON where nothing binary was asked for', async () => {
    const { body, headers } = binaryBody(
      { inputs: [{ name: 'x', shape: [1, 1], datatype: 'INT8', parameters: { binary_data_size: 1 } }] },
      Uint8Array.of(0x80),
    );
    const reply = await post('/v2/models/identity_int8/infer', body, headers);
    expect(reply.headers['inference-header-content-length']).toBeUndefined();
    expect(reply.json()).toMatchObject({ outputs: [{ data: [-128] }] });
  });

  it('takes header length 0 as one input’s bytes: one item, the open axis told by their number', async () => {
    const raw = Buffer.from(new Float32Array([1, 2, 3, 4]).buffer);
    const { json, tail } = splitBinary(
      await post('/v2/models/identity_fp32/infer', raw, { 'inference-header-content-length': '0' }),
    );
    expect(json).toMatchObject({ outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 4] }] });
    expect(tail.equals(raw)).toBe(true);
  });

  it.each<[string, string, Uint8Array]>([
    ['several inputs', 'fixed', new Uint8Array(24)],
    ['a size that does not come out', 'raw', new Uint8Array(15)],
    ['BYTES of open count', 'identity_bytes', new Uint8Array(3)],
  ])('refuses a raw body for %s', async (_, model, raw) => {
    const reply = await post(`/v2/models/${model}/infer`, raw, { 'inference-header-content-length': '0' });
    expect(reply.status).toBe(400);
    expect(reply.json()).toHaveProperty('error');
  });
});

describe('compression', () => {
  const data = Array.from({ length: 2000 }, (_, index) => index % 7);
  const body = JSON.stringify({ inputs: [{ name: 'x', shape: [1, 2000], datatype: 'FP32', data }] });

  it.each([
    ['gzip', gzipSync, gunzipSync],
    ['deflate', deflateSync, inflateSync],
  ] as const)('%s in and out', async (coding, pack, unpack) => {
    const reply = await post('/v2/models/identity_fp32/infer', pack(body), {
      'content-encoding': coding,
      'accept-encoding': coding,
    });
    expect(reply.status).toBe(200);
    expect(reply.headers['content-encoding']).toBe(coding);
    const json = JSON.parse(unpack(reply.bytes).toString()) as unknown;
    expect(json).toMatchObject({ outputs: [{ data }] });
    // What arrived, not what it became: this is what the network carried.
    expect(rest.fake.calls[0]!.call.arrival.bodyBytes).toBe(pack(body).length);
  });

  it('leaves answers alone unless asked, and small ones always', async () => {
    const plain = await post('/v2/models/identity_fp32/infer', body);
    expect(plain.headers['content-encoding']).toBeUndefined();
    const small = { inputs: [{ name: 'x', shape: [1, 1], datatype: 'FP32', data: [1] }] };
    const reply = await post('/v2/models/identity_fp32/infer', small, { 'accept-encoding': 'gzip' });
    expect(reply.headers['content-encoding']).toBeUndefined();
  });

  it('packs binary outputs too; the header length counts unpacked bytes', async () => {
    const reply = await post(
      '/v2/models/identity_fp32/infer',
      { ...(JSON.parse(body) as object), parameters: { binary_data_output: true } },
      { 'accept-encoding': 'gzip' },
    );
    const { tail } = splitBinary({ ...reply, bytes: gunzipSync(reply.bytes) });
    expect(tail).toHaveLength(2000 * 4);
  });

  it('packs text, and not numbers, for who only says what it can read, as libraries do with everything', async () => {
    const many = Array.from({ length: 5000 }, (_, index) => index % 7);
    const inputs = [{ name: 'x', shape: [1, 5000], datatype: 'FP32', data: many }];
    const readable = { 'accept-encoding': 'gzip, deflate, br' };
    const text = await post('/v2/models/identity_fp32/infer', { inputs }, readable);
    expect(text.headers['content-encoding']).toBe('gzip');
    const parameters = { binary_data_output: true };
    const numbers = await post('/v2/models/identity_fp32/infer', { inputs, parameters }, readable);
    expect(numbers.headers['content-encoding']).toBeUndefined();
    expect(splitBinary(numbers).tail).toHaveLength(5000 * 4);
  });
});
