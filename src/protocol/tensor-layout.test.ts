import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DATATYPES, ELEMENT_BYTES, elementCount } from '../scheduler/domain/tensor.js';
import { checkDatatype, checkLayout, checkShape, packBytes, unpackBytes } from './tensor-layout.js';

describe('checkShape', () => {
  it('takes scalars, empty axes and large sizes', () => {
    for (const shape of [[], [0], [2, 3], [Number.MAX_SAFE_INTEGER], [0, 3, 1024, 1024], [2 ** 26, 0]])
      expect(checkShape('x', shape)).toEqual(shape);
  });

  it.each([
    ['no array', '2'],
    ['absent', undefined],
    ['negative', [-1]],
    ['fractional', [1.5]],
    ['text', ['2']],
    ['null', [null]],
    ['not a safe integer', [2 ** 53]],
    ['NaN', [Number.NaN]],
    ['overflowing', [2 ** 30, 2 ** 30]],
    ['overflowing behind an empty axis', [2 ** 30, 2 ** 30, 0]],
    ['empty, with other sizes that nobody could send', [2 ** 26 + 1, 0]],
    ['empty, with other sizes that nobody could send together', [2 ** 13, 0, 2 ** 14]],
    ['33 axes', Array.from({ length: 33 }, () => 1)],
  ])('refuses a shape that is %s', (_, shape) => {
    expect(() => checkShape('x', shape)).toThrow(/^tensor 'x': /);
  });
});

describe('checkDatatype', () => {
  it('knows the protocol’s datatypes', () => {
    for (const datatype of DATATYPES) expect(checkDatatype('x', datatype)).toBe(datatype);
    for (const datatype of ['FP8', 'fp32', '', undefined, 3]) {
      expect(() => checkDatatype('x', datatype)).toThrow(/is not one of BOOL/);
    }
  });
});

describe('checkLayout', () => {
  it('takes exactly the bytes that shape and datatype call for', () => {
    for (const datatype of DATATYPES) {
      if (datatype === 'BYTES') continue;
      const shape = [2, 3];
      const byteCount = elementCount(shape) * ELEMENT_BYTES[datatype];
      checkLayout({ name: 'x', datatype, shape, data: new Uint8Array(byteCount) });
      for (const wrong of [byteCount - 1, byteCount + 1, 0]) {
        expect(() => checkLayout({ name: 'x', datatype, shape, data: new Uint8Array(wrong) })).toThrow(
          `tensor 'x': ${datatype} [2, 3] takes ${byteCount} bytes, got ${wrong}`,
        );
      }
    }
  });

  it('finds a BOOL byte other than 0 and 1 wherever it is, aligned or not', () => {
    const buffer = new ArrayBuffer(64);
    for (let start = 0; start < 6; start++) {
      for (let length = 1; length < 14; length++) {
        const data = new Uint8Array(buffer, start, length).fill(1);
        const check = (): void => checkLayout({ name: 'x', datatype: 'BOOL', shape: [length], data });
        expect(check).not.toThrow();
        for (const place of [0, length - 1]) {
          data[place] = 128;
          expect(check).toThrow(/0 or 1/);
          data[place] = 0;
        }
      }
    }
  });

  it('refuses BOOL bytes other than 0 and 1', () => {
    expect(() => checkLayout({ name: 'x', datatype: 'BOOL', shape: [2], data: Uint8Array.of(1, 2) })).toThrow(/0 or 1/);
  });

  it.each([
    ['a prefix cut short', [3, 0, 0]],
    ['an element cut short', [3, 0, 0, 0, 65, 66]],
    ['a prefix of 4 GiB', [255, 255, 255, 255, 65]],
    ['one element too many', [1, 0, 0, 0, 65, 0, 0, 0, 0]],
    ['none', []],
  ])('walks BYTES and refuses %s', (_, bytes) => {
    const data = Uint8Array.from(bytes);
    expect(() => checkLayout({ name: 'x', datatype: 'BYTES', shape: [1], data })).toThrow(/^tensor 'x': .*BYTES/);
  });

  it('BYTES elements come back as they went in', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), (elements) => {
        const data = packBytes(elements);
        checkLayout({ name: 'x', datatype: 'BYTES', shape: [elements.length], data });
        expect(unpackBytes(data).map((element) => [...element])).toEqual(elements.map((element) => [...element]));
      }),
    );
  });
});
