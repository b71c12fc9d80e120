import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { floatsOf, normalize, pooled, sigmoid } from './pooling.js';

/** Of three tokens, the last of them padding, whose numbers would be seen in any mean. */
const TOKENS = tensorOf([1, 3, 2], [1, 2, 3, 6, 1000, 1000]);
const MASK = [1, 1, 0];

function tensorOf(shape: readonly number[], values: readonly number[], offset = 0): Tensor {
  const data = new Uint8Array(offset + 4 * values.length).subarray(offset);
  values.forEach((value, i) => new DataView(data.buffer).setFloat32(offset + 4 * i, value, true));
  return { name: 'x', datatype: 'FP32', shape, data };
}

describe('pooling', () => {
  it('takes what is no padding', () => {
    expect([...pooled(TOKENS, MASK, 'mean')]).toEqual([2, 4]);
    expect([...pooled(TOKENS, MASK, 'cls')]).toEqual([1, 2]);
    expect([...pooled(TOKENS, MASK, 'last')]).toEqual([3, 6]);
    expect([...pooled(TOKENS, [0, 0, 0], 'mean')]).toEqual([0, 0]);
  });

  it('makes what is its own, from memory of any alignment', () => {
    const odd = tensorOf([1, 1, 2], [5, 7], 3);
    const vector = pooled(odd, [1], 'cls');
    odd.data.fill(0);
    expect([...vector]).toEqual([5, 7]);
    expect([...floatsOf(tensorOf([2], [1, 2], 1))]).toEqual([1, 2]);
  });

  it('gives a length of 1 to all that has one', () => {
    const vector = Float32Array.of(3, 4);
    normalize(vector);
    expect([...vector].map((value) => value.toFixed(6))).toEqual(['0.600000', '0.800000']);
    const none = Float32Array.of(0, 0);
    normalize(none);
    expect([...none]).toEqual([0, 0]);
    expect(sigmoid(0)).toBe(0.5);
  });
});
