import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { numbersOf, tensorOf } from './numbers.js';

describe('tensors as typed arrays', () => {
  it.each([
    ['UINT8', Uint8Array.of(1, 255)],
    ['INT16', Int16Array.of(-2, 3)],
    ['INT64', BigInt64Array.of(-(2n ** 62n), 5n)],
    ['FP32', Float32Array.of(0.5, -1)],
    ['FP64', Float64Array.of(0.1, 1e300)],
  ] as const)('are %s both ways', (datatype, numbers) => {
    const tensor = tensorOf('x', [1, 2], numbers);
    expect(tensor).toMatchObject({ name: 'x', datatype, shape: [1, 2] });
    expect(tensor.data.byteLength).toBe(2 * numbers.BYTES_PER_ELEMENT);
    expect(numbersOf(tensor, datatype)).toEqual(numbers);
  });

  it('are a part of a larger array', () => {
    const tensor = tensorOf('x', [2], Float32Array.of(1, 2, 3, 4).subarray(1, 3));
    expect(numbersOf(tensor, 'FP32')).toEqual(Float32Array.of(2, 3));
  });

  it('are read from bytes that are not aligned', () => {
    const data = new Uint8Array(9);
    data.set(new Uint8Array(Float32Array.of(7, 8).buffer), 1);
    const tensor: Tensor = { name: 'x', datatype: 'FP32', shape: [2], data: data.subarray(1) };
    expect(numbersOf(tensor, 'FP32')).toEqual(Float32Array.of(7, 8));
  });

  it('have as many elements as their shape says, and are read as what they are', () => {
    expect(() => tensorOf('x', [2, 2], Float32Array.of(1))).toThrow('x: shape [2, 2] has 4 elements, and 1 are given');
    expect(() => numbersOf(tensorOf('x', [1], Int8Array.of(1)), 'FP32')).toThrow('x is INT8, not FP32');
  });
});
