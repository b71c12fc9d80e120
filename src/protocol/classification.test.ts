import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Datatype, Tensor } from '../scheduler/domain/tensor.js';
import { classifierOf, readClassCount } from './classification.js';
import { OipFailure } from './service.js';
import type { ModelEntry } from './service.js';
import { unpackBytes } from './tensor-layout.js';

function modelOf(datatype: Datatype, maxBatchSize: number, labels?: readonly string[]): ModelEntry {
  return {
    name: 'm',
    version: '1',
    versions: ['1'],
    state: 'READY',
    stateReason: '',
    signature: { inputs: [], outputs: [{ name: 'y', datatype, shape: [-1, -1] }] },
    maxBatchSize,
    platform: 'onnxruntime_onnx',
    ...(labels === undefined ? {} : { labels: { y: labels } }),
  };
}

function output(datatype: Datatype, shape: readonly number[], values: ArrayBufferView): Tensor {
  return { name: 'y', datatype, shape, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

function classes(model: ModelEntry, classCount: number, tensor: Tensor): { shape: readonly number[]; texts: string[] } {
  const { shape, data } = classifierOf(model, [{ name: 'y', classCount }])!(tensor);
  return { shape, texts: unpackBytes(data).map((text) => Buffer.from(text).toString()) };
}

describe('classification', () => {
  it('names the largest of each row of a batch, as C writes floats, with labels where there are some', () => {
    const scores = output('FP32', [2, 4], Float32Array.of(0.1, 0.7, 0.15, 0.05, -1, 4, 4, 1e10));
    expect(classes(modelOf('FP32', 8, ['ant', '', 'cat']), 2, scores)).toEqual({
      shape: [2, 2],
      texts: ['0.700000:1', '0.150000:2:cat', '10000000000.000000:3', '4.000000:1'],
    });
  });

  it('takes all axes for one row where the model is not batchable, and no more classes than there are', () => {
    const scores = output('INT64', [1, 3], BigInt64Array.of(-5n, 9_007_199_254_740_993n, 7n));
    expect(classes(modelOf('INT64', 0), 10, scores)).toEqual({
      shape: [3],
      texts: ['9007199254740993:1', '7:2', '-5:0'],
    });
  });

  it('has NaN below all, and the largest doubles in full', () => {
    const scores = output('FP64', [1, 5], Float64Array.of(NaN, -Infinity, 1e22, Infinity, NaN));
    expect(classes(modelOf('FP64', 8), 5, scores).texts).toEqual([
      'inf:3',
      '10000000000000000000000.000000:2',
      '-inf:1',
      'nan:0',
      'nan:4',
    ]);
  });

  it('reads scores wherever they lie, and batches without rows', () => {
    const odd = new Uint8Array(9);
    odd.set(new Uint8Array(Float32Array.of(1, 2).buffer), 1);
    const { texts } = classes(modelOf('FP32', 8), 1, {
      name: 'y',
      datatype: 'FP32',
      shape: [1, 2],
      data: odd.subarray(1),
    });
    expect(texts).toEqual(['2.000000:1']);
    expect(classes(modelOf('FP32', 8), 3, output('FP32', [0, 4], new Float32Array(0)))).toEqual({
      shape: [0, 0],
      texts: [],
    });
  });

  it('is what sorting says, for any scores and any count', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 70 }),
        (scores, count) => {
          const expected = scores
            .map((score, index) => ({ score, index }))
            .sort((a, b) => b.score - a.score || a.index - b.index)
            .slice(0, count)
            .map(({ score, index }) => `${score}:${index}`);
          const tensor = output('INT32', [1, scores.length], Int32Array.from(scores));
          expect(classes(modelOf('INT32', 8), count, tensor).texts).toEqual(expected);
        },
      ),
    );
  });

  it('is refused for outputs that have none, for more than are written, and for what is no count', () => {
    expect(() => classifierOf(modelOf('BYTES', 8), [{ name: 'y', classCount: 1 }])).toThrow("output 'y' is BYTES");
    expect(() => classifierOf(modelOf('FP16', 8), [{ name: 'y', classCount: 1 }])).toThrow(OipFailure);
    const many = output('UINT8', [30, 1000], new Uint8Array(30_000));
    expect(() => classes(modelOf('UINT8', 32), 1000, many)).toThrow('1000 classes of 30 rows are more than 20000');
    expect(classifierOf(modelOf('BYTES', 8), [{ name: 'y' }])).toBeNull();
    expect([undefined, 0, 3].map((value) => readClassCount('y', value))).toEqual([undefined, undefined, 3]);
    for (const value of [-1, 1.5, '3', true]) expect(() => readClassCount('y', value)).toThrow('an integer ≥ 0');
  });
});
