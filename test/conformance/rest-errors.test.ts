import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { InferReply } from '../../src/protocol/service.js';
import { refuseWith } from './fake-service.js';
import { LIMITS, binaryBody, call, startRest } from './rest-harness.js';
import type { RestReply, RestUnderTest } from './rest-harness.js';

/* Every error answers with one clear line and the right status, and never reaches the service when it is the client's. */

let rest: RestUnderTest;
beforeAll(async () => {
  rest = await startRest({ limits: { ...LIMITS, maxJsonBytes: 100_000, maxBinaryBytes: 200_000 } });
});
beforeEach(() => rest.fake.reset());
afterAll(() => rest.server.close());

const INPUT = { name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] };

function infer(
  body?: string | Uint8Array | object,
  headers?: Record<string, string>,
  model = 'raw',
): Promise<RestReply> {
  return call(rest.server, 'POST', `/v2/models/${model}/infer`, body, headers);
}

function expectError(reply: RestReply, status: number, text: string | RegExp): void {
  const { error } = reply.json() as { error: string };
  expect(error).toMatch(text);
  expect(reply.status).toBe(status);
  // One line, no stack, no path of ours.
  expect(error).not.toMatch(/\n|node_modules|\.ts\b/);
  expect(error.length).toBeLessThan(300);
}

