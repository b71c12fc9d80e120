import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { BatchError, concatenateInputs, rowCounts, splitOutput } from './batch-tensors.js';
import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';

function int32(name: string, rows: readonly (readonly [number, number])[]): Tensor {
  return {
    name,
    datatype: 'INT32',
    shape: [rows.length, 2],
    data: new Uint8Array(Int32Array.from(rows.flat()).buffer),
  };
}

function strings(name: string, shape: readonly number[], elements: readonly string[]): Tensor {
  return { name, datatype: 'BYTES', shape, data: encodeStrings(elements) };
}

const plain = (tensor: Tensor): object => ({ ...tensor, data: [...tensor.data] });

describe('a batch', () => {
  it('gives back to each member what it put in, for any numbers of rows', () => {
    const row = fc.tuple(fc.integer({ min: -5, max: 5 }), fc.integer({ min: -5, max: 5 }));
    const member = fc.array(fc.tuple(row, fc.string()), { maxLength: 3 });
    fc.assert(
      fc.property(fc.array(member, { minLength: 1, maxLength: 4 }), (members) => {
        const inputs = members.map((rows) => [
          int32(
            'number',
            rows.map(([pair]) => pair),
          ),
          strings(
            'text',
            [rows.length, 1],
            rows.map(([, text]) => text),
          ),
        ]);
        const rows = rowCounts(inputs);
        const parts = concatenateInputs(inputs).map((tensor) => splitOutput(tensor, rows));
        expect(members.map((_, slot) => parts.map((part) => plain(part[slot]!)))).toEqual(
          inputs.map((tensors) => tensors.map(plain)),
        );
      }),
    );
  });

  it('of one passes its tensors on uncopied, whatever their shapes', () => {
    const inputs = [int32('a', [[1, 2]]), strings('b', [], ['scalar'])];
    expect(concatenateInputs([inputs])).toBe(inputs);
    expect(splitOutput(inputs[1]!, [1])[0]).toBe(inputs[1]);
  });

  it('finds inputs by name, in whatever order a member has them', () => {
    const [a, b] = [int32('a', [[1, 2]]), int32('b', [[3, 4]])];
    const [first] = concatenateInputs([
      [a, b],
      [b, a],
    ]);
    expect(plain(first!)).toEqual(
      plain(
        int32('a', [
          [1, 2],
          [1, 2],
        ]),
      ),
    );
  });

  it('refuses members whose inputs differ in rows or are missing, and outputs without a row per input row', () => {
    const one = int32('a', [[1, 2]]);
    expect(() => rowCounts([[one, int32('b', [])]])).toThrow(BatchError);
    expect(() => concatenateInputs([[one], [int32('b', [[1, 2]])]])).toThrow("lacks the input 'a'");
    // Two members of one row each, but an output of one row.
    expect(() => splitOutput(one, [1, 1])).toThrow("output 'a' has shape [1, 2] for 2 input rows");
  });
});
