import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModelInferResponse, ModelStreamInferResponse } from '../../../protocol/grpc/generated/open_inference.js';
import { encodeInferResponse } from './infer-encoder.js';
import type { InferResponse } from './infer-encoder.js';
import { inferParameters } from '../../../protocol/grpc/parameters.js';

/** The message of these parts, once its prefix says as much. */
function messageOf(parts: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat(parts);
  expect(bytes[0]).toBe(0);
  expect(bytes.readUInt32BE(1)).toBe(bytes.length - 5);
  return bytes.subarray(5);
}

function expected({ outputs, parameters, ...rest }: InferResponse): ModelInferResponse {
  return {
    ...rest,
    parameters: inferParameters(parameters),
    outputs: outputs.map(({ name, datatype, shape }) => ({
      name,
      datatype,
      shape: [...shape],
      parameters: {},
      contents: undefined,
    })),
    rawOutputContents: outputs.map(({ data }) => Buffer.from(data)),
  };
}

const SMALL: InferResponse = {
  modelName: 'm',
  modelVersion: '1',
  id: 'r',
  parameters: { a: -1, b: true, c: 'text', d: 0.5 },
  outputs: [{ name: 'y', datatype: 'UINT8', shape: [1, 2], data: Uint8Array.of(7, 8) }],
};

const text = fc.string({ unit: 'binary', maxLength: 200 });
// Sizes on both sides of what is copied, and of each length of a length.
const byteCount = fc.oneof(fc.nat(300), fc.constantFrom(16_383, 16_384, 16_385, 70_000, 300_000));
const responses: fc.Arbitrary<InferResponse> = fc.record({
  modelName: text,
  modelVersion: text,
  id: text,
  parameters: fc.dictionary(
    text.filter((name) => name !== '__proto__'),
    fc.oneof(
      fc.maxSafeInteger(),
      fc.boolean(),
      text,
      fc.double({ noNaN: true }).filter((n) => !Number.isInteger(n)),
    ),
  ),
  outputs: fc.array(
    fc.record({
      name: text,
      datatype: fc.constant('UINT8' as const),
      shape: fc.array(fc.nat(2 ** 31), { maxLength: 80 }),
      data: byteCount.map((n) => new Uint8Array(n).fill(n % 251)),
    }),
    { maxLength: 3 },
  ),
});

describe('a result', () => {
  it('is what the generated codec reads, by itself and in a stream', () => {
    fc.assert(
      fc.property(responses, (response) => {
        const wanted = Buffer.from(ModelInferResponse.encode(expected(response)).finish());
        // Read and written again: comparing megabytes element by element takes seconds.
        const single = ModelInferResponse.decode(messageOf(encodeInferResponse(response, false)));
        expect(wanted.equals(ModelInferResponse.encode(single).finish())).toBe(true);
        const streamed = ModelStreamInferResponse.decode(messageOf(encodeInferResponse(response, true)));
        expect(streamed.errorMessage).toBe('');
        expect(wanted.equals(ModelInferResponse.encode(streamed.inferResponse!).finish())).toBe(true);
      }),
    );
  });

  it('is one buffer of its own where it is small, however many are encoded after it', () => {
    const parts = encodeInferResponse(SMALL, false);
    expect(parts).toHaveLength(1);
    const before = Buffer.from(parts[0]!);
    encodeInferResponse({ ...SMALL, modelName: 'another' }, false);
    expect(before.equals(parts[0]!)).toBe(true);
  });

  it('has large tensors from where they are', () => {
    const large = { name: 'z', datatype: 'UINT8', shape: [1, 20_000], data: new Uint8Array(20_000) } as const;
    const parts = encodeInferResponse({ ...SMALL, outputs: [large, SMALL.outputs[0]!, large] }, false);
    expect(parts.filter((part) => part === large.data)).toHaveLength(2);
    expect(parts).toHaveLength(4);
  });
});
