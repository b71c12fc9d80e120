import { ELEMENT_BYTES, elementCount } from '../../../domain/tensor.js';
import type { Datatype } from '../../../domain/tensor.js';
import { checkElement, encodeJsonData, INTEGERS } from '../tensor-codec.js';
import { CLOSE_ARRAY, COMMA, OPEN_ARRAY, skipSpace } from './bytes.js';
import { BooleanScanner, LongScanner } from './element-rows.js';
import { NumberScanner } from './number-rows.js';
import { WRONG } from './rows.js';
import type { RowScanner } from './rows.js';

/** The largest double that is rounded to a float, and not to an infinity: half a step beyond the largest float is too much. */
const MAX_SINGLE = 2 ** 128 - 2 ** 103 - 2 ** 75;

const SINGLE = { min: -MAX_SINGLE, max: MAX_SINGLE, isWhole: false, isSingle: true };
const DOUBLE = { min: -Number.MAX_VALUE, max: Number.MAX_VALUE, isWhole: false, isSingle: false };

/**
 * One input's `data` in the binary layout, from its text.
 * @param text of the JSON, in UTF-8
 * @param start of the array's opening bracket
 * @param end of the array: what is between is scanned to its last byte
 * @param parse a part of the text as JSON; throws where it is none
 * @throws what `parse` and `encodeJsonData` do
 */
export function readJsonData(
  { name, datatype, shape }: { name: string; datatype: Datatype; shape: readonly number[] },
  text: Uint8Array,
  { start, end }: { start: number; end: number },
  parse: (part: Uint8Array) => unknown,
): Uint8Array {
  const count = elementCount(shape);
  const isText = datatype === 'BYTES' || datatype === 'FP16' || datatype === 'BF16';
  // Every element takes two bytes of text, with what follows it. More must not be made room for.
  if (isText || 2 * count > end - start) return encodeJsonData(name, datatype, shape, parse(text.subarray(start, end)));
  const data = new Uint8Array(count * ELEMENT_BYTES[datatype]);
  const scanner = scannerOf(datatype, text, data.buffer);
  const isNested = shape.length > 1 && text[skipSpace(text, start + 1)] === OPEN_ARRAY;
  const scannedTo = isNested ? scanAxis(scanner, text, start, shape, 0) : scanner.scanRow(start, count);
  if (scannedTo !== end) {
    checkElement(name, datatype, shape, parse(text.subarray(start, end)), scanner.elementCount);
    throw new Error(`tensor '${name}': element ${scanner.elementCount} was not understood`);
  }
  scanner.finish();
  return data;
}

function scannerOf(
  datatype: Exclude<Datatype, 'BYTES' | 'FP16' | 'BF16'>,
  text: Uint8Array,
  buffer: ArrayBuffer,
): RowScanner {
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
