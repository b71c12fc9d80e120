import { ELEMENT_BYTES, elementCount, type Tensor } from '../../scheduler/domain/tensor.js';
import { bytesElementOffsets } from '../../scheduler/domain/bytes-elements.js';

/*
 * Members of a batch share every axis but the first: their inputs are laid end to end along it, and each output is cut
 * at the same rows. A batch of one passes through untouched, whatever its shapes.
 */

/** A batch that cannot be put together or taken apart; the message is for the client. */
export class BatchError extends Error {
  override readonly name = 'BatchError';
}

/**
 * The rows that each member takes along the first axis.
 * @throws BatchError when a member's inputs disagree, or one is a scalar
 */
export function rowCounts(members: readonly (readonly Tensor[])[]): number[] {
  return members.map((inputs) => {
    const rows = inputs[0]?.shape[0];
    if (rows === undefined || inputs.some((input) => input.shape[0] !== rows)) {
      throw new BatchError('inputs of one request differ in their first axis and cannot share a batch');
    }
    return rows;
  });
}

/** The inputs of the whole batch: [Σ rows, …rest] each, in one new buffer per input; a single member's own otherwise. */
export function concatenateInputs(members: readonly (readonly Tensor[])[]): readonly Tensor[] {
  const [first] = members;
  if (first === undefined) throw new BatchError('empty batch');
  if (members.length === 1) return first;
  const totalRows = rowCounts(members).reduce((sum, rows) => sum + rows, 0);
  return first.map(({ name, datatype, shape }) => {
    const parts = members.map((inputs) => {
      const part = inputs.find((input) => input.name === name);
      if (part === undefined) throw new BatchError(`a request of this batch lacks the input '${name}'`);
      return part.data;
    });
    const data = Buffer.allocUnsafeSlow(parts.reduce((sum, part) => sum + part.byteLength, 0));
    let offset = 0;
    for (const part of parts) {
      data.set(part, offset);
      offset += part.byteLength;
    }
    return { name, datatype, shape: [totalRows, ...shape.slice(1)], data };
  });
}

/**
 * One output's rows for each member, as views.
 * @throws BatchError when the output does not have one row per input row: then the model cannot be batched
 */
export function splitOutput(output: Tensor, rows: readonly number[]): Tensor[] {
  if (rows.length === 1) return [output];
  const totalRows = rows.reduce((sum, count) => sum + count, 0);
  if (output.shape[0] !== totalRows) {
    throw new BatchError(`output '${output.name}' has shape [${output.shape.join(', ')}] for ${totalRows} input rows`);
  }
  const rest = output.shape.slice(1);
  const elementsPerRow = elementCount(rest);
  const offsets = output.datatype === 'BYTES' ? bytesElementOffsets(output.data, totalRows * elementsPerRow) : null;
  const byteAt = (row: number): number =>
    offsets === null ? row * elementsPerRow * ELEMENT_BYTES[output.datatype] : offsets[row * elementsPerRow]!;
  let row = 0;
  return rows.map((count) => {
    const data = output.data.subarray(byteAt(row), byteAt(row + count));
    row += count;
    return { name: output.name, datatype: output.datatype, shape: [count, ...rest], data };
  });
}
