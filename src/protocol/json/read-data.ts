import { ELEMENT_BYTES, elementCount } from '../../scheduler/domain/tensor.js';
import type { Datatype } from '../../scheduler/domain/tensor.js';
import { INTEGERS } from '../tensor-codec.js';
import { CLOSE_ARRAY, COMMA, OPEN_ARRAY, skipSpace } from './bytes.js';
import { BooleanScanner, LongScanner } from './element-rows.js';
import { NumberScanner } from './number-rows.js';
import { WRONG } from './rows.js';
import type { RowScanner } from './rows.js';

/** The largest double that is rounded to a float, and not to an infinity: half a step beyond the largest float is too much. */
const MAX_SINGLE = 2 ** 128 - 2 ** 103 - 2 ** 75;

const SINGLE = { min: -MAX_SINGLE, max: MAX_SINGLE, isWhole: false, isSingle: true };
const DOUBLE = { min: -Number.MAX_VALUE, max: Number.MAX_VALUE, isWhole: false, isSingle: false };

export type ScannedDatatype = Exclude<Datatype, 'BYTES' | 'FP16' | 'BF16'>;

/** The data in the binary layout, or which element is wrong, unless there are too few or too many or they are nested otherwise. */
export type ScannedData =
  { readonly kind: 'read'; readonly data: Uint8Array } | { readonly kind: 'wrong'; readonly index: number };

/**
 * One input's `data` from its text.
 * @param text of the JSON, in UTF-8
 * @param place of the array; it is scanned to its last byte
 */
export function scanJsonData(
  datatype: ScannedDatatype,
  shape: readonly number[],
  text: Uint8Array,
  { start, end }: { start: number; end: number },
): ScannedData {
  const count = elementCount(shape);
  // Every element takes two bytes of text, with what follows it. More must not be made room for.
  if (2 * count > end - start) return { kind: 'wrong', index: 0 };
  const data = new Uint8Array(count * ELEMENT_BYTES[datatype]);
  const scanner = scannerOf(datatype, text, data.buffer);
  const isNested = shape.length > 1 && text[skipSpace(text, start + 1)] === OPEN_ARRAY;
  const scannedTo = isNested ? scanAxis(scanner, text, start, shape, 0) : scanner.scanRow(start, count);
  if (scannedTo !== end) return { kind: 'wrong', index: scanner.elementCount };
  scanner.finish();
  return { kind: 'read', data };
}

function scannerOf(datatype: ScannedDatatype, text: Uint8Array, buffer: ArrayBuffer): RowScanner {
  switch (datatype) {
    case 'BOOL':
      return new BooleanScanner(text, new Uint8Array(buffer));
    case 'FP32':
      return new NumberScanner(text, new Float32Array(buffer), SINGLE);
    case 'FP64':
      return new NumberScanner(text, new Float64Array(buffer), DOUBLE);
    case 'UINT64':
      return new LongScanner(text, new BigUint64Array(buffer), INTEGERS.UINT64);
    case 'INT64':
      return new LongScanner(text, new BigInt64Array(buffer), INTEGERS.INT64);
    case 'UINT8':
    case 'INT8':
    case 'UINT16':
    case 'INT16':
    case 'UINT32':
    case 'INT32': {
      const { array, min, max } = INTEGERS[datatype];
      return new NumberScanner(text, new array(buffer), { min, max, isWhole: true, isSingle: false });
    }
  }
}

/** Arrays nested exactly as the shape says. @returns the place behind the one that begins at `start`, or `WRONG` */
function scanAxis(
  scanner: RowScanner,
  text: Uint8Array,
  start: number,
  shape: readonly number[],
  axis: number,
): number {
  const size = shape[axis]!;
  if (axis === shape.length - 1) return scanner.scanRow(start, size);
  if (text[start] !== OPEN_ARRAY) return WRONG;
  let at = skipSpace(text, start + 1);
  for (let index = 0; index < size; index++) {
    if (index > 0) {
      if (text[at] !== COMMA) return WRONG;
      at = skipSpace(text, at + 1);
    }
    at = scanAxis(scanner, text, at, shape, axis + 1);
    if (at === WRONG) return WRONG;
    at = skipSpace(text, at);
  }
  return text[at] === CLOSE_ARRAY ? at + 1 : WRONG;
}
