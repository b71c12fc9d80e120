import { bytesElementOffsets } from '../domain/bytes-elements.js';
import { ELEMENT_BYTES, elementCount, type Tensor } from '../domain/tensor.js';

/*
 * A tensor cut into its rows, and parts put together again. Rows are views: nothing is copied. What is put together is, unless it is one part.
 */

/** @returns one tensor of one row for each; null for a scalar, which has none */
export function rowsOf(tensor: Tensor): readonly Tensor[] | null {
  const [count, ...rest] = tensor.shape;
  if (count === undefined) return null;
  const ends = rowEnds(tensor, count, elementCount(rest));
  // The views are lent by nobody: whoever has them holds the whole.
  const { name, datatype, data } = tensor;
  return ends.map((end, row) => ({
    name,
    datatype,
    shape: [1, ...rest],
    data: data.subarray(ends[row - 1] ?? 0, end),
  }));
}

/** In bytes, of each row. */
function rowEnds({ datatype, data }: Tensor, count: number, perRow: number): readonly number[] {
  if (datatype !== 'BYTES')
    return Array.from({ length: count }, (_, row) => (row + 1) * perRow * ELEMENT_BYTES[datatype]);
  const offsets = bytesElementOffsets(data, count * perRow);
  return Array.from({ length: count }, (_, row) => offsets[(row + 1) * perRow]!);
}

/** @returns the parts along their first axis; null where they are unlike in type or in another axis, or there are none */
export function joined(name: string, parts: readonly Tensor[]): Tensor | null {
  const [first] = parts;
  if (first === undefined) return null;
  if (parts.length === 1) return { ...first, name };
  const [, ...rest] = first.shape;
  const isAlike = ({ datatype, shape }: Tensor): boolean =>
    datatype === first.datatype &&
    shape.length === rest.length + 1 &&
    rest.every((size, axis) => shape[axis + 1] === size);
  if (first.shape.length === 0 || !parts.every(isAlike)) return null;
  const data = new Uint8Array(parts.reduce((sum, part) => sum + part.data.byteLength, 0));
  let offset = 0;
  let rows = 0;
  for (const part of parts) {
    data.set(part.data, offset);
    offset += part.data.byteLength;
    rows += part.shape[0]!;
  }
  return { name, datatype: first.datatype, shape: [rows, ...rest], data };
}

/** Whether a condition holds: its first element is not 0. Text is true unless it is empty; without elements it is not. */
export function isTrue({ datatype, data }: Tensor): boolean {
  if (datatype === 'BYTES')
    return data.byteLength > 4 && new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true) > 0;
  // Of every number that is 0 all bytes are, but for the sign of a negative one.
  const element = data.subarray(0, ELEMENT_BYTES[datatype]);
  const isFloat = datatype.startsWith('FP') || datatype === 'BF16';
  return element.some((byte, index) => (isFloat && index === element.length - 1 ? byte & 0x7f : byte) !== 0);
}
