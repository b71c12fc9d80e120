import { describe, expect, it } from 'vitest';
import { ELEMENT_BYTES, elementCount } from '../scheduler/domain/tensor.js';
import type { Datatype, Tensor } from '../scheduler/domain/tensor.js';
import type { ModelEntry } from './service.js';
import { checkInputs, checkOutputNames } from './validate.js';

const MODEL: ModelEntry = {
  name: 'm',
  version: '1',
  versions: ['1'],
  state: 'READY',
  stateReason: '',
  platform: 'onnxruntime_onnx',
  maxBatchSize: 4,
  signature: {
    inputs: [
      { name: 'a', datatype: 'FP32', shape: [-1, 3] },
      { name: 'b', datatype: 'INT8', shape: [-1] },
    ],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [-1] }],
  },
};

function tensor(name: string, datatype: Datatype, shape: readonly number[]): Tensor {
  return { name, datatype, shape, data: new Uint8Array(elementCount(shape) * ELEMENT_BYTES[datatype]) };
}

describe('checkInputs', () => {
  it('takes the declared inputs in any order', () => {
    checkInputs(MODEL, [tensor('b', 'INT8', [2]), tensor('a', 'FP32', [2, 3])]);
  });

  it.each<[string, readonly Tensor[], string]>([
    ['an unknown input', [tensor('c', 'FP32', [1])], "unknown input 'c'; model 'm' has 'a', 'b'"],
    ['a missing input', [tensor('a', 'FP32', [1, 3])], "missing input 'b'"],
    ['no input', [], "missing input 'a', 'b'"],
    ['an input sent twice', [tensor('b', 'INT8', [1]), tensor('b', 'INT8', [1])], "input 'b' was sent twice"],
    ['a wrong datatype', [tensor('a', 'FP64', [1, 3])], "input 'a': expected FP32 [-1, 3], got FP64 [1, 3]"],
    ['a wrong rank', [tensor('a', 'FP32', [3])], "input 'a': expected FP32 [-1, 3], got FP32 [3]"],
    ['a wrong size', [tensor('a', 'FP32', [1, 4])], "input 'a': expected FP32 [-1, 3], got FP32 [1, 4]"],
    [
      'too large a batch',
      [tensor('a', 'FP32', [5, 3]), tensor('b', 'INT8', [5])],
      "input 'a': batch axis is 5, model 'm' takes at most 4",
    ],
    [
      'inputs of different batch sizes',
      [tensor('a', 'FP32', [2, 3]), tensor('b', 'INT8', [3])],
      "input 'b': batch axis is 3, that of input 'a' is 2",
    ],
  ])('refuses %s', (_, tensors, message) => {
    expect(() => checkInputs(MODEL, tensors)).toThrow(message);
  });

  it('refuses an index that is not in the model’s table, by what it is and where', () => {
    const ids = { name: 'ids', datatype: 'INT32', shape: [-1], table: { least: -8, rows: 8 } } as const;
    const model = { ...MODEL, maxBatchSize: 0, signature: { inputs: [ids], outputs: [] } };
    const given = (...values: number[]): Tensor[] => [
      { ...tensor('ids', 'INT32', [values.length]), data: new Uint8Array(Int32Array.from(values).buffer) },
    ];
    checkInputs(model, given(0, 7, -8));
    expect(() => checkInputs(model, given(0, 8))).toThrow(
      "input 'ids': there is no 8 (element 1), the model's table has 8 rows, 0 to 7",
    );
  });

  it('takes more than the largest batch where nobody stated that limit', () => {
    const model = { ...MODEL, takesLargerRequests: true };
    checkInputs(model, [tensor('a', 'FP32', [17, 3]), tensor('b', 'INT8', [17])]);
  });

  it('leaves the first axis of a model that is not batchable to its signature', () => {
    checkInputs({ ...MODEL, maxBatchSize: 0 }, [tensor('a', 'FP32', [9, 3]), tensor('b', 'INT8', [1])]);
  });

  it('takes an empty axis where the declaration leaves it open, also the batch axis', () => {
    const model = (shape: readonly number[] | null, maxBatchSize = 0): ModelEntry => ({
      ...MODEL,
      maxBatchSize,
      signature: { inputs: [{ name: 'a', datatype: 'FP32', shape }], outputs: [] },
    });
    for (const shape of [[-1, 0], [-1, -1], null]) checkInputs(model(shape), [tensor('a', 'FP32', [2, 0])]);
    checkInputs(model([-1, 3], 4), [tensor('a', 'FP32', [0, 3])]);
    expect(() => checkInputs(model([-1, 3]), [tensor('a', 'FP32', [2, 0])])).toThrow('expected FP32 [-1, 3]');
  });

  it('takes any shape where not even the rank is declared', () => {
    const signature = { inputs: [{ name: 'a', datatype: 'FP32' as const, shape: null }], outputs: [] };
    for (const shape of [[], [7], [1, 2, 3]]) {
      checkInputs({ ...MODEL, maxBatchSize: 0, signature }, [tensor('a', 'FP32', shape)]);
    }
    expect(() => checkInputs({ ...MODEL, signature }, [tensor('a', 'INT8', [7])])).toThrow(
      "input 'a': expected FP32 […], got INT8 [7]",
    );
  });

  it('lets an input be left out that the model has a value for, and does not take it for rows', () => {
    const optional = { name: 'scale', datatype: 'FP32' as const, shape: [3], isOptional: true };
    const model: ModelEntry = {
      ...MODEL,
      signature: { inputs: [...MODEL.signature!.inputs, optional], outputs: [] },
    };
    const required = [tensor('a', 'FP32', [2, 3]), tensor('b', 'INT8', [2])];
    checkInputs(model, required);
    // Its first axis is 3, that of the others 2.
    checkInputs(model, [tensor('scale', 'FP32', [3]), ...required]);
    expect(() => checkInputs(model, [tensor('scale', 'FP32', [3])])).toThrow("missing input 'a', 'b'");
    expect(() => checkInputs(model, [...required, tensor('scale', 'FP32', [2])])).toThrow(
      "input 'scale': expected FP32 [3], got FP32 [2]",
    );
  });

  it('says why a model that was never loaded cannot be asked', () => {
    const loading: ModelEntry = { ...MODEL, signature: null, state: 'LOADING', stateReason: 'reading' };
    expect(() => checkInputs(loading, [])).toThrow("model 'm' is LOADING: reading");
  });
});

describe('checkOutputNames', () => {
  it('refuses unknown and repeated ones', () => {
    checkOutputNames(MODEL, ['y']);
    checkOutputNames(MODEL, []);
    expect(() => checkOutputNames(MODEL, ['z'])).toThrow("unknown output 'z'; model 'm' has 'y'");
    expect(() => checkOutputNames(MODEL, ['y', 'y'])).toThrow("output 'y' was requested twice");
  });
});
