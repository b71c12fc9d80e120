import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Datatype } from '../../../scheduler/domain/tensor.js';
import { OipFailure } from '../../../protocol/service.js';
import type { OipErrorKind } from '../../../protocol/service.js';
import { ModelInferRequest } from '../../../protocol/grpc/generated/open_inference.js';
import type { InferTensorContents } from '../../../protocol/grpc/generated/open_inference.js';
import { decodeInferRequest, modelNameIn } from './infer-decoder.js';

const MAX_BYTES = 1 << 20;

/** int64_contents and uint64_contents carry more than `number` can: their tests write the wire format themselves. */
type Contents = Partial<Omit<InferTensorContents, 'int64Contents' | 'uint64Contents'>>;

function contents(given: Contents): InferTensorContents {
  return {
    boolContents: [],
    intContents: [],
    int64Contents: [],
    uintContents: [],
    uint64Contents: [],
    fp32Contents: [],
    fp64Contents: [],
    bytesContents: [],
    ...given,
  };
}

function request(given: Partial<ModelInferRequest>): Uint8Array {
  return ModelInferRequest.encode({
    modelName: 'm',
    modelVersion: '',
    id: '',
    parameters: {},
    inputs: [],
    outputs: [],
    rawInputContents: [],
    ...given,
  }).finish();
}

function typedRequest(datatype: string, shape: number[], given: Contents): Uint8Array {
  return request({ inputs: [{ name: 'x', datatype, shape, parameters: {}, contents: contents(given) }] });
}

function rawRequest(datatype: string, shape: number[], data: Uint8Array): Uint8Array {
  return request({
    inputs: [{ name: 'x', datatype, shape, parameters: {}, contents: undefined }],
    rawInputContents: [Buffer.from(data)],
  });
}