describe('malformed requests are 400 and reach nothing', () => {
  it.each<[string, string | object | undefined, string | RegExp]>([
    ['no body', undefined, 'request body is empty'],
    ['an empty body', '', /empty|not valid JSON/],
    ['broken JSON', '{"inputs": [', /^request body is not valid JSON$/],
    ['deep nesting', '['.repeat(90_000), /^JSON is nested more than 40 levels deep$/],
    ['JSON that is no object', '[]', 'must be a JSON object'],
    ['null', 'null', 'must be a JSON object'],
    ['no inputs', {}, 'inputs must be an array'],
    ['inputs of the wrong type', { inputs: {} }, 'inputs must be an array'],
    ['an input that is no object', { inputs: [1] }, 'every input must be an object'],
    ['an input without a name', { inputs: [{ ...INPUT, name: 3 }] }, 'every input needs a name'],
    ['an unknown input', { inputs: [{ ...INPUT, name: 'z' }] }, "unknown input 'z'; model 'raw' has 'x'"],
    ['a missing input', { inputs: [] }, "missing input 'x'"],
    ['an input twice', { inputs: [INPUT, INPUT] }, "'x' was sent twice"],
    ['a wrong datatype', { inputs: [{ ...INPUT, datatype: 'INT32' }] }, 'expected FP32 [-1, 4], got INT32 [1, 4]'],
    ['an unknown datatype', { inputs: [{ ...INPUT, datatype: 'FP8' }] }, 'datatype FP8 is not one of'],
    ['BF16 as JSON', { inputs: [{ ...INPUT, datatype: 'BF16' }] }, 'JSON cannot carry BF16, send it as binary data'],
    ['a wrong shape', { inputs: [{ ...INPUT, shape: [4] }] }, 'expected FP32 [-1, 4], got FP32 [4]'],
    ['a negative size', { inputs: [{ ...INPUT, shape: [-1, 4] }] }, 'must be an integer ≥ 0'],
    [
      'an overflowing shape',
      { inputs: [{ ...INPUT, shape: [2 ** 40, 2 ** 40] }] },
      'more elements than can be counted',
    ],
    ['a huge shape', { inputs: [{ ...INPUT, shape: [2 ** 30, 4] }] }, 'takes 4294967296 elements, got 4'],
    ['a huge batch', { inputs: [{ ...INPUT, shape: [9, 4], data: Array(36).fill(0) }] }, 'takes at most 8'],
    ['too little data', { inputs: [{ ...INPUT, data: [1] }] }, 'takes 4 elements, got 1'],
    ['data of the wrong type', { inputs: [{ ...INPUT, data: ['1', 2, 3, 4] }] }, 'element 0: expected a number'],
    ['no data', { inputs: [{ ...INPUT, data: undefined }] }, 'data must be an array'],
    ['an id that is no string', { id: 7, inputs: [INPUT] }, 'id must be a string'],
    ['a parameter that is an object', { parameters: { a: {} }, inputs: [INPUT] }, "parameter 'a' must be"],
    [
      'binary_data_output of the wrong type',
      { parameters: { binary_data_output: 1 }, inputs: [INPUT] },
      'true or false',
    ],
    ['an unknown output', { inputs: [INPUT], outputs: [{ name: 'q' }] }, "unknown output 'q'; model 'raw' has 'y'"],
    ['an output twice', { inputs: [INPUT], outputs: [{ name: 'y' }, { name: 'y' }] }, "'y' was requested twice"],
    ['outputs of the wrong type', { inputs: [INPUT], outputs: 'y' }, 'outputs must be an array'],
  ])('%s', async (_, body, text) => {
    expectError(await infer(body), 400, text);
    expect(rest.fake.calls).toEqual([]);
  });

  it.each(['fp16', 'bf16'])('an output that JSON cannot carry, before it is computed: %s', async (datatype) => {
    const input = { name: 'x', shape: [1, 1], datatype: datatype.toUpperCase(), parameters: { binary_data_size: 2 } };
    const head = JSON.stringify({ inputs: [input] });
    const headers = { 'inference-header-content-length': String(head.length) };
    const reply = await infer(`${head}ab`, headers, `identity_${datatype}`);
    expectError(reply, 400, `output 'y' is ${datatype.toUpperCase()}, which JSON cannot carry: ask for binary data`);
    expect(rest.fake.calls).toEqual([]);
  });

  it('JSON that is not UTF-8', async () => {
    expectError(await infer(Buffer.from('{"id":"\xff"}', 'latin1')), 400, 'not UTF-8');
  });

  it('prototype names are names like any other', async () => {
    expectError(await infer('{"inputs":[],"__proto__":{"id":"x"}}'), 400, "missing input 'x'");
    const body = `{"parameters":{"__proto__":"x","constructor":1},"inputs":[${JSON.stringify(INPUT)}]}`;
    expect((await infer(body)).status).toBe(200);
    expect(rest.fake.calls[0]!.call.id).toBeUndefined();
  });

  it('FP16 in JSON, in and out', async () => {
    const body = { inputs: [{ name: 'x', shape: [1, 1], datatype: 'FP16', data: [1] }] };
    expectError(await infer(body, {}, 'identity_fp16'), 400, 'JSON cannot carry FP16');
    const binary = binaryBody(
      { inputs: [{ name: 'x', shape: [1, 1], datatype: 'FP16', parameters: { binary_data_size: 2 } }] },
      new Uint8Array(2),
    );
    expectError(await infer(binary.body, binary.headers, 'identity_fp16'), 400, "output 'y' is FP16");
    expect(rest.fake.calls).toEqual([]);
  });

  it.each(['0', '-5', 'soon', ''])('Request-Timeout-Ms: %j', async (text) => {
    expectError(await infer({ inputs: [INPUT] }, { 'request-timeout-ms': text }), 400, 'request-timeout-ms');
    expect(rest.fake.calls).toEqual([]);
  });

  it.each(['-1', 'abc', '1.5', '99999999999'])('Inference-Header-Content-Length: %j', async (text) => {
    const reply = await infer({ inputs: [INPUT] }, { 'inference-header-content-length': text });
    expectError(reply, 400, 'Inference-Header-Content-Length');
  });

  it('a Content-Encoding that is unknown or untrue', async () => {
    expectError(await infer('{}', { 'content-encoding': 'br' }), 400, 'must be gzip, deflate or identity');
    expectError(await infer('{}', { 'content-encoding': 'gzip' }), 400, 'not what its Content-Encoding says');
    const cut = gzipSync(JSON.stringify({ inputs: [INPUT] })).subarray(0, -9);
    expectError(await infer(cut, { 'content-encoding': 'gzip' }), 400, 'not what its Content-Encoding says');
  });

  it('a path that cannot be decoded', async () => {
    expectError(await call(rest.server, 'GET', '/v2/models/%ff/ready'), 400, 'not a valid url');
  });
});

