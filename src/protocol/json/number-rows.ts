import { asciiText, endOfString, skipSpace, unquoted } from './bytes.js';
import { CAPITAL_E, CAPITAL_I, CAPITAL_N, COMMA, MINUS, NINE, PLUS, POINT, QUOTE, SMALL_E, ZERO } from './bytes.js';
import { RowScanner, WRONG } from './rows.js';

/*
 * Numbers that a double holds: FP32, FP64 and integers up to 32 bits. Each is read in one pass over its digits, four at a
 * time behind the point, and is bit for bit what `Number` makes of its text:
 *
 * - A mantissa below 2^53 times or divided by a power of ten up to 10^22: both are doubles, so that one operation rounds once, as
 *   it has to (W. D. Clinger, "How to read floating point numbers accurately", PLDI 1990).
 * - FP32 of more digits, as a float is written that was made a double before: the product is off by a few units in the last of a
 *   double's 53 bits, and a float has 24. Where all that it can be off by makes no other float, it is the float. It nearly always is.
 * - All else is left to `Number`.
 *
 * NaN and the infinities come as strings, or bare, which is no JSON but what Python writes.
 */

/** How numbers of a datatype are taken. */
export interface NumberRange {
  readonly min: number;
  readonly max: number;
  readonly isWhole: boolean;
  /** As if rounded to a float; else exactly. */
  readonly isSingle: boolean;
}

/** What a typed array of any kind takes a chunk with. */
interface NumberArray {
  set(values: Float64Array, offset: number): void;
}

/** Elements are gathered here, since storing into nine kinds of arrays one by one takes longer. Nothing waits while it is filled. */
const CHUNK = new Float64Array(1024);

/** From here on doubles are no longer all the integers. */
const FIRST_INEXACT = 2 ** 53;
const EXACT_POWER = 22;
const MAX_POWER = 100;
/** 10^−100 … 10^100, each the nearest double. */
const POWERS = Float64Array.from({ length: 2 * MAX_POWER + 1 }, (_, index) => Number(`1e${index - MAX_POWER}`));

/** More digits are not read at speed. */
const MAX_DIGITS = 64;
/**
 * Relative. Each step of adding digits beyond 2^53 rounds twice, by 2^−53; at most 64 steps, the power, the product: 130 × 2^−53
 * is less than 2^−45.
 */
const MOST_OFF = 2 ** -45;

const NON_FINITE: ReadonlyMap<string, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

export class NumberScanner extends RowScanner {
  private readonly view: DataView;
  private readonly out: NumberArray;
  private readonly range: NumberRange;
  private filled = 0;
  /** Of what was last scanned apart. */
  private lastExponent = 0;
  private lastEnd = 0;

  constructor(text: Uint8Array, out: NumberArray, range: NumberRange) {
    super(text);
    this.view = new DataView(text.buffer, text.byteOffset, text.byteLength);
    this.out = out;
    this.range = range;
  }

  override finish(): void {
    this.out.set(CHUNK.subarray(0, this.filled), this.elementsRead - this.filled);
    this.filled = 0;
  }

  protected override scanElements(start: number, count: number): number {
    let at = start;
    for (let left = count; left > 0;) {
      if (this.filled === CHUNK.length) this.finish();
      const some = Math.min(left, CHUNK.length - this.filled);
      at = this.fill(at, some, left === count);
      if (at === WRONG) return WRONG;
      left -= some;
    }
    return at;
  }

