import { describe, expect, it } from 'vitest';
import type { TensorSpec } from '../scheduler/domain/tensor.js';
import { noiseInputs } from './noise-inputs.js';

const X: TensorSpec = { name: 'x', datatype: 'FP32', shape: [-1, 3] };
const ANY_RANK: TensorSpec = { name: 'any', datatype: 'BF16', shape: null };
const OPTIONAL: TensorSpec = { name: 'scale', datatype: 'FP64', shape: [3], isOptional: true };

describe('noise for a model of which only the metadata is known', () => {
  it('is of the declared shape with a batch of one, the same every time', () => {
    const [first] = noiseInputs([X], {});
    expect(first).toMatchObject({ name: 'x', datatype: 'FP32', shape: [1, 3] });
    expect(first!.data.byteLength).toBe(12);
    expect(noiseInputs([X], {})).toEqual([first]);
  });

  it('leaves out what may be left out, unless its shape is given', () => {
    expect(noiseInputs([X, OPTIONAL], {}).map(({ name }) => name)).toEqual(['x']);
    expect(noiseInputs([X, OPTIONAL], { scale: [3] }).map(({ name, data }) => [name, data.byteLength])).toEqual([
      ['x', 12],
      ['scale', 24],
    ]);
  });

  it('asks for the shape where the model leaves it open, or even the rank', () => {
    expect(() => noiseInputs([ANY_RANK], {})).toThrow(
      'input any is […]: say which shape to send, e.g. --shape any=1,…',
    );
    expect(noiseInputs([ANY_RANK], { any: [2, 2] })[0]!.data.byteLength).toBe(8);
    expect(noiseInputs([ANY_RANK], { any: [] })[0]!.data.byteLength).toBe(2);
    expect(() => noiseInputs([X], { z: [1] })).toThrow('--shape z=…: the model has no such input; it has x');
  });
});