describe('binary tensors that do not add up are 400', () => {
  const input = (parameters: object, shape = [1, 4]): object => ({
    inputs: [{ name: 'x', shape, datatype: 'FP32', parameters }],
  });
  it.each<[string, object, number, string]>([
    ['fewer bytes than said', input({ binary_data_size: 16 }), 12, 'binary_data_size is 16, 12 bytes are left'],
    ['more bytes than said', input({ binary_data_size: 16 }), 20, '4 bytes behind the JSON header belong to no'],
    ['bytes that do not fit the shape', input({ binary_data_size: 12 }), 12, 'FP32 [1, 4] takes 16 bytes, got 12'],
    ['a huge shape', input({ binary_data_size: 16 }, [2 ** 50, 4]), 16, 'takes 18014398509481984 bytes, got 16'],
    ['a negative size', input({ binary_data_size: -16 }), 16, 'must be an integer ≥ 0'],
    ['a size in words', input({ binary_data_size: '16' }), 16, 'must be an integer ≥ 0'],
    ['no size', input({}), 16, 'data must be an array'],
    ['data and a size', { inputs: [{ ...INPUT, parameters: { binary_data_size: 16 } }] }, 16, 'has both data and'],
  ])('%s', async (_, header, byteCount, text) => {
    const { body, headers } = binaryBody(header, new Uint8Array(byteCount));
    expectError(await infer(body, headers), 400, text);
    expect(rest.fake.calls).toEqual([]);
  });

  it('BYTES whose lengths lie', async () => {
    const { body, headers } = binaryBody(
      { inputs: [{ name: 'x', shape: [1, 1], datatype: 'BYTES', parameters: { binary_data_size: 5 } }] },
      Uint8Array.of(255, 255, 255, 255, 0),
    );
    expectError(await infer(body, headers, 'identity_bytes'), 400, 'claims 4294967295 bytes');
  });
});

describe('what is not there is refused', () => {
  it('unknown models and versions, on every path of a model', async () => {
    for (const suffix of ['', '/ready', '/config', '/stats']) {
      expectError(await call(rest.server, 'GET', `/v2/models/nope${suffix}`), 404, "Request for unknown model: 'nope'");
      expectError(await call(rest.server, 'GET', `/v2/models/versioned/versions/9${suffix}`), 404, 'version 9');
    }
    expectError(await infer({ inputs: [INPUT] }, {}, 'nope'), 404, "Request for unknown model: 'nope'");
    expectError(await infer({ inputs: [INPUT] }, {}, 'versioned/versions/9'), 404, 'version 9');
  });

  it.each([
    ['POST', '/v2/models/raw/generate'],
    ['POST', '/v2/models/raw/generate_stream'],
    ['POST', '/v2/models/raw/infer_stream'],
    ['PUT', '/v2/models/raw/generate'],
    ['GET', '/'],
  ] as const)('%s %s is unsupported', async (method, path) => {
    expectError(await call(rest.server, method, path), 404, `${method} ${path} is not supported`);
  });

  it('a model without text is not where text models are, and says where it is', async () => {
    const reply = await call(rest.server, 'GET', '/v1/models/raw');
    expect([reply.status, reply.bytes.toString()]).toEqual([404, expect.stringContaining('/v2/models/raw')]);
  });

  it.each([
    ['GET', '/v2/models/raw/infer', 'OPTIONS, POST'],
    ['PUT', '/v2/models/raw/versions/1/infer', 'OPTIONS, POST'],
    ['DELETE', '/v2/models/nope', 'GET, HEAD, OPTIONS'],
    ['POST', '/v2/', 'GET, HEAD, OPTIONS'],
    ['TRACE', '/v2/health/live', 'GET, HEAD, OPTIONS'],
    ['QUERY', '/v2/models/raw', 'GET, HEAD, OPTIONS'],
    ['GET', '/v2/repository/index', 'OPTIONS, POST'],
  ] as const)('%s %s is no method of that path: 405, with those that are', async (method, path, allowed) => {
    const reply = await call(rest.server, method, path, method === 'PUT' ? 'a body that nobody reads' : undefined);
    expectError(reply, 405, `${method} is no method of this path, which has ${allowed}`);
    expect(reply.headers['allow']).toBe(allowed);
    const options = await call(rest.server, 'OPTIONS', path);
    expect([options.status, options.headers['allow'], options.bytes.length]).toEqual([204, allowed, 0]);
  });

  it('extensions asked for by parameter', async () => {
    const shared = { inputs: [{ ...INPUT, data: undefined, parameters: { shared_memory_region: 'r' } }] };
    expectError(await infer(shared), 400, "parameter 'shared_memory_region' is not supported");
    const classification = { inputs: [INPUT], outputs: [{ name: 'y', parameters: { classification: 'all' } }] };
    expectError(await infer(classification), 400, "output 'y': classification must be an integer ≥ 0");
    const sequence = { inputs: [INPUT], parameters: { sequence_id: 7, sequence_start: true } };
    expectError(await infer(sequence), 400, "parameter 'sequence_id' is not supported: models here keep no state");
    const ended = { inputs: [INPUT], parameters: { sequence_id: '', sequence_end: true } };
    expectError(await infer(ended), 400, "parameter 'sequence_end' is not supported");
    const none = { inputs: [INPUT], parameters: { sequence_id: 0, sequence_start: false, sequence_end: false } };
    expect((await infer(none)).status).toBe(200);
  });
});

