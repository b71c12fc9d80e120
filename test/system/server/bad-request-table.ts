import { gzipSync } from 'node:zlib';

/*
 * What clients get wrong over REST, with the status and the words that they are told; against the model `simple`, limits
 * of 1 MiB of JSON and 2 MiB of binary data, and batches of four.
 */

const MIB = 1024 * 1024;

export const SIXTEEN = Array.from({ length: 16 }, (_, i) => i);
const input = (name: string, more: object = {}): Record<string, unknown> => ({
  name,
  datatype: 'INT32',
  shape: [1, 16],
  data: SIXTEEN,
  ...more,
});
/** A valid request but for `more` in its first input. */
const withFirst = (more: object): object => ({ inputs: [input('INPUT0', more), input('INPUT1')] });
export const GOOD = { inputs: [input('INPUT0'), input('INPUT1')] };
const withParameters = (parameters: object): object => ({ ...GOOD, parameters });

/** A JSON head with two binary inputs of so many bytes, and so many bytes behind it. */
function binary(sizes: readonly number[], tailBytes: number): { body: Buffer; headers: Record<string, string> } {
  const head = Buffer.from(
    JSON.stringify({
      inputs: sizes.map((size, i) => ({
        name: `INPUT${i}`,
        datatype: 'INT32',
        shape: [1, 16],
        parameters: { binary_data_size: size },
      })),
    }),
  );
  return {
    body: Buffer.concat([head, Buffer.alloc(tailBytes)]),
    headers: { 'inference-header-content-length': String(head.length) },
  };
}

export interface BadRequest {
  readonly what: string;
  readonly status: number;
  readonly error: RegExp;
  readonly path?: string;
  readonly body?: string | Uint8Array | object;
  readonly headers?: Readonly<Record<string, string>>;
}

const DEADLINE_ERROR = /request-timeout-ms|parameter 'timeout'/;