function typedData(datatype: Datatype, shape: number[], given: Contents): Uint8Array {
  return decodeInferRequest(typedRequest(datatype, shape, given), MAX_BYTES).inputs[0]!.data;
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function failure(message: Uint8Array, maxBytes = MAX_BYTES): { kind: OipErrorKind; message: string } {
  try {
    decodeInferRequest(message, maxBytes);
  } catch (error) {
    if (error instanceof OipFailure) return error.error;
    throw error;
  }
  throw new Error('expected a failure');
}

describe('decodeInferRequest', () => {
  it('reads every field of a request', () => {
    const decoded = decodeInferRequest(
      request({
        modelName: 'modèle',
        modelVersion: '3',
        id: 'abc',
        parameters: {
          timeout: { parameterChoice: { $case: 'int64Param', value: 5000 } },
          best_effort: { parameterChoice: { $case: 'boolParam', value: true } },
          note: { parameterChoice: { $case: 'stringParam', value: 'hi' } },
          ratio: { parameterChoice: { $case: 'doubleParam', value: 0.25 } },
          priority: { parameterChoice: { $case: 'uint64Param', value: 2 } },
          negative: { parameterChoice: { $case: 'int64Param', value: -1 } },
          unset: { parameterChoice: undefined },
        },
        inputs: [{ name: 'x', datatype: 'UINT8', shape: [1, 3], parameters: {}, contents: undefined }],
        outputs: [
          { name: 'y', parameters: {} },
          { name: 'z', parameters: {} },
        ],
        rawInputContents: [Buffer.from([7, 8, 9])],
      }),
      MAX_BYTES,
    );
    expect(decoded).toEqual({
      modelName: 'modèle',
      modelVersion: '3',
      id: 'abc',
      parameters: { timeout: 5000, best_effort: true, note: 'hi', ratio: 0.25, priority: 2, negative: -1 },
      inputs: [{ name: 'x', datatype: 'UINT8', shape: [1, 3], data: new Uint8Array([7, 8, 9]) }],
      outputs: [{ name: 'y' }, { name: 'z' }],
    });
  });

  it('reads a request as tritonclient 2.73 (Python) sends it', () => {
    // InferInput('x', [1, 2], 'FP32') = [[1, 2]], one requested output 'y', request_id 'r1', timeout=250000.
    const sent = Buffer.from(TRITONCLIENT_REQUEST, 'hex');
    expect(decodeInferRequest(sent, MAX_BYTES)).toEqual({
      modelName: 'raw',
      modelVersion: '',
      id: 'r1',
      parameters: { timeout: 250_000 },
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [1, 2], data: bytesOf(Buffer.from(new Float32Array([1, 2]).buffer)) },
      ],
      outputs: [{ name: 'y' }],
    });
  });

  it('takes raw tensors as views of the message', () => {
    const message = rawRequest('UINT8', [4], new Uint8Array([1, 2, 3, 4]));
    const { data } = decodeInferRequest(message, MAX_BYTES).inputs[0]!;
    expect(data.buffer).toBe(message.buffer);
  });

  it('keeps a parameter that no number can hold as its digits', () => {
    // Field 4, an entry of 14 bytes: key 'k'; value of 9 bytes: int64_param = 2^53 + 1, a varint of 8 bytes.
    const message = Buffer.from([
      0x22, 14, 0x0a, 1, 0x6b, 0x12, 9, 0x10, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10,
    ]);
    expect(decodeInferRequest(message, MAX_BYTES).parameters).toEqual({ k: '9007199254740993' });
  });

  it('keeps a parameter named __proto__ as any other', () => {
    const message = request({ parameters: Object.fromEntries([['__proto__', stringParameter('x')]]) });
    expect(Object.entries(decodeInferRequest(message, MAX_BYTES).parameters)).toEqual([['__proto__', 'x']]);
  });

  it('refuses the parameter of an extension that is not there', () => {
    const name = 'shared_memory_region';
    const parameters = { [name]: stringParameter('x') };
    const onInput = request({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1], parameters, contents: undefined }] });
    const onOutput = request({ outputs: [{ name: 'y', parameters }] });
    expect(failure(onInput)).toEqual({
      kind: 'invalid',
      message: `input 'x': parameter '${name}' is not supported`,
    });
    expect(failure(onOutput).message).toBe(`output 'y': parameter '${name}' is not supported`);
  });

  it('refuses raw contents that are not one per input, or beside typed ones', () => {
    const twoRaw = request({ rawInputContents: [Buffer.alloc(1), Buffer.alloc(1)] });
    expect(failure(twoRaw).message).toBe('raw_input_contents has 2 entries for 0 inputs');
    const both = request({
      inputs: [
        { name: 'x', datatype: 'BOOL', shape: [1], parameters: {}, contents: contents({ boolContents: [true] }) },
      ],
      rawInputContents: [Buffer.alloc(1)],
    });
    expect(failure(both).message).toBe("input 'x': contents and raw_input_contents exclude each other");
  });

  it.each([
    ['a negative size', [-1, 4]],
    ['a size beyond 2^53', [2 ** 60]],
    ['a product beyond 2^53', [2 ** 30, 2 ** 30]],
    ['100 000 axes', new Array<number>(100_000).fill(1)],
  ])('refuses a shape with %s', (_what, shape) => {
    // The generated encoder takes no number beyond 2^53, so that sizes are written as raw varints.
    const message = withShape(shape.map(BigInt));
    expect(failure(message).kind).toBe('invalid');
  });

  it('refuses more fields in a message than any model needs, before it reads them all', () => {
    const names = Array.from({ length: 4096 }, (_, index) => String(index));
    const outputs = names.map((name) => ({ name, parameters: {} }));
    // With the model's name there are 4097 fields.
    expect(failure(request({ outputs })).message).toBe('a message has more than 4096 fields');
    expect(decodeInferRequest(request({ modelName: '', outputs }), MAX_BYTES).outputs).toHaveLength(4096);
  });

  it('answers any bytes with a request or an OipFailure, never anything else', () => {
    const valid = typedRequest('INT32', [3], { intContents: [1, -2, 3] });
    const cut = fc.nat({ max: valid.length }).map((length) => valid.slice(0, length));
    const flipped = fc
      .tuple(fc.nat({ max: valid.length - 1 }), fc.nat({ max: 255 }))
      .map(([index, byte]) => valid.map((old, at) => (at === index ? byte : old)));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), cut, flipped), (message) => {
        try {
          decodeInferRequest(message, MAX_BYTES);
        } catch (error) {
          expect(error).toBeInstanceOf(OipFailure);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe('typed contents', () => {
  it('become the binary layout, for every datatype with a field of its own', () => {
    expect(typedData('BOOL', [3], { boolContents: [true, false, true] })).toEqual(new Uint8Array([1, 0, 1]));
    expect(typedData('INT8', [2], { intContents: [-128, 127] })).toEqual(bytesOf(new Int8Array([-128, 127])));
    expect(typedData('INT16', [2], { intContents: [-2, 300] })).toEqual(bytesOf(new Int16Array([-2, 300])));
    expect(typedData('INT32', [2], { intContents: [-(2 ** 31), 7] })).toEqual(bytesOf(new Int32Array([-(2 ** 31), 7])));
    expect(typedData('UINT8', [1], { uintContents: [255] })).toEqual(new Uint8Array([255]));
    expect(typedData('UINT16', [1], { uintContents: [65_535] })).toEqual(bytesOf(new Uint16Array([65_535])));
    expect(typedData('UINT32', [1], { uintContents: [2 ** 32 - 1] })).toEqual(bytesOf(new Uint32Array([2 ** 32 - 1])));
    expect(typedData('FP32', [2], { fp32Contents: [0.5, -1] })).toEqual(bytesOf(new Float32Array([0.5, -1])));
    expect(typedData('FP64', [1], { fp64Contents: [1e300] })).toEqual(bytesOf(new Float64Array([1e300])));
    // Each element after its length, four bytes little-endian.
    const bytes = { bytesContents: [Buffer.from('ab'), Buffer.alloc(0)] };
    expect(typedData('BYTES', [2], bytes)).toEqual(new Uint8Array([2, 0, 0, 0, 97, 98, 0, 0, 0, 0]));
  });

  it('are exact for 64-bit integers, packed or one by one, in one part or several', () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { maxLength: 20 }), (values) => {
        const expected = bytesOf(BigInt64Array.from(values));
        const unpacked = values.flatMap((value) => [0x18, ...varint(value)]);
        const half = values.length >> 1;
        const [first, second] = [values.slice(0, half).flatMap(varint), values.slice(half).flatMap(varint)];
        for (const parts of [
          [field(3, values.flatMap(varint))],
          [unpacked],
          [field(3, first), field(3, second)],
          [[...field(3, first), ...field(3, second)]],
        ]) {
          const message = typedMessage('INT64', values.length, parts);
          expect(decodeInferRequest(message, MAX_BYTES).inputs[0]!.data).toEqual(expected);
        }
      }),
    );
  });

  it('are exact for unsigned 64-bit integers', () => {
    const message = typedMessage('UINT64', 1, [field(5, varint(2n ** 64n - 1n))]);
    expect(decodeInferRequest(message, MAX_BYTES).inputs[0]!.data).toEqual(
      bytesOf(new BigUint64Array([2n ** 64n - 1n])),
    );
  });

  it('are not copied when they are packed floats in one run', () => {
    const message = typedRequest('FP32', [2], { fp32Contents: [1, 2] });
    const { data } = decodeInferRequest(message, MAX_BYTES).inputs[0]!;
    expect(data.buffer).toBe(message.buffer);
  });

  it('are joined when floats come in several runs', () => {
    const one = [...bytesOf(new Float32Array([1]))];
    const two = [...bytesOf(new Float32Array([2]))];
    const expected = bytesOf(new Float32Array([1, 2]));
    // Wire type 5: one element by itself.
    for (const parts of [
      [field(6, one), field(6, two)],
      [[0x35, ...one, 0x35, ...two]],
      [field(6, one), [0x35, ...two]],
    ]) {
      expect(decodeInferRequest(typedMessage('FP32', 2, parts), MAX_BYTES).inputs[0]!.data).toEqual(expected);
    }
  });

  it('may be absent where the shape has no elements', () => {
    const message = typedMessage('FP32', 0, []);
    expect(decodeInferRequest(message, MAX_BYTES).inputs[0]!.data).toEqual(new Uint8Array(0));
  });

  it('are refused with cause: FP16, another field, a value out of range, a wrong count, cut short, too large', () => {
    expect(failure(typedRequest('FP16', [1], { fp32Contents: [1] })).message).toBe(
      "tensor 'x': FP16 has no typed contents, send it in raw_input_contents",
    );
    expect(failure(typedRequest('FP32', [1], { fp64Contents: [1] })).message).toBe(
      "tensor 'x': FP32 elements belong in fp32_contents",
    );
    expect(failure(typedRequest('INT8', [1], { intContents: [128] })).message).toBe(
      "tensor 'x': 128 is not INT8, from -128 to 127",
    );
    expect(failure(typedRequest('FP32', [3], { fp32Contents: [1, 2] })).message).toBe(
      "tensor 'x': FP32 [3] takes 12 bytes, got 8",
    );
    expect(failure(typedMessage('FP32', 1, [field(6, [1, 2, 3])])).message).toContain('malformed message');
    // A varint whose last byte has the continuation bit.
    expect(failure(typedMessage('INT64', 1, [field(3, [0x80])])).message).toContain('malformed message');
    // Field 1 as a varint, 2^20 + 1 times.
    const oneByOne = new Array<number[]>((1 << 20) + 1).fill([0x08, 1]).flat();
    expect(failure(typedMessage('BOOL', 1, [oneByOne]), 1 << 30).message).toContain('elements sent one by one');
    // Nine one-byte varints make nine int64: 72 bytes, more than the 64 allowed.
    expect(failure(typedMessage('INT64', 9, [field(3, new Array<number>(9).fill(1))]), 64).kind).toBe('too_large');
    // Two million integers of a byte each, and one more.
    const packed = typedMessage('INT8', 2 ** 21 + 1, [field(2, new Array<number>(2 ** 21 + 1).fill(1))]);
    expect(failure(packed, 2 ** 30).message).toContain('more than 2097152 integers in int_contents');
  });
});

