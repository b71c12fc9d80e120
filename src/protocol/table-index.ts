import type { TableIndex, Tensor } from '../scheduler/domain/tensor.js';

/*
 * Elements that are indices into a table of the model's. One that is outside fails in the model, and with it the batch that it is in, whose
 * other members then run again: so it is looked for before. 1 ns an element.
 */

interface Found {
  readonly value: number | bigint;
  /** In row-major order. */
  readonly position: number;
}

/** @param tensor INT32 or INT64. @returns the first element that is outside; null where there is none */
export function firstOutside({ datatype, data }: Tensor, { least, rows }: TableIndex): Found | null {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (datatype === 'INT32') {
    for (let at = 0; at + 4 <= data.byteLength; at += 4) {
      const value = view.getInt32(at, true);
      if (value >= rows || value < least) return { value, position: at / 4 };
    }
    return null;
  }
  for (let at = 0; at + 8 <= data.byteLength; at += 8) {
    const low = view.getUint32(at, true);
    const high = view.getInt32(at + 4, true);
    // Tables are shorter than 2³² rows: above, all bits are those of a sign.
    const isInside = high === 0 ? low < rows : high === -1 && low - 2 ** 32 >= least;
    if (!isInside) return { value: view.getBigInt64(at, true), position: at / 8 };
  }
  return null;
}
