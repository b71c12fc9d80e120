import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { ModelInferRequest, ModelInferResponse } from '../grpc/generated/open_inference.js';
import { PREFIX_BYTES } from '../grpc/framing.js';
import { inferParameters } from '../grpc/parameters.js';
import { answeredParameters, grpcMessages } from './grpc-message.js';
import { tensorOf } from './numbers.js';
import {
  binaryMessages,
  binaryOutputs,
  inferPath,
  jsonMessages,
  splitAnswer,
  type OutputJson,
} from './rest-message.js';
import { tensorSpecs } from './tensor-specs.js';

const X = tensorOf('größe', [1, 2], Float32Array.of(1.5, -0));
const N = tensorOf('n', [1], BigInt64Array.of(9_007_199_254_740_993n));
const bytesOf = ({ data }: Tensor): Buffer => Buffer.from(data);

describe('a request over REST', () => {
  it('has its tensors behind a head, from a multiple of 8 on whatever the head says', () => {
    const messageWith = binaryMessages({ inputs: [N, X], outputNames: ['y'] });
    for (const id of ['', 'a', 'ü', '日本', 'abcdefg']) {
      const { headers, head, rest } = messageWith({ id, timeout: 7 });
      expect([headers['inference-header-content-length'], head.length % 8]).toEqual([String(head.length), 0]);
      expect(JSON.parse(head.toString())).toEqual({
        parameters: { id, timeout: 7, binary_data_output: true },
        outputs: [{ name: 'y' }],
        inputs: [
          { name: 'n', datatype: 'INT64', shape: [1], parameters: { binary_data_size: 8 } },
          { name: 'größe', datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } },
        ],
      });
      expect(rest).toEqual(Buffer.concat([bytesOf(N), bytesOf(X)]));
    }
    expect(messageWith({}).rest).toBe(messageWith({ a: 1 }).rest);
  });

  it('is all JSON where that is asked for, with every digit', () => {
    const { headers, head, rest } = jsonMessages({ inputs: [X, N], outputNames: ['y'] })({ priority: 2 });
    expect(headers).toEqual({ 'content-type': 'application/json' });
    expect(Buffer.concat([head, rest]).toString()).toBe(
      '{"parameters":{"priority":2},"outputs":[{"name":"y"}],"inputs":[' +
        '{"name":"größe","shape":[1,2],"datatype":"FP32","data":[1.5,-0]},' +
        '{"name":"n","shape":[1],"datatype":"INT64","data":[9007199254740993]}]}',
    );
    const half = { name: 'h', datatype: 'FP16', shape: [1], data: new Uint8Array(2) } as const;
    expect(() => jsonMessages({ inputs: [half] })).toThrow(/FP16/);
  });

  it('goes to the path of its model, and version where one is named', () => {
    expect(inferPath('a b/c')).toBe('/v2/models/a%20b%2Fc/infer');
    expect(inferPath('a', '3')).toBe('/v2/models/a/versions/3/infer');
  });
});

describe('a request over gRPC', () => {
  it('is one message of a head and of what does not change, behind its prefix', () => {
    const messageWith = grpcMessages('m', '3', { inputs: [X, N], outputNames: ['y'] });
    const { head, rest } = messageWith({ timeout: 7, mine: 'kept', best_effort: true, share: 0.5 });
    expect([head[0], head.readUInt32BE(1)]).toEqual([0, head.length - PREFIX_BYTES + rest.length]);
    const decoded = ModelInferRequest.decode(Buffer.concat([head.subarray(PREFIX_BYTES), rest]));
    expect(decoded).toMatchObject({ modelName: 'm', modelVersion: '3', outputs: [{ name: 'y' }] });
    expect(decoded.inputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['größe', [1, 2]],
      ['n', [1]],
    ]);
    expect(decoded.rawInputContents.map((bytes) => Buffer.from(bytes))).toEqual([bytesOf(X), bytesOf(N)]);
    expect(decoded.parameters).toEqual(inferParameters({ timeout: 7, mine: 'kept', best_effort: true, share: 0.5 }));
    expect(messageWith({}).rest).toBe(rest);
  });

  it('is answered with parameters of every kind', () => {
    const parameters = { sponge_queue_us: 12, sponge_late: true, source: 'none', share: 0.25 };
    const answer = ModelInferResponse.encode({
      modelName: 'm',
      modelVersion: '',
      id: '',
      parameters: inferParameters(parameters),
      outputs: [],
      rawOutputContents: [],
    }).finish();
    expect(answeredParameters(answer)).toEqual(parameters);
    expect(() => answeredParameters(Uint8Array.of(0xff, 0xff, 0xff))).toThrow();
  });
});

describe('an answer over REST', () => {
  it('is split where its header says, and its outputs are aligned and of their own', () => {
    const body = Buffer.concat([Buffer.from('{"a":1}'), bytesOf(X), bytesOf(N)]);
    const { text, tail } = splitAnswer({ 'inference-header-content-length': '7' }, body);
    const described = [X, N].map(({ name, shape, datatype, data }) => {
      return { name, shape, datatype, parameters: { binary_data_size: data.length } };
    });
    const outputs = binaryOutputs(described, tail);
    body.fill(0);
    expect(text).toBe('{"a":1}');
    expect(outputs).toEqual([X, N]);
    expect(splitAnswer({}, Buffer.from('{}'))).toEqual({ text: '{}', tail: Buffer.alloc(0) });
    const unknown = [{ ...described[0]!, datatype: 'FP8' }] as unknown as OutputJson[];
    expect(() => binaryOutputs(unknown, tail)).toThrow('output größe has unknown datatype FP8');
  });

  it('describes tensors: sizes as text, any rank, what may be left out', () => {
    const open = { name: 'b', datatype: 'BYTES', shape: [-1], parameters: { sponge_any_rank: true } };
    const free = { name: 'c', datatype: 'FP32', shape: [], parameters: { sponge_optional: true } };
    expect(tensorSpecs('m', [{ name: 'a', datatype: 'INT8', shape: ['-1', '3'] }, open, free])).toEqual([
      { name: 'a', datatype: 'INT8', shape: [-1, 3], isOptional: false },
      { name: 'b', datatype: 'BYTES', shape: null, isOptional: false },
      { name: 'c', datatype: 'FP32', shape: [], isOptional: true },
    ]);
    expect(() => tensorSpecs('m', undefined)).toThrow('no metadata of the Open Inference Protocol: model m');
    expect(() => tensorSpecs('m', [{ name: 'a' }])).toThrow('a tensor without name, datatype or shape');
    expect(() => tensorSpecs('m', [{ ...free, datatype: 'FP8' }])).toThrow('model m: c has datatype FP8');
  });
});