function stringParameter(value: string): { parameterChoice: { $case: 'stringParam'; value: string } } {
  return { parameterChoice: { $case: 'stringParam', value } };
}

/** A base-128 varint of the 64 bits of `value`. */
function varint(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return [...bytes, Number(rest)];
}

/** A length-delimited field. */
function field(fieldNumber: number, payload: readonly number[]): number[] {
  return [(fieldNumber << 3) | 2, ...varint(BigInt(payload.length)), ...payload];
}

/** Input 'x' of shape [size], with its contents in the parts given. */
function typedMessage(datatype: Datatype, size: number, parts: readonly (readonly number[])[]): Uint8Array {
  const input = [
    ...field(1, [...Buffer.from('x')]),
    ...field(2, [...Buffer.from(datatype)]),
    ...field(3, varint(BigInt(size))),
    ...parts.flatMap((part) => field(5, part)),
  ];
  return Uint8Array.from(field(5, input));
}

function withShape(sizes: readonly bigint[]): Uint8Array {
  const input = [...field(1, [...Buffer.from('x')]), ...field(2, [...Buffer.from('BOOL')])];
  return Uint8Array.from(field(5, [...input, ...field(3, sizes.flatMap(varint))]));
}

const TRITONCLIENT_REQUEST =
  '0a037261771a027231220f0a0774696d656f757412041090a10f2a0d0a01781204465033321a02010232030a01793a080000803f00000040';

describe('the beginning of a request', () => {
  it('tells the model’s name, if all of it is there and comes first', () => {
    const message = request({ modelName: 'née', id: 'a' });
    // Key, length, and four bytes of UTF-8.
    expect([message.length, 6, 5, 2, 1, 0].map((end) => modelNameIn(message.subarray(0, end)))).toEqual([
      ...['née', 'née', null, null, null, null],
    ]);
    expect(modelNameIn(request({ modelName: '', id: 'a' }))).toBeNull();
    expect(modelNameIn(Uint8Array.of(10, 255, 255, 255, 255, 255))).toBeNull();
  });
});