export const BAD_REQUESTS: readonly BadRequest[] = [
  { what: 'JSON that ends early', status: 400, error: /not valid JSON/, body: '{"inputs": [' },
  { what: 'an empty body', status: 400, error: /empty|JSON/, body: '' },
  { what: 'JSON that is no object', status: 400, error: /JSON object/, body: '[]' },
  { what: 'bytes that are no UTF-8', status: 400, error: /UTF-8/, body: Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d) },
  { what: 'JSON nested beyond any stack', status: 400, error: /JSON|nested/, body: '['.repeat(300_000) },
  {
    what: 'data nested beyond any stack',
    status: 400,
    error: /nested|data|JSON/,
    body: `{"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,16],"data":${'['.repeat(50_000)}${']'.repeat(50_000)}}]}`,
  },
  { what: 'no inputs', status: 400, error: /inputs must be an array/, body: {} },
  { what: 'an unknown datatype', status: 400, error: /datatype/, body: withFirst({ datatype: 'INT7' }) },
  { what: 'a wrong datatype', status: 400, error: /expected INT32/, body: withFirst({ datatype: 'FP32' }) },
  { what: 'a wrong shape', status: 400, error: /expected INT32 \[-1, 16\]/, body: withFirst({ shape: [16] }) },
  { what: 'too few elements', status: 400, error: /INPUT0/, body: withFirst({ data: [1, 2] }) },
  { what: 'too many elements', status: 400, error: /INPUT0/, body: withFirst({ data: [...SIXTEEN, 1] }) },
  { what: 'a negative size', status: 400, error: /shape/, body: withFirst({ shape: [-1, 16] }) },
  { what: 'a fractional size', status: 400, error: /shape/, body: withFirst({ shape: [1.5, 16] }) },
  { what: 'a size beyond 2^53', status: 400, error: /shape/, body: withFirst({ shape: [2 ** 60, 16] }) },
  {
    what: 'sizes whose product overflows',
    status: 400,
    error: /shape/,
    body: withFirst({ shape: [2 ** 40, 2 ** 40] }),
  },
  { what: 'a shape of gigabytes', status: 400, error: /INPUT0/, body: withFirst({ shape: [2 ** 28, 16] }) },
  { what: 'a thousand axes', status: 400, error: /1000 axes/, body: withFirst({ shape: new Array(1000).fill(1) }) },
  { what: 'a shape that is no array', status: 400, error: /shape/, body: withFirst({ shape: '1,16' }) },
  {
    what: 'no items of one input',
    status: 400,
    error: /axis is 1, .*is 0/,
    body: withFirst({ shape: [0, 16], data: [] }),
  },
  {
    what: 'more items than a batch may have',
    status: 400,
    error: /batch axis is 5.*at most 4/,
    body: withFirst({ shape: [5, 16], data: new Array(80).fill(0) }),
  },
  {
    what: 'a value out of range',
    status: 400,
    error: /INPUT0/,
    body: withFirst({ data: [2 ** 31, ...SIXTEEN.slice(1)] }),
  },
  {
    what: 'a value that is no number',
    status: 400,
    error: /INPUT0/,
    body: withFirst({ data: ['a', ...SIXTEEN.slice(1)] }),
  },
  { what: 'an unknown input', status: 400, error: /unknown input 'nobody'/, body: { inputs: [input('nobody')] } },
  { what: 'a missing input', status: 400, error: /missing input 'INPUT1'/, body: { inputs: [input('INPUT0')] } },
  { what: 'an input sent twice', status: 400, error: /twice/, body: { inputs: [input('INPUT0'), input('INPUT0')] } },
  {
    what: 'an unknown output',
    status: 400,
    error: /unknown output/,
    body: { ...GOOD, outputs: [{ name: 'OUTPUT9' }] },
  },
  { what: 'too few bytes', status: 400, error: /INPUT0/, ...binary([60, 64], 124) },
  {
    what: 'fewer bytes than announced',
    status: 400,
    error: /binary_data_size is 64, 0 bytes/,
    ...binary([64, 64], 64),
  },
  { what: 'bytes that belong to no input', status: 400, error: /1 bytes behind/, ...binary([64, 64], 129) },
  {
    what: 'a JSON header longer than the body',
    status: 400,
    error: /Inference-Header-Content-Length is 999999/,
    body: '{}',
    headers: { 'inference-header-content-length': '999999' },
  },
  {
    what: 'a JSON header of no length',
    status: 400,
    error: /Inference-Header-Content-Length/,
    body: '{}',
    headers: { 'inference-header-content-length': '-3' },
  },
  { what: 'too much JSON', status: 413, error: /larger than 1048576 bytes/, body: ' '.repeat(1.5 * MIB) },
  {
    what: 'too many binary bytes',
    status: 413,
    error: /larger than 2097152 bytes/,
    body: new Uint8Array(3 * MIB),
    headers: { 'inference-header-content-length': '10' },
  },
  {
    what: 'a body that expands beyond the limit',
    status: 413,
    error: /larger than 1048576 bytes/,
    body: gzipSync(Buffer.alloc(8 * MIB)),
    headers: { 'content-encoding': 'gzip' },
  },
  {
    what: 'a broken gzip',
    status: 400,
    error: /Content-Encoding/,
    body: 'gzip?',
    headers: { 'content-encoding': 'gzip' },
  },
  {
    what: 'an unknown coding',
    status: 400,
    error: /Content-Encoding/,
    body: GOOD,
    headers: { 'content-encoding': 'br' },
  },
  {
    what: 'an unknown model',
    status: 404,
    error: /^Request for unknown model: 'nobody'/,
    path: 'models/nobody/infer',
    body: GOOD,
  },
  {
    what: 'an unknown version',
    status: 404,
    error: /no version 2/,
    path: 'models/simple/versions/2/infer',
    body: GOOD,
  },
  { what: 'an unknown path', status: 404, error: /not supported/, path: 'models/simple/infer_stream', body: GOOD },
  {
    what: 'an extension that is not there',
    status: 404,
    error: /not supported/,
    path: 'systemsharedmemory/region/r/register',
    body: {},
  },
  { what: 'loading, which is not allowed', status: 400, error: /./, path: 'repository/models/simple/load', body: {} },
  ...['0', '-5', 'soon', 'NaN', 'Infinity', '1e999', '0x10', ''].map((text) => ({
    what: `a budget of "${text}" in the header`,
    status: 400,
    error: DEADLINE_ERROR,
    body: GOOD,
    headers: { 'request-timeout-ms': text },
  })),
  ...[-1, 1.5, 1e300, '1000', true].map((timeout) => ({
    what: `a timeout parameter of ${JSON.stringify(timeout)}`,
    status: 400,
    error: DEADLINE_ERROR,
    body: withParameters({ timeout }),
  })),
];
