import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';
import { ELEMENT_BYTES, type Datatype } from '../../scheduler/domain/tensor.js';
import type { Prng } from '../../scheduler/random/prng.js';
import type { InputHint } from '../onnx/value-needs.js';

/** Both included. 64-bit ones as far as numbers are whole. */
const BOUNDS: Partial<Record<Datatype, readonly [least: number, most: number]>> = {
  BOOL: [0, 1],
  UINT8: [0, 2 ** 8 - 1],
  INT8: [-(2 ** 7), 2 ** 7 - 1],
  UINT16: [0, 2 ** 16 - 1],
  INT16: [-(2 ** 15), 2 ** 15 - 1],
  UINT32: [0, 2 ** 32 - 1],
  INT32: [-(2 ** 31), 2 ** 31 - 1],
  UINT64: [0, Number.MAX_SAFE_INTEGER],
  INT64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

/** Elements that keep to a hint, in the protocol's binary layout; a type that cannot hold a value gets its nearest one. */
export function hintedElements(hint: InputHint, datatype: Datatype, count: number, prng: Prng): Uint8Array {
  if (datatype === 'BYTES') {
    const textAt = (i: number): string => (hint.kind === 'text' ? hint.text : String(valueAt(hint, i, count, prng)));
    return encodeStrings(Array.from({ length: count }, (_, i) => textAt(i)));
  }
  const bytes = ELEMENT_BYTES[datatype];
  const data = new Uint8Array(count * bytes);
  const view = new DataView(data.buffer);
  const [least, most] = BOUNDS[datatype] ?? [-Infinity, Infinity];
  const isWhole = datatype in BOUNDS;
  for (let i = 0; i < count; i++) {
    const value = valueAt(hint, i, count, prng, isWhole);
    write(view, i * bytes, datatype, Math.min(most, Math.max(least, value)));
  }
  return data;
}

function valueAt(hint: InputHint, i: number, count: number, prng: Prng, isWhole = true): number {
  switch (hint.kind) {
    case 'range':
      return isWhole ? wholeIn(hint.least, hint.most, prng) : hint.least + prng.uniform() * (hint.most - hint.least);
    case 'count':
      return i === count - 1 && hint.last !== null ? hint.last : hint.first + hint.step * i;
    case 'list':
      return hint.values[Math.min(i, hint.values.length - 1)] ?? 0;
    case 'text':
      return Number(hint.text) || 0;
  }
}

function wholeIn(least: number, most: number, prng: Prng): number {
  const from = Math.ceil(least);
  const count = Math.floor(most) - from + 1;
  return from + prng.int(Math.max(1, Math.min(count, 2 ** 32)));
}

/** A type's bits are the same with and without a sign. */
function write(view: DataView, at: number, datatype: Exclude<Datatype, 'BYTES'>, value: number): void {
  switch (datatype) {
    case 'FP32':
      view.setFloat32(at, value, true);
      break;
    case 'FP64':
      view.setFloat64(at, value, true);
      break;
    case 'FP16':
      view.setUint16(at, halfOf(value), true);
      break;
    case 'BF16':
      view.setUint16(at, bitsOf(value) >>> 16, true);
      break;
    case 'INT64':
    case 'UINT64':
      view.setBigInt64(at, BigInt(Math.trunc(value)), true);
      break;
    case 'INT32':
    case 'UINT32':
      view.setInt32(at, value, true);
      break;
    case 'INT16':
    case 'UINT16':
      view.setInt16(at, value, true);
      break;
    case 'BOOL':
    case 'INT8':
    case 'UINT8':
      view.setInt8(at, value);
  }
}

function bitsOf(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return view.getUint32(0);
}

/**
 * IEEE 754 binary16 of a float32: its exponent moved from a bias of 127 to one of 15, its mantissa cut from 23 bits to 10, towards
 * zero. What is too small becomes 0, what is too large the largest finite number.
 */
function halfOf(value: number): number {
  const bits = bitsOf(value);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 127 + 15;
  if (exponent <= 0) return sign;
  return sign | (exponent > 30 ? 0x7bff : (exponent << 10) | ((bits >>> 13) & 0x3ff));
}
