/*
 * Tensor data in JSON ↔ the binary layout (`tensor-layout.ts`).
 *
 * JSON → layout is exact or refused: nothing is rounded, wrapped or guessed. What JSON numbers cannot say follows the
 * JSON mapping of Protocol Buffers (protobuf.dev/programming-guides/json): 64-bit integers beyond ±(2^53 − 1) are taken
 * as decimal strings, and NaN and the infinities are the strings "NaN", "Infinity" and "-Infinity", both ways. Where the text
 * itself is read (`json/`), the integers may be numbers too: only `JSON.parse` rounds them. Going in NaN and the infinities may be
 * bare, as Python writes them; what comes out is strict JSON.
 * 64-bit results are written as plain numbers with all their digits, as Triton does.
 * FP16 and BF16 have no JSON form in the protocol. BYTES elements are UTF-8 strings.
 *
 * Multi-byte elements are written through typed arrays, which have the host's byte order: little-endian on every
 * platform ONNX Runtime's Node binding is built for (x64, arm64).
 */
import { ELEMENT_BYTES, elementCount } from '../scheduler/domain/tensor.js';
import type { Datatype, Tensor } from '../scheduler/domain/tensor.js';
import { invalid, type OipFailure } from './service.js';
import { DECIMAL_INTEGER } from './json/element-rows.js';
import { JsonText } from './json/text.js';
import { writeJsonData } from './json/write-data.js';
import { packBytes } from './tensor-layout.js';

/**
 * One input's `data` in the binary layout.
 * @param data an array: flat in row-major order, or nested exactly as `shape` says; of a scalar also the bare element
 * @param shape as checked by `checkShape`
 * @throws OipFailure `invalid` naming the tensor, what was expected and what came
 */
export function encodeJsonData(name: string, datatype: Datatype, shape: readonly number[], data: unknown): Uint8Array {
  if (datatype === 'FP16' || datatype === 'BF16') {
    throw invalid(`tensor '${name}': JSON cannot carry ${datatype}, send it as binary data`);
  }
  const rows = collectRows(name, shape, data);
  if (datatype === 'BYTES') return encodeStrings(name, rows);
  // Bounded by what was sent: every element is there in `rows`.
  const bytes = new Uint8Array(elementCount(shape) * ELEMENT_BYTES[datatype]);
  const write = rowWriter(name, datatype, bytes.buffer);
  let offset = 0;
  for (const row of rows) {
    write(row, offset);
    offset += row.length;
  }
  return bytes;
}

/**
 * Says what is wrong with data of which the elements before one are right.
 * @param data whose structure may be wrong as well
 * @param index of the element in row-major order
 * @throws OipFailure as `encodeJsonData` does
 */
export function checkElement(
  name: string,
  datatype: Exclude<Datatype, 'FP16' | 'BF16' | 'BYTES'>,
  shape: readonly number[],
  data: unknown,
  index: number,
): void {
  const element = collectRows(name, shape, data).flat()[index];
  if (element === undefined) return;
  // Its place is the one it has in the whole; what it would become is not kept.
  rowWriter(name, datatype, new ArrayBuffer(0))([element], index);
}

/**
 * JSON text of a tensor's `data`: a flat array in row-major order, also of a scalar's one element.
 * @throws OipFailure `invalid` where JSON cannot carry it: FP16, and BYTES that are not UTF-8
 */
export function jsonDataText(tensor: Tensor): string {
  const text = new JsonText();
  writeJsonData(text, tensor);
  return Buffer.from(text.bytes()).toString('utf8');
}

type Row = readonly unknown[];

/** The innermost arrays of `data` in order; checks every length on the way down. */
function collectRows(name: string, shape: readonly number[], data: unknown): readonly Row[] {
  const count = elementCount(shape);
  if (shape.length === 0 && data !== undefined && !Array.isArray(data)) return [[data]];
  if (!Array.isArray(data)) {
    throw invalid(`tensor '${name}': data must be an array`);
  }
  const isNested = shape.length > 1 && Array.isArray(data[0]);
  if (!isNested) {
    if (data.length === count) return [data];
    throw invalid(`tensor '${name}': shape [${shape.join(', ')}] takes ${count} elements, got ${data.length}`);
  }
  const rows: Row[] = [];
  collectNestedRows(name, shape, data, 0, rows);
  return rows;
}

function collectNestedRows(name: string, shape: readonly number[], data: unknown, axis: number, rows: Row[]): void {
  const size = shape[axis]!;
  if (!Array.isArray(data) || data.length !== size) {
    const got = Array.isArray(data) ? `${data.length} entries` : typeof data;
    throw invalid(
      `tensor '${name}': data is not nested as shape [${shape.join(', ')}] says: on axis ${axis} expected ${size} entries, got ${got}`,
    );
  }
  if (axis === shape.length - 1) {
    rows.push(data);
    return;
  }
  for (const inner of data) collectNestedRows(name, shape, inner, axis + 1, rows);
}

type RowWriter = (row: Row, offset: number) => void;

