import { COMMA, MINUS, ZERO } from './bytes.js';
import type { JsonText } from './text.js';

/** What a typed array is read with, whatever its elements are. */
interface NumberArray {
  readonly length: number;
  subarray(from: number, to: number): ArrayLike<number>;
}

/** Elements are gathered here, since reading seven kinds of arrays one by one takes longer. Nothing waits while it is used. */
const CHUNK = new Float64Array(512);

/** Of "-9223372036854775808,", the longest there is, and three written beyond the end. */
const MAX_INTEGER_BYTES = 24;

/** "0000" … "9999", the first character being the lowest byte. */
export const FOUR_DIGITS = Uint32Array.from({ length: 10_000 }, (_, value) =>
  Buffer.from(String(value).padStart(4, '0')).readUInt32LE(),
);

/** Elements with commas between them. */
export function writeIntegers(text: JsonText, values: NumberArray): void {
  text.reserve(0);
  const since = text.length;
  for (let from = 0; from < values.length; from += CHUNK.length) {
    const count = Math.min(CHUNK.length, values.length - from);
    CHUNK.set(values.subarray(from, from + count));
    text.reserve(count * MAX_INTEGER_BYTES, since, from / values.length);
    const { buffer, view } = text;
    let at = text.length;
    for (let index = 0; index < count; index++) {
      const value = CHUNK[index]!;
      if (from + index > 0) buffer[at++] = COMMA;
      if (value < 0) buffer[at++] = MINUS;
      at = writeDigits(buffer, view, at, Math.abs(value));
    }
    text.length = at;
  }
}

/** 64-bit integers, as plain numbers with all their digits. */
export function writeLongs(text: JsonText, values: BigInt64Array | BigUint64Array): void {
  const words = new Uint32Array(values.buffer, values.byteOffset, 2 * values.length);
  const isSigned = values instanceof BigInt64Array;
  text.reserve(0);
  const since = text.length;
  for (let from = 0; from < values.length; from += CHUNK.length) {
    const to = Math.min(values.length, from + CHUNK.length);
    text.reserve((to - from) * MAX_INTEGER_BYTES, since, from / values.length);
    const { buffer, view } = text;
    let at = text.length;
    for (let index = from; index < to; index++) {
      if (index > 0) buffer[at++] = COMMA;
      const high = isSigned ? words[2 * index + 1]! | 0 : words[2 * index + 1]!;
      const value = high * 2 ** 32 + words[2 * index]!;
      if (Number.isSafeInteger(value)) {
        if (value < 0) buffer[at++] = MINUS;
        at = writeDigits(buffer, view, at, Math.abs(value));
      } else {
        at += buffer.write(String(values[index]), at, 'latin1');
      }
    }
    text.length = at;
  }
}

/**
 * @param value a whole number from 0 to 2^53 − 1
 * @returns the place behind its digits; up to three bytes from there on are overwritten
 */
export function writeDigits(buffer: Buffer, view: DataView, start: number, value: number): number {
  if (value < 10) {
    buffer[start] = ZERO + value;
    return start + 1;
  }
  if (value < 10_000) return writeLeading(view, start, value);
  if (value < 1e8) {
    const high = (value / 1e4) | 0;
    const at = writeLeading(view, start, high);
    view.setUint32(at, FOUR_DIGITS[value - high * 1e4]!, true);
    return at + 4;
  }
  const high = Math.floor(value / 1e8);
  const low = value - high * 1e8;
  const middle = (low / 1e4) | 0;
  const at = writeDigits(buffer, view, start, high);
  view.setUint32(at, FOUR_DIGITS[middle]!, true);
  view.setUint32(at + 4, FOUR_DIGITS[low - middle * 1e4]!, true);
  return at + 8;
}

/** Up to four digits without the zeros in front. @param value from 1 on */
function writeLeading(view: DataView, start: number, value: number): number {
  const digits = value < 10 ? 1 : value < 100 ? 2 : value < 1000 ? 3 : 4;
  // The digits asked for are moved to the lowest bytes; what comes behind them is overwritten or lies beyond the end.
  view.setUint32(start, FOUR_DIGITS[value]! >>> (8 * (4 - digits)), true);
  return start + digits;
}
