import { describe, expect, it } from 'vitest';
import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';
import type { Datatype, Tensor } from '../../scheduler/domain/tensor.js';
import { differenceBetween } from './output-comparison.js';

function bytesOf(elements: ArrayBufferView): Uint8Array {
  return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
}

function floats(values: readonly number[], name = 'y'): Tensor {
  return { name, datatype: 'FP32', shape: [1, values.length], data: bytesOf(Float32Array.from(values)) };
}

function halves(datatype: Datatype, bits: readonly number[]): Tensor {
  return { name: 'y', datatype, shape: [1, bits.length], data: bytesOf(Uint16Array.from(bits)) };
}

function integers(values: readonly bigint[]): Tensor {
  return { name: 'y', datatype: 'INT64', shape: [1, values.length], data: bytesOf(BigInt64Array.from(values)) };
}

function texts(values: readonly string[]): Tensor {
  return { name: 'y', datatype: 'BYTES', shape: [1, values.length], data: encodeStrings(values) };
}

const isSame = (alone: Tensor, together: Tensor, rounded = alone): boolean =>
  differenceBetween([alone], [together], [rounded]) === null;

describe('an output in two batches', () => {
  it.each<[string, Tensor, Tensor, boolean]>([
    ['to the bit', floats([1, -2, 0]), floats([1, -2, 0]), true],
    // 0.001 of the largest, 100: everything may move by 0.1.
    ['within a thousandth of its largest', floats([100, 1]), floats([100.09, 1.09]), true],
    ['beyond it', floats([100, 1]), floats([100, 1.2]), false],
    ['of small numbers, by their own largest', floats([1e-6, 0]), floats([1e-6, 1e-8]), false],
    ['of nothing but zeros', floats([0, 0]), floats([0, 1e-30]), false],
    ['NaN where NaN was', floats([NaN, 1]), floats([NaN, 1]), true],
    ['NaN where a number was', floats([2, 1]), floats([NaN, 1]), false],
    ['a number where NaN was', floats([NaN, 1]), floats([2, 1]), false],
    ['an infinity', floats([Infinity, 1]), floats([Infinity, 1]), true],
    ['the other infinity', floats([Infinity, 1]), floats([-Infinity, 1]), false],
    // 0x3c00 is 1, with 10 bits of mantissa: 0x3c14 is 1 + 20/1024, just within 2 %; 0x3c1f is 3 % more.
    ['FP16 within 2 %', halves('FP16', [0x3c00]), halves('FP16', [0x3c14]), true],
    ['FP16 beyond', halves('FP16', [0x3c00]), halves('FP16', [0x3c1f]), false],
    // 0x3f80 is 1, with 7 bits: 0x3f86 is 1 + 6/128, within 5 %; 0x3f87 is 5.5 % more.
    ['BF16 within 5 %', halves('BF16', [0x3f80]), halves('BF16', [0x3f86]), true],
    ['BF16 beyond', halves('BF16', [0x3f80]), halves('BF16', [0x3f87]), false],
    ['whole numbers', integers([7n, -1n]), integers([7n, -1n]), true],
    ['whole numbers one off', integers([1_000_000n]), integers([1_000_001n]), false],
    ['texts', texts(['a', '']), texts(['a', '']), true],
    ['other texts', texts(['a', '']), texts(['', 'a']), false],
    ['nothing', floats([]), floats([]), true],
  ])('is compared: %s', (_, alone, together, expected) => {
    expect(isSame(alone, together)).toBe(expected);
  });

  it('is another where its shape or its name is', () => {
    expect(differenceBetween([floats([1, 2])], [floats([1])])).toBe("output 'y' has the shape [1, 1], not [1, 2]");
    expect(differenceBetween([floats([1])], [])).toBe("output 'y' has the shape [], not [1, 1]");
    expect(isSame(floats([1], 'y'), floats([1], 'z'))).toBe(false);
  });

  it('may move further where the model rounds more, as copies of it show, but not without bound', () => {
    // Copies move by 0.001; 20 times that and a thousandth of the largest, 0.021 in all, may be rounding.
    expect(isSame(floats([1]), floats([1.02]), floats([1.001]))).toBe(true);
    expect(isSame(floats([1]), floats([1.03]), floats([1.001]))).toBe(false);
    // Copies that move by a tenth are coupled themselves: 30 thousandths and one are the most.
    expect(isSame(floats([1]), floats([1.03]), floats([1.1]))).toBe(true);
    expect(isSame(floats([1]), floats([1.04]), floats([1.1]))).toBe(false);
  });
});
