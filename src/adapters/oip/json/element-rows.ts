import { asciiText, CLOSE_ARRAY, COMMA, endOfString, MINUS, NINE, QUOTE, unquoted, ZERO } from './bytes.js';
import { ElementScanner, WRONG } from './rows.js';

/** What a double holds of any integer, and an integer below it by itself: 10^15 < 2^53. */
const SAFE_DIGITS = 15;
/** 2^64 − 1 has as many. */
const MAX_DIGITS = 20;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const INTEGER = /^-?\d+$/;
/** Digits as a string may begin with zeros. */
export const DECIMAL_INTEGER = /^-?\d{1,20}$/;

/** 64-bit integers, with all their digits: as numbers, or as strings of digits. */
export class LongScanner extends ElementScanner {
  private readonly words: Int32Array;
  private readonly longs: BigInt64Array;
  private readonly min: bigint;
  private readonly max: bigint;

  constructor(text: Uint8Array, out: BigInt64Array | BigUint64Array, range: { min: bigint; max: bigint }) {
    super(text);
    this.words = new Int32Array(out.buffer, out.byteOffset, 2 * out.length);
    this.longs = new BigInt64Array(out.buffer, out.byteOffset, out.length);
    this.min = range.min;
    this.max = range.max;
  }

  protected override scanElement(start: number, index: number): number {
    const { text } = this;
    let at = start;
    const isNegative = text[at] === MINUS;
    if (isNegative) at += 1;
    const digitsAt = at;
    let value = 0;
    for (let byte = text[at]!; byte >= ZERO && byte <= NINE; byte = text[++at]!) value = 10 * value + (byte - ZERO);
    const digits = at - digitsAt;
    const isPlain =
      digits > 0 && digits <= SAFE_DIGITS && (digits === 1 || text[digitsAt] !== ZERO) && isEnd(text[at]!);
    if (!isPlain) return this.scanOther(start, index);
    if (isNegative && value > 0) {
      if (this.min === 0n) return WRONG;
      value = -value;
    }
    const high = Math.floor(value / 2 ** 32);
    // Typed arrays take numbers modulo 2^32.
    this.words[2 * index] = value - high * 2 ** 32;
    this.words[2 * index + 1] = high;
    return at;
  }

  private scanOther(start: number, index: number): number {
    const { text } = this;
    const isString = text[start] === QUOTE;
    let end = isString ? endOfString(text, start + 1) + 1 : start;
    if (!isString) while (end < text.length && !isEnd(text[end]!)) end += 1;
    const integer = isString ? integerIn(unquoted(text, start, end)) : integerOf(asciiText(text, start, end));
    if (integer === null || integer < this.min || integer > this.max) return WRONG;
    this.longs[index] = BigInt.asIntN(64, integer);
    return end;
  }
}

function integerIn(string: string | null): bigint | null {
  return string !== null && DECIMAL_INTEGER.test(string) ? BigInt(string) : null;
}

/** Null where it is none, or has more digits than any of 64 bits. */
function integerOf(token: string): bigint | null {
  if (!NUMBER.test(token)) return null;
  if (INTEGER.test(token)) return token.length <= MAX_DIGITS + 1 ? BigInt(token) : null;
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
