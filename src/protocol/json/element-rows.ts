import { asciiText, CLOSE_ARRAY, COMMA, endOfString, MINUS, NINE, QUOTE, unquoted, ZERO } from './bytes.js';
import { ElementScanner, WRONG } from './rows.js';

/** 2^64 − 1 has as many. */
const MAX_DIGITS = 20;
/** Digits at the end that are gathered apart, so that both parts are small enough for what is done with them. */
const LOW_DIGITS = 9;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
/** Digits as a string may begin with zeros. */
export const DECIMAL_INTEGER = /^-?\d{1,20}$/;

/** 64-bit integers, with all their digits: as numbers, or as strings of digits. */
export class LongScanner extends ElementScanner {
  private readonly words: Uint32Array;
  private readonly min: bigint;
  private readonly max: bigint;

  constructor(text: Uint8Array, out: BigInt64Array | BigUint64Array, range: { min: bigint; max: bigint }) {
    super(text);
    this.words = new Uint32Array(out.buffer, out.byteOffset, 2 * out.length);
    this.min = range.min;
    this.max = range.max;
  }

  protected override scanElement(start: number, index: number): number {
    const { text } = this;
    const isNegative = text[start] === MINUS;
    const digitsAt = isNegative ? start + 1 : start;
    let end = digitsAt;
    while (text[end]! >= ZERO && text[end]! <= NINE) end += 1;
    const digits = end - digitsAt;
    const isPlain = digits > 0 && digits <= MAX_DIGITS && (digits === 1 || text[digitsAt] !== ZERO);
    if (!isPlain || !isEnd(text[end]!)) return this.scanOther(start, index);

    const lowAt = Math.max(digitsAt, end - LOW_DIGITS);
    const head = digitsOf(text, digitsAt, lowAt);
    // head · 10^9 + low = upper · 2^16 + the last 16 bits, every step of it below 2^53.
    const lower = (head % 0x10000) * 10 ** LOW_DIGITS + digitsOf(text, lowAt, end);
    const upper = Math.floor(head / 0x10000) * 10 ** LOW_DIGITS + Math.floor(lower / 0x10000);
    const low = (upper % 0x10000) * 0x10000 + (lower % 0x10000);
    const high = Math.floor(upper / 0x10000);
    return this.store(index, isNegative, high, low) ? end : WRONG;
  }

  /** @param high of the magnitude, in units of 2^32 @returns whether it is in range */
  private store(index: number, isNegative: boolean, high: number, low: number): boolean {
    const isZero = high === 0 && low === 0;
    if (this.min === 0n) {
      if (high >= 2 ** 32 || (isNegative && !isZero)) return false;
    } else if (high >= 2 ** 31 && !(isNegative && high === 2 ** 31 && low === 0)) return false;
    // Typed arrays take numbers modulo 2^32: of a negative one its complement.
    this.words[2 * index] = isNegative ? -low : low;
    this.words[2 * index + 1] = isNegative ? (low === 0 ? -high : -high - 1) : high;
    return true;
  }

  private scanOther(start: number, index: number): number {
    const { text } = this;
    const isString = text[start] === QUOTE;
    let end = isString ? endOfString(text, start + 1) + 1 : start;
    if (!isString) while (end < text.length && !isEnd(text[end]!)) end += 1;
    const integer = isString ? integerIn(unquoted(text, start, end)) : integerOf(asciiText(text, start, end));
    if (integer === null || integer < this.min || integer > this.max) return WRONG;
    const bits = BigInt.asUintN(64, integer);
    this.words[2 * index] = Number(bits & 0xffffffffn);
    this.words[2 * index + 1] = Number(bits >> 32n);
    return end;
  }
}

/** Up to eleven digits. */
function digitsOf(text: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) value = 10 * value + (text[at]! - ZERO);
  return value;
}

function integerIn(string: string | null): bigint | null {
  return string !== null && DECIMAL_INTEGER.test(string) ? BigInt(string) : null;
}

/** Of a number with a point or an exponent, or none. Null where it is no integer, or none that a double tells from others. */
function integerOf(token: string): bigint | null {
  if (!NUMBER.test(token)) return null;
  const number = Number(token);
  return Number.isSafeInteger(number) ? BigInt(number) : null;
}

const TRUE = [0x74, 0x72, 0x75, 0x65] as const;
const FALSE = [0x66, 0x61, 0x6c, 0x73, 0x65] as const;

export class BooleanScanner extends ElementScanner {
  private readonly out: Uint8Array;

  constructor(text: Uint8Array, out: Uint8Array) {
    super(text);
    this.out = out;
  }

  protected override scanElement(start: number, index: number): number {
    const isTrue = this.text[start] === TRUE[0];
    const word = isTrue ? TRUE : FALSE;
    for (let offset = 0; offset < word.length; offset++) if (this.text[start + offset] !== word[offset]) return WRONG;
    this.out[index] = isTrue ? 1 : 0;
    return start + word.length;
  }
}

function isEnd(byte: number): boolean {
  return byte === COMMA || byte === CLOSE_ARRAY || byte <= 0x20;
}
