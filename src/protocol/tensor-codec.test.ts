import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elementCount } from '../scheduler/domain/tensor.js';
import type { Datatype } from '../scheduler/domain/tensor.js';
import { OipFailure } from './service.js';
import { encodeJsonData, jsonDataText } from './tensor-codec.js';
import { checkLayout } from './tensor-layout.js';

/** Every element that JSON can carry for a datatype, as a client would write it. */
const ELEMENTS: Readonly<Record<Exclude<Datatype, 'FP16' | 'BF16'>, fc.Arbitrary<unknown>>> = {
  BOOL: fc.boolean(),
  UINT8: fc.integer({ min: 0, max: 255 }),
  INT8: fc.integer({ min: -128, max: 127 }),
  UINT16: fc.integer({ min: 0, max: 65_535 }),
  INT16: fc.integer({ min: -32_768, max: 32_767 }),
  UINT32: fc.integer({ min: 0, max: 4_294_967_295 }),
  INT32: fc.integer({ min: -2_147_483_648, max: 2_147_483_647 }),
  UINT64: fc.maxSafeNat(),
  INT64: fc.maxSafeInteger(),
  FP32: fc.float({ noNaN: true, noDefaultInfinity: true }),
  FP64: fc.double({ noNaN: true, noDefaultInfinity: true }),
  BYTES: fc.string({ unit: 'grapheme' }),
};

const SHAPE = fc.array(fc.nat({ max: 3 }), { maxLength: 4 });

function nest(flat: readonly unknown[], shape: readonly number[]): unknown {
  if (shape.length <= 1) return flat;
  const [size, ...rest] = shape;
  const step = elementCount(rest);
  return Array.from({ length: size! }, (_, index) => nest(flat.slice(index * step, (index + 1) * step), rest));
}

function failureOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof OipFailure && error.error.kind === 'invalid') return error.message;
    throw error;
  }
  throw new Error('expected a refusal');
}