describe('errors and what is told', () => {
  it('is JSON by its plain name, which the KServe SDK compares', async () => {
    for (const path of ['/v2/models/nope', '/v2/models/raw', '/v2/health/ready', '/nowhere']) {
      expect((await call(rest.server, 'GET', path)).headers['content-type']).toBe('application/json');
    }
  });
});

describe('repository calls', () => {
  it('refuses to load and unload', async () => {
    for (const action of ['load', 'unload']) {
      const reply = await call(rest.server, 'POST', `/v2/repository/models/raw/${action}`, {});
      expectError(reply, 400, 'explicit model load / unload is not allowed');
    }
  });

  it('refuses a malformed index request', async () => {
    expectError(await call(rest.server, 'POST', '/v2/repository/index', '{'), 400, 'not valid JSON');
    expectError(await call(rest.server, 'POST', '/v2/repository/index', { ready: 1 }), 400, 'ready must be');
    expectError(await call(rest.server, 'POST', '/v2/repository/index', '[]'), 400, 'must be a JSON object');
  });
});

describe('bodies over the limit are 413', () => {
  it.each<[string, number, Record<string, string>]>([
    ['JSON', 100_001, {}],
    ['binary', 200_001, { 'inference-header-content-length': '10' }],
    ['many times the limit', 2_000_000, {}],
  ])('%s', async (_, byteCount, headers) => {
    const reply = await infer(Buffer.alloc(byteCount, ' '), headers);
    expectError(reply, 413, /^request body is larger than [12]00000 bytes, which is the limit$/);
  });

  it('also when they only grow that large by decompression', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000, ' '));
    expect(bomb.length).toBeLessThan(100_000);
    expectError(await infer(bomb, { 'content-encoding': 'gzip' }), 413, 'larger than 100000 bytes');
  });

  it('also when the JSON header alone is', async () => {
    const body = Buffer.alloc(150_000, ' ');
    expectError(await infer(body, { 'inference-header-content-length': '140000' }), 413, 'JSON header is larger');
  });
});

