import { describe, expect, it } from 'vitest';
import { encodeInferResponse } from './infer-response.js';
import type { OutputPart } from './infer-response.js';

/** Whose numbers become longer, and then shorter, than those at the beginning. */
const LENGTHS = Float32Array.from({ length: 30_000 }, (_, index) =>
  index > 1000 && index < 9000 ? index / 7e9 : index % 2,
);
const HEAD = { modelName: 'm', modelVersion: '1', id: 'é', parameters: { sponge_batch: 2 } };

function part(
  name: string,
  datatype: 'FP32' | 'INT16' | 'FP64' | 'BOOL',
  values: ArrayBufferView,
  isBinary = false,
): OutputPart {
  const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const elementBytes = { FP32: 4, INT16: 2, FP64: 8, BOOL: 1 }[datatype];
  return { tensor: { name, datatype, shape: [data.length / elementBytes], data }, isBinary };
}

describe('an answer', () => {
  it('is the JSON of all its outputs, in order, however long their numbers become', () => {
    const integers = Int16Array.from({ length: 3000 }, (_, index) => 9 ** (index % 5) * (index % 2 === 0 ? 1 : -1));
    const doubles = Float64Array.from(LENGTHS.subarray(0, 10_000), Math.sqrt);
    const outputs = [
      part('a"', 'FP32', LENGTHS),
      part('b', 'INT16', integers, true),
      part('c', 'INT16', integers),
      part('d', 'FP64', doubles),
      part(
        'e',
        'BOOL',
        Uint8Array.from({ length: 9000 }, (_, index) => index % 2),
      ),
      part('f', 'FP32', LENGTHS.subarray(0, 1)),
      part('g', 'FP32', LENGTHS.subarray(0, 0)),
    ];
    const { json, tails } = encodeInferResponse({ ...HEAD, outputs });
    const data = [LENGTHS, null, integers, doubles, { length: 9000 }, [0], []];
    const expected = {
      ...{ model_name: 'm', model_version: '1', id: 'é', parameters: { sponge_batch: 2 } },
      outputs: outputs.map(({ tensor: { name, datatype, shape } }, index) => ({
        ...{ name, datatype, shape },
        ...(index === 1
          ? { parameters: { binary_data_size: 6000 } }
          : {
              data: index === 4 ? Array.from({ length: 9000 }, (_, at) => at % 2 === 1) : Array.from(data[index] as []),
            }),
      })),
    };
    expect(Buffer.from(json).toString()).toBe(JSON.stringify(expected));
    expect(tails).toEqual([outputs[1]!.tensor.data]);
  });
});