  private fill(start: number, count: number, isRowStart: boolean): number {
    const { text, view } = this;
    const { min, max, isWhole } = this.range;
    const lastWordAt = text.length - 4;
    const first = this.filled;
    let at = start;
    for (let index = 0; index < count; index++) {
      if (index > 0 || !isRowStart) {
        if (text[at] !== COMMA) return this.stop(index);
        at = skipSpace(text, at + 1);
      }
      const numberAt = at;
      let byte = text[at]!;
      const isNegative = byte === MINUS;
      if (isNegative) byte = text[++at]!;
      let value: number;
      if (byte >= ZERO && byte <= NINE) {
        let mantissa = byte - ZERO;
        let exponent = 0;
        byte = text[++at]!;
        // Nothing but a point, an exponent or the end may follow a leading zero: what comes is then no separator.
        if (mantissa > 0) {
          for (; byte >= ZERO && byte <= NINE; byte = text[++at]!) mantissa = 10 * mantissa + (byte - ZERO);
        }
        if (byte === POINT) {
          const pointAt = at;
          at += 1;
          while (at <= lastWordAt) {
            const four = view.getUint32(at, true) ^ 0x30303030;
            // Digits are 0 … 9 now; a byte beyond them has its highest bit set, or gets it by adding 0x76.
            if ((((four + 0x76767676) | four) & 0x80808080) !== 0) break;
            // The first digit is the lowest byte. Two pairs of digits first, then the four of them.
            const pairs = Math.imul(four, 10) + (four >>> 8);
            mantissa = 10_000 * mantissa + (100 * (pairs & 0xff) + ((pairs >>> 16) & 0xff));
            at += 4;
          }
          for (byte = text[at]!; byte >= ZERO && byte <= NINE; byte = text[++at]!) {
            mantissa = 10 * mantissa + (byte - ZERO);
          }
          exponent = pointAt + 1 - at;
          if (exponent === 0) return this.stop(index);
        }
        if (byte === SMALL_E || byte === CAPITAL_E) {
          at = this.scanExponent(at + 1);
          if (at === WRONG) return this.stop(index);
          exponent += this.lastExponent;
        }
        if (mantissa < FIRST_INEXACT && exponent >= -EXACT_POWER && exponent <= EXACT_POWER) {
          value = exponent < 0 ? mantissa / POWERS[MAX_POWER - exponent]! : mantissa * POWERS[MAX_POWER + exponent]!;
        } else {
          value = this.farValue(mantissa, exponent, isNegative ? numberAt + 1 : numberAt, at);
        }
        if (isNegative) value = -value;
        if (!(value >= min && value <= max) || (isWhole && value !== Math.floor(value))) return this.stop(index);
      } else if (byte === QUOTE && !isNegative && !isWhole) {
        const special = this.nonFinite(at);
        if (special === undefined) return this.stop(index);
        value = special;
        at = this.lastEnd;
      } else if (!isWhole && (byte === CAPITAL_I || (byte === CAPITAL_N && !isNegative))) {
        const word = byte === CAPITAL_N ? 'NaN' : 'Infinity';
        if (asciiText(text, at, at + word.length) !== word) return this.stop(index);
        value = isNegative ? Number.NEGATIVE_INFINITY : NON_FINITE.get(word)!;
        at += word.length;
      } else {
        return this.stop(index);
      }
      CHUNK[first + index] = value;
      at = skipSpace(text, at);
    }
    this.filled += count;
    this.elementsRead += count;
    return at;
  }

  /** @param index of the wrong element among those being filled in */
  private stop(index: number): typeof WRONG {
    this.elementsRead += index;
    return WRONG;
  }

  /** @param start behind the e @returns the place behind the exponent, which is left in `lastExponent`, or `WRONG` */
  private scanExponent(start: number): number {
    const { text } = this;
    let at = start;
    const sign = text[at];
    if (sign === MINUS || sign === PLUS) at += 1;
    const digitsAt = at;
    let exponent = 0;
    for (let byte = text[at]!; byte >= ZERO && byte <= NINE; byte = text[++at]!) {
      if (exponent <= MAX_POWER) exponent = 10 * exponent + (byte - ZERO);
    }
    this.lastExponent = sign === MINUS ? -exponent : exponent;
    return at === digitsAt ? WRONG : at;
  }

  /**
   * What `Number` makes of an unsigned number's text; FP32 to the float that it will be rounded to.
   * @param mantissa all its digits, as near as they were gathered
   */
  private farValue(mantissa: number, exponent: number, start: number, end: number): number {
    if (mantissa === 0) return 0;
    if (this.range.isSingle && end - start <= MAX_DIGITS && exponent >= -MAX_POWER && exponent <= MAX_POWER) {
      const value = mantissa * POWERS[MAX_POWER + exponent]!;
      const off = value * MOST_OFF;
      if (Math.fround(value - off) === Math.fround(value + off)) return value;
    }
    return Number(asciiText(this.text, start, end));
  }

  /** @param start of its opening quote @returns undefined where the string is none of the three */
  private nonFinite(start: number): number | undefined {
    this.lastEnd = endOfString(this.text, start + 1) + 1;
    return NON_FINITE.get(unquoted(this.text, start, this.lastEnd) ?? '');
  }
}
