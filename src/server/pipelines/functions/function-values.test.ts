import { describe, expect, it } from 'vitest';
import { encodeStrings } from '../../../scheduler/domain/bytes-elements.js';
import { DATATYPES, ELEMENT_BYTES, type Tensor } from '../../../scheduler/domain/tensor.js';
import { functionTensorOf, sentFrom, sentOf, type SentTensor } from './function-values.js';

const declared = { name: 'y', datatype: 'FP32', shape: [-1, 2], isList: false } as const;

describe('tensors of functions', () => {
  it.each(DATATYPES.filter((datatype) => datatype !== 'BYTES'))('come and go as they are: %s', (datatype) => {
    // Not aligned, as in a body.
    const data = Uint8Array.from({ length: 1 + 2 * ELEMENT_BYTES[datatype] }, (_, index) => index % 2).subarray(1);
    const tensor: Tensor = { name: 'x', datatype, shape: [2], data };
    const sent = sentOf(tensor);
    expect(sent.bytes.buffer).not.toBe(data.buffer);
    const given = functionTensorOf(sent);
    const back = sentFrom({ shape: given.shape, data: given.data }, { name: 'x', datatype, shape: [2], isList: false });
    expect((back as SentTensor).bytes).toEqual(new Uint8Array(data));
  });

  it('have texts as arrays of bytes, and take strings', () => {
    const data = encodeStrings(['é', '', 'abc']);
    const given = functionTensorOf(sentOf({ name: 'x', datatype: 'BYTES', shape: [3], data }));
    expect(given.data).toEqual([Uint8Array.of(0xc3, 0xa9), new Uint8Array(), Uint8Array.of(97, 98, 99)]);
    const text = { name: 'x', datatype: 'BYTES', shape: [-1], isList: false } as const;
    expect((sentFrom({ shape: [3], data: given.data }, text) as SentTensor).bytes).toEqual(data);
    expect((sentFrom({ shape: [3], data: ['é', '', 'abc'] }, text) as SentTensor).bytes).toEqual(data);
  });

  it.each([
    [{ data: new Float32Array(2) }, "'y' has no shape: give { shape: [sizes], data }"],
    [{ shape: [2], data: new Float32Array(2) }, "'y' has the shape [2], and its pipeline says [-1, 2]"],
    [{ shape: [1, 2], data: [1, 2] }, "'y' is FP32: its data are a Float32Array"],
    [{ shape: [2, 2], data: new Float32Array(2) }, "'y' has 2 elements, and [2, 2] are 4"],
    [null, "'y' has no shape: give { shape: [sizes], data }"],
  ])('are told in one line what they should be: %j', (value, message) => {
    expect(() => sentFrom(value, declared)).toThrow(message);
  });

  it('are lists where the pipeline says so', () => {
    const list = { ...declared, isList: true };
    const one = { shape: [1, 2], data: new Float32Array(2) };
    expect(sentFrom([one, one], list)).toHaveLength(2);
    expect(() => sentFrom(one, list)).toThrow("'y' is a list, and it gave none");
    expect(() => sentFrom([one, { ...one, shape: [3] }], list)).toThrow("'y', part 2, has the shape [3]");
  });
});