function rowWriter(
  name: string,
  datatype: Exclude<Datatype, 'FP16' | 'BF16' | 'BYTES'>,
  buffer: ArrayBuffer,
): RowWriter {
  switch (datatype) {
    case 'BOOL':
      return booleanWriter(name, new Uint8Array(buffer));
    case 'FP32':
      return floatWriter(name, datatype, new Float32Array(buffer));
    case 'FP64':
      return floatWriter(name, datatype, new Float64Array(buffer));
    case 'UINT64':
      return longWriter(name, datatype, new BigUint64Array(buffer));
    case 'INT64':
      return longWriter(name, datatype, new BigInt64Array(buffer));
    case 'UINT8':
    case 'INT8':
    case 'UINT16':
    case 'INT16':
    case 'UINT32':
    case 'INT32':
      return integerWriter(name, datatype, new INTEGERS[datatype].array(buffer));
  }
}

function booleanWriter(name: string, out: Uint8Array): RowWriter {
  return (row, offset) => {
    for (let i = 0; i < row.length; i++) {
      const value = row[i];
      if (typeof value !== 'boolean') throw badElement(name, offset + i, 'BOOL', 'true or false', value);
      out[offset + i] = value ? 1 : 0;
    }
  };
}

export const INTEGERS = {
  UINT8: { array: Uint8Array, min: 0, max: 2 ** 8 - 1 },
  INT8: { array: Int8Array, min: -(2 ** 7), max: 2 ** 7 - 1 },
  UINT16: { array: Uint16Array, min: 0, max: 2 ** 16 - 1 },
  INT16: { array: Int16Array, min: -(2 ** 15), max: 2 ** 15 - 1 },
  UINT32: { array: Uint32Array, min: 0, max: 2 ** 32 - 1 },
  INT32: { array: Int32Array, min: -(2 ** 31), max: 2 ** 31 - 1 },
  UINT64: { array: BigUint64Array, min: 0n, max: 2n ** 64n - 1n },
  INT64: { array: BigInt64Array, min: -(2n ** 63n), max: 2n ** 63n - 1n },
} as const;

type SmallInteger = Exclude<keyof typeof INTEGERS, 'UINT64' | 'INT64'>;

function integerWriter(name: string, datatype: SmallInteger, out: SmallArray): RowWriter {
  const { min, max } = INTEGERS[datatype];
  return (row, offset) => {
    for (let i = 0; i < row.length; i++) {
      const value = row[i];
      if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
        throw badElement(name, offset + i, datatype, `an integer from ${min} to ${max}`, value);
      }
      out[offset + i] = value;
    }
  };
}

type SmallArray = Int32Array | Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array;

function longWriter(name: string, datatype: 'UINT64' | 'INT64', out: BigUint64Array | BigInt64Array): RowWriter {
  const { min, max } = INTEGERS[datatype];
  return (row, offset) => {
    for (let i = 0; i < row.length; i++) {
      const value = row[i];
      const integer = exactInteger(value);
      if (integer === null || integer < min || integer > max) {
        const range = `an integer from ${min} to ${max}; beyond ±(2^53 − 1) as a string of digits or as binary data`;
        throw badElement(name, offset + i, datatype, range, value);
      }
      out[offset + i] = integer;
    }
  };
}

/** Null unless it is an integer that survived JSON.parse unrounded. */
function exactInteger(value: unknown): bigint | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : null;
  return typeof value === 'string' && DECIMAL_INTEGER.test(value) ? BigInt(value) : null;
}

const NON_FINITE: ReadonlyMap<unknown, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

function floatWriter(name: string, datatype: 'FP32' | 'FP64', out: Float32Array | Float64Array): RowWriter {
  return (row, offset) => {
    for (let i = 0; i < row.length; i++) {
      const value = row[i];
      if (typeof value === 'number') {
        out[offset + i] = value;
        // Beyond the datatype's range it is stored as an infinity (JSON.parse makes 1e999 one).
        if (Number.isFinite(datatype === 'FP32' ? Math.fround(value) : value)) continue;
      } else {
        const special = NON_FINITE.get(value);
        if (special !== undefined) {
          out[offset + i] = special;
          continue;
        }
      }
      throw badElement(name, offset + i, datatype, 'a number in its range, "NaN", "Infinity" or "-Infinity"', value);
    }
  };
}

/** Half of a surrogate pair, which UTF-8 has no form for. */
const LONE_SURROGATE = /\p{Surrogate}/u;

function encodeStrings(name: string, rows: readonly Row[]): Uint8Array {
  const encoder = new TextEncoder();
  const elements: Uint8Array[] = [];
  for (const value of rows.flat()) {
    if (typeof value !== 'string' || LONE_SURROGATE.test(value)) {
      throw badElement(name, elements.length, 'BYTES', 'a string of Unicode text', value);
    }
    elements.push(encoder.encode(value));
  }
  return packBytes(elements);
}

/** At most this much of a wrong value is shown back. */
const SHOWN_VALUE_CHARACTERS = 32;

function badElement(name: string, index: number, datatype: Datatype, expected: string, value: unknown): OipFailure {
  const isScalar = value === null || typeof value !== 'object';
  const got = isScalar ? JSON.stringify(value).slice(0, SHOWN_VALUE_CHARACTERS) : 'an array or object';
  return invalid(`tensor '${name}': ${datatype} element ${index}: expected ${expected}, got ${got}`);
}
