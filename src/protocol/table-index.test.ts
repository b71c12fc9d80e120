import { describe, expect, it } from 'vitest';
import { firstOutside } from './table-index.js';

const TABLE = { least: -8, rows: 8 };

function outside(values: readonly number[] | readonly bigint[], table = TABLE): object | null {
  const isLong = typeof values[0] === 'bigint';
  const own = isLong ? BigInt64Array.from(values as bigint[]) : Int32Array.from(values as number[]);
  // Not aligned, as tensors of a message may lie.
  const bytes = new Uint8Array(own.byteLength + 1);
  bytes.set(new Uint8Array(own.buffer), 1);
  const datatype = isLong ? ('INT64' as const) : ('INT32' as const);
  return firstOutside({ name: 'ids', datatype, shape: [values.length], data: bytes.subarray(1) }, table);
}

describe('an index into a table of 8 rows', () => {
  it('is one of them, counted from the start or the end', () => {
    expect(outside([0, 7, -1, -8])).toBeNull();
    expect(outside([0n, 7n, -1n, -8n])).toBeNull();
    expect(outside([])).toBeNull();
  });

  it.each([8, -9, 2 ** 31 - 1, -(2 ** 31)])('is not %s', (value) => {
    expect(outside([1, 2, value, 99])).toEqual({ value, position: 2 });
    expect(outside([1n, BigInt(value)])).toEqual({ value: BigInt(value), position: 1 });
  });

  it.each([2n ** 32n, 2n ** 32n + 3n, 2n ** 63n - 1n, -(2n ** 63n), -(2n ** 32n)])('is not %s either', (value) => {
    expect(outside([0n, value])).toEqual({ value, position: 1 });
  });

  it('is none from the end where there is no such', () => {
    expect(outside([-1], { least: 0, rows: 8 })).toEqual({ value: -1, position: 0 });
    expect(outside([-1n], { least: 0, rows: 8 })).toEqual({ value: -1n, position: 0 });
  });
});