describe('answers of the service', () => {
  const WELL_FORMED = { inputs: [INPUT] };
  const reject = { bestCaseMs: 80, remainingBudgetMs: 50.5 };

  it.each([
    [
      { kind: 'rejected-infeasible', reason: 'budget_spent_in_network', ...reject },
      504,
      { best_case_ms: 80, remaining_budget_ms: 50.5 },
      undefined,
    ],
    [
      { kind: 'rejected-infeasible', reason: 'infeasible_at_max_cores', ...reject },
      504,
      { best_case_ms: 80, remaining_budget_ms: 50.5 },
      undefined,
    ],
    [
      { kind: 'rejected-overload', reason: 'queue_overload', ...reject, earliestFinishMs: 700, retryAfterMs: 1500 },
      429,
      { best_case_ms: 80, remaining_budget_ms: 50.5, earliest_finish_ms: 700, retry_after_ms: 1500 },
      '2',
    ],
    [
      { kind: 'rejected-overload', reason: 'queue_full', ...reject, earliestFinishMs: 700, retryAfterMs: 300 },
      429,
      { retry_after_ms: 300 },
      '1',
    ],
    [{ kind: 'expired', reason: 'expired', lateByMs: 2 }, 504, {}, undefined],
    [
      { kind: 'failed', reason: 'model_unavailable', message: 'the worker restarts', retryAfterMs: 2000 },
      503,
      { error: 'the worker restarts', retry_after_ms: 2000 },
      '2',
    ],
    [{ kind: 'failed', reason: 'draining', message: 'shutting down' }, 503, { error: 'shutting down' }, undefined],
    [{ kind: 'failed', reason: 'backend', message: 'bad\nnode' }, 500, { error: 'bad node' }, undefined],
  ] as const)('%j → %d', async (outcome, status, fields, retryAfter) => {
    rest.fake.behaviour = refuseWith(outcome);
    const reply = await infer(WELL_FORMED);
    expect(reply.status).toBe(status);
    expect(reply.json()).toMatchObject({ reason: outcome.reason, ...fields });
    expect(reply.headers['x-sponge-reason']).toBe(outcome.reason);
    expect(reply.headers['retry-after']).toBe(retryAfter);
  });

  it.each([
    ['invalid', 400],
    ['not_found', 404],
    ['too_large', 413],
    ['unsupported', 404],
    ['wrong_method', 405],
    ['not_allowed', 400],
    ['unavailable', 503],
    ['internal', 500],
  ] as const)('error %s → %d', async (kind, status) => {
    const error: InferReply = { kind: 'error', error: { kind, message: 'because' } };
    rest.fake.behaviour = () => Promise.resolve(error);
    const reply = await infer(WELL_FORMED);
    expect([reply.status, reply.json()]).toEqual([status, { error: 'because' }]);
    expect(reply.headers['x-sponge-reason']).toBeUndefined();
  });

  it('a model that was never loaded is 503 with its reason', async () => {
    expectError(await infer(WELL_FORMED, {}, 'loading'), 503, "model 'loading' is LOADING: reading model.onnx");
  });

  it('a bug is 500, logged and not told', async () => {
    const logged: object[] = [];
    const buggy = await startRest({ logger: { error: (details) => void logged.push(details) } });
    try {
      buggy.fake.behaviour = () => Promise.reject(new Error('secret of /etc/passwd'));
      const reply = await call(buggy.server, 'POST', '/v2/models/raw/infer', WELL_FORMED);
      expect([reply.status, reply.json()]).toEqual([500, { error: 'internal error' }]);
      expect(logged).toMatchObject([{ err: { message: 'secret of /etc/passwd' } }]);
    } finally {
      await buggy.server.close();
    }
  });

  it('results that JSON cannot carry are 400', async () => {
    const { body, headers } = binaryBody(
      { inputs: [{ name: 'x', shape: [1, 1], datatype: 'BYTES', parameters: { binary_data_size: 5 } }] },
      Uint8Array.of(1, 0, 0, 0, 0xff),
    );
    expectError(await infer(body, headers, 'identity_bytes'), 400, "'y': BYTES element 0 is not UTF-8");
  });
});

describe('--compat triton', () => {
  let triton: RestUnderTest;
  beforeAll(async () => {
    triton = await startRest({ compat: 'triton' });
  });
  afterAll(() => triton.server.close());

  it('not ready is 400, rejection and expiry are 503', async () => {
    triton.fake.isReadyNow = false;
    expect((await call(triton.server, 'GET', '/v2/health/ready')).status).toBe(400);
    expect((await call(triton.server, 'GET', '/v2/models/loading/ready')).status).toBe(400);
    for (const outcome of [
      { kind: 'expired', reason: 'expired', lateByMs: 1 },
      {
        kind: 'rejected-overload',
        reason: 'queue_full',
        bestCaseMs: 1,
        remainingBudgetMs: 1,
        earliestFinishMs: 1,
        retryAfterMs: 1,
      },
    ] as const) {
      triton.fake.behaviour = refuseWith(outcome);
      expect((await call(triton.server, 'POST', '/v2/models/raw/infer', { inputs: [INPUT] })).status).toBe(503);
    }
  });
});