describe('JSON tensor data', () => {
  for (const [name, element] of Object.entries(ELEMENTS)) {
    const datatype = name as Exclude<Datatype, 'FP16' | 'BF16'>;

    it(`${datatype} comes back exactly, flat or nested, at any shape`, () => {
      const cases = SHAPE.chain((shape) => {
        const count = elementCount(shape);
        return fc.record({
          shape: fc.constant(shape),
          flat: fc.array(element, { minLength: count, maxLength: count }),
        });
      });
      fc.assert(
        fc.property(cases, ({ shape, flat }) => {
          const data = encodeJsonData('x', datatype, shape, flat);
          const tensor = { name: 'x', datatype, shape, data };
          checkLayout(tensor);
          expect(JSON.parse(jsonDataText(tensor))).toEqual(flat);
          expect(encodeJsonData('x', datatype, shape, nest(flat, shape))).toEqual(data);
        }),
        { numRuns: 200 },
      );
    });
  }

  it('is little-endian, row-major', () => {
    // 258 = 0x0102, −2 = 0xFFFE
    expect([...encodeJsonData('x', 'INT16', [2, 1], [[258], [-2]])]).toEqual([0x02, 0x01, 0xfe, 0xff]);
    expect([...encodeJsonData('x', 'BYTES', [2], ['é', ''])]).toEqual([2, 0, 0, 0, 0xc3, 0xa9, 0, 0, 0, 0]);
  });

  it('carries 64-bit integers beyond 2^53 as strings in and as all their digits out', () => {
    const data = encodeJsonData('x', 'INT64', [2], ['9223372036854775807', '-9223372036854775808']);
    expect(jsonDataText({ name: 'x', datatype: 'INT64', shape: [2], data })).toBe(
      '[9223372036854775807,-9223372036854775808]',
    );
    const unsigned = encodeJsonData('x', 'UINT64', [1], ['18446744073709551615']);
    expect(jsonDataText({ name: 'x', datatype: 'UINT64', shape: [1], data: unsigned })).toBe('[18446744073709551615]');
  });

  it('refuses a 64-bit number that JSON.parse has rounded, instead of using the rounded one', () => {
    expect(failureOf(() => encodeJsonData('x', 'INT64', [1], [2 ** 53]))).toMatch(/string of digits/);
  });

  it('carries NaN and the infinities as strings both ways, and keeps −0', () => {
    const values = ['NaN', 'Infinity', '-Infinity', -0, 1.5];
    for (const datatype of ['FP32', 'FP64'] as const) {
      const data = encodeJsonData('x', datatype, [5], values);
      expect(JSON.parse(jsonDataText({ name: 'x', datatype, shape: [5], data }))).toEqual(values);
    }
  });

  it.each<[Datatype, unknown]>([
    ['UINT8', 256],
    ['UINT8', -1],
    ['INT8', 128],
    ['INT8', -129],
    ['UINT16', 65_536],
    ['INT16', 32_768],
    ['UINT32', 4_294_967_296],
    ['INT32', 2_147_483_648],
    ['INT32', 1.5],
    ['INT32', '1'],
    ['INT64', '9223372036854775808'],
    ['INT64', '1e3'],
    ['INT64', ''],
    ['UINT64', '-1'],
    ['UINT64', -1],
    ['FP32', 3.5e38],
    ['FP32', '1.5'],
    ['FP32', null],
    ['FP64', Number.POSITIVE_INFINITY],
    ['FP64', true],
    ['BOOL', 1],
    ['BOOL', 'true'],
    ['BYTES', 7],
    ['BYTES', '\ud800'],
    ['FP32', [1]],
  ])('%s refuses %j, naming tensor, place and value', (datatype, value) => {
    expect(failureOf(() => encodeJsonData('pixels', datatype, [1], [value]))).toMatch(
      new RegExp(`^tensor 'pixels': ${datatype} element 0: expected .+, got .+$`),
    );
  });

  it('says nothing of a huge wrong value but its beginning', () => {
    expect(failureOf(() => encodeJsonData('x', 'FP32', [1], ['z'.repeat(100_000)])).length).toBeLessThan(200);
  });

  it.each(['FP16', 'BF16'] as const)('refuses %s, which the protocol gives no JSON form', (datatype) => {
    expect(failureOf(() => encodeJsonData('x', datatype, [1], [1]))).toMatch(
      `tensor 'x': JSON cannot carry ${datatype}, send it as binary data`,
    );
    expect(failureOf(() => jsonDataText({ name: 'y', datatype, shape: [1], data: new Uint8Array(2) }))).toMatch(
      `tensor 'y': JSON cannot carry ${datatype}, ask for it with "binary_data": true`,
    );
  });

  it('takes a scalar as the bare element or as an array of one, and writes an array of one', () => {
    for (const data of [2.5, [2.5]]) {
      const bytes = encodeJsonData('x', 'FP32', [], data);
      expect(jsonDataText({ name: 'x', datatype: 'FP32', shape: [], data: bytes })).toBe('[2.5]');
    }
    expect([...encodeJsonData('x', 'BYTES', [], 'é')]).toEqual([2, 0, 0, 0, 0xc3, 0xa9]);
    expect(failureOf(() => encodeJsonData('x', 'FP32', [1], 2.5))).toBe("tensor 'x': data must be an array");
    expect(failureOf(() => encodeJsonData('x', 'FP32', [], undefined))).toBe("tensor 'x': data must be an array");
    expect(failureOf(() => encodeJsonData('x', 'FP32', [], null))).toMatch('element 0: expected a number');
    expect(failureOf(() => encodeJsonData('x', 'FP32', [], [1, 2]))).toMatch('takes 1 elements, got 2');
  });

  it('keeps NUL, and every other character, of a string', () => {
    // 'a', NUL, 'b', U+FEFF, U+10FFFF: 1 + 1 + 1 + 3 + 4 bytes.
    const text = 'a\0b\ufeff\u{10ffff}';
    const data = encodeJsonData('x', 'BYTES', [1], [text]);
    expect(data.length).toBe(4 + 10);
    expect(JSON.parse(jsonDataText({ name: 'x', datatype: 'BYTES', shape: [1], data }))).toEqual([text]);
  });

  it('refuses to write BYTES that are not UTF-8', () => {
    const data = Uint8Array.of(1, 0, 0, 0, 0xff);
    expect(failureOf(() => jsonDataText({ name: 'y', datatype: 'BYTES', shape: [1], data }))).toMatch(/not UTF-8/);
  });

  it.each<[string, readonly number[], unknown]>([
    ['too few', [3], [1, 2]],
    ['too many', [1], [1, 2]],
    ['no array', [1], 1],
    ['absent', [1], undefined],
    ['a ragged row', [2, 2], [[1, 2], [3]]],
    ['too deep', [2], [[1], [2]]],
    ['transposed', [2, 3], [[1, 2], [3, 4], [5, 6]]], // prettier-ignore
    ['half nested', [2, 1, 2], [[1, 2], [3, 4]]], // prettier-ignore
    ['far more claimed than sent', [1_000_000, 1_000_000], [[1]]],
  ])('refuses data that does not fit its shape: %s', (_, shape, data) => {
    expect(failureOf(() => encodeJsonData('x', 'FP32', shape, data))).toMatch(/^tensor 'x': /);
  });

  it('reads tensors that are not aligned in their buffer', () => {
    const bytes = new Uint8Array(9);
    bytes.set(encodeJsonData('x', 'FP64', [1], [0.1]), 1);
    expect(jsonDataText({ name: 'x', datatype: 'FP64', shape: [1], data: bytes.subarray(1) })).toBe('[0.1]');
  });
});
