import { COMMA, MINUS, PLUS, POINT, SMALL_E, ZERO } from './bytes.js';
import { writeDigits, FOUR_DIGITS } from './integer-text.js';
import type { JsonText } from './text.js';

/*
 * Floats as JavaScript writes them: the shortest decimal that is read back as the same double, and of those the nearest. `String`
 * finds it in some 250 ns; a float is a double of 24 bits, which makes it easier. Its value is scaled to 9 digits before the point
 * and 8 behind it, as exactly as it takes:
 *
 * - A power of ten is a `coarse` part of 29 bits and a `fine` one of 53. A float times 29 bits is exact in a double; the
 *   product with the fine part is below 4, and their sum off by less than 2^−50. The eight digits behind the point are known to 10^−7
 *   of the last of them.
 * - Every decimal nearer to the double than half the step to its neighbour is read back as it. That is between 0.55 and 11.2 of
 *   the last of 17 digits: so of 15 digits at most one decimal is near enough, of 16 the nearest is, or none, and of 17 one always
 *   is. (G. L. Steele and J. L. White, "How to print floating-point numbers accurately", PLDI 1990, have the rule.)
 * - Where a distance is too near to a limit to tell, and for what is rare (most powers of two, whose neighbour below is nearer;
 *   subnormals), `String` is asked.
 */

/** Of "-1.1754943508222875e-38,", the longest there is, and four written beyond the end. */
const MAX_FLOAT_BYTES = 32;

const BLOCK = 512;
const FRONTS = new Int32Array(BLOCK);
const BACKS = new Int32Array(BLOCK);
const DIGITS = new Int32Array(BLOCK);
const EXPONENTS = new Int32Array(BLOCK);

/** In units of the last of 17 digits; ten times what a distance can be off by. */
const UNSURE = 1e-6;

/** Digits in front of the scaled value's point, and behind it. */
const FRONT_DIGITS = 9;
const BACK_DIGITS = 8;
const BACK_LIMIT = 10 ** BACK_DIGITS;

const EXPONENT_BIAS = 127;

/** JavaScript writes 0.000001 and 1e-7, and 100000000000000000000 and 1e+21. */
const LEAST_PLAIN_EXPONENT = -6;
const PLAIN_EXPONENT_LIMIT = 21;

/** "0.", the first character being the lowest byte. */
const ZERO_POINT = 0x2e30;

/*
 * By twice the eight bits of a float's exponent: for values below the power of ten that lies among those of the exponent, or would
 * next, and one on from there.
 */
const DECIMAL_EXPONENT = new Int8Array(2 * 256);
const COARSE = new Float64Array(2 * 256);
const FINE = new Float64Array(2 * 256);
/** Half the step to the next double, in units of the last of 17 digits. */
const HALF_STEP = new Float64Array(2 * 256);
const INVERSE = new Float64Array(2 * 256);
/** By the eight bits: the power of ten. */
const NEXT_POWER = new Float64Array(256);

for (let bits = 1; bits < 255; bits++) {
  const exponent = bits - EXPONENT_BIAS;
  const floor = Math.floor(exponent * Math.LOG10E * Math.LN2);
  NEXT_POWER[bits] = Number(`1e${floor + 1}`);
  for (const step of [0, 1]) {
    const power = FRONT_DIGITS - 1 - floor - step;
    const { coarse, fine } = splitPower(power);
    DECIMAL_EXPONENT[2 * bits + step] = floor + step;
    COARSE[2 * bits + step] = coarse;
    FINE[2 * bits + step] = fine;
    HALF_STEP[2 * bits + step] = 2 ** (exponent - 53) * 10 ** (power + BACK_DIGITS);
    INVERSE[2 * bits + step] = 1 / HALF_STEP[2 * bits + step]!;
  }
}

/** 10^power = coarse + fine, coarse of 29 bits and not above it. */
function splitPower(power: number): { coarse: number; fine: number } {
  // As an integer of 128 bits or more, times 2^−shift.
  const shift = power < 0 ? 128 + Math.ceil(-power * Math.LOG2E * Math.LN10) : 128;
  const scaled = power < 0 ? 2n ** BigInt(shift) / 10n ** BigInt(-power) : (10n ** BigInt(power)) << BigInt(shift);
  const spare = BigInt(scaled.toString(2).length - 29);
  const coarse = (scaled >> spare) << spare;
  return { coarse: Number(coarse) * 2 ** -shift, fine: Number(scaled - coarse) * 2 ** -shift };
}

/** Elements with commas between them. */
export function writeFloats(text: JsonText, values: Float32Array): void {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  text.reserve(0);
  const since = text.length;
  for (let from = 0; from < values.length; from += BLOCK) {
    const to = Math.min(values.length, from + BLOCK);
    text.reserve((to - from) * MAX_FLOAT_BYTES, since, from / values.length);
    scaleBlock(values, words, from, to);
    writeBlock(text, values, from, to);
  }
}

/** Without a branch that depends on the digits: half of them would be guessed wrong, and each wait for all that comes before. */
function scaleBlock(values: Float32Array, words: Uint32Array, from: number, to: number): void {
  for (let index = from; index < to; index++) {
    const value = Math.abs(values[index]!);
    if ((value | 0) === value) continue;
    const bits = (words[index]! >>> 23) & 0xff;
    const scale = 2 * bits + (value >= NEXT_POWER[bits]! ? 1 : 0);
    const scaled = value * COARSE[scale]!;
    const whole = scaled | 0;
    const behind = scaled - whole + value * FINE[scale]!;
    const carry = behind | 0;
    const rest = BACK_LIMIT * (behind - carry);

    const halfStep = HALF_STEP[scale]!;
    const by100 = Math.imul(100, (rest * 0.01 + 0.5) | 0);
    const by10 = Math.imul(10, (rest * 0.1 + 0.5) | 0);
    const by1 = (rest + 0.5) | 0;
    const off100 = Math.abs(rest - by100);
    const off10 = Math.abs(rest - by10);
    const off1 = Math.abs(rest - by1);
    // 1 where it is too far, else 0: the sign of a negative number.
    const isFar100 = -((off100 * INVERSE[scale]!) | 0) >>> 31;
    const isFar10 = isFar100 & (-((off10 * INVERSE[scale]!) | 0) >>> 31);
    const upTo16 = by100 ^ ((by100 ^ by10) & -isFar100);
    const back = upTo16 ^ ((upTo16 ^ by1) & -isFar10);
    const isRare =
      Math.abs(off100 - halfStep) < UNSURE ||
      Math.abs(off10 - halfStep) < UNSURE ||
      (Math.abs(off10 - 5) < UNSURE && isFar100 > isFar10) ||
      (Math.abs(off1 - 0.5) < UNSURE && isFar10 === 1) ||
      // Below a power of two the next double is half as far.
      ((words[index]! & 0x7fffff) === 0 && off100 > UNSURE) ||
      back === BACK_LIMIT ||
      bits === 0 ||
      bits === 255;
    FRONTS[index - from] = whole + carry;
    BACKS[index - from] = back;
    DIGITS[index - from] = isRare ? 0 : 15 + isFar100 + isFar10;
    EXPONENTS[index - from] = DECIMAL_EXPONENT[scale]!;
  }
}

function writeBlock(text: JsonText, values: Float32Array, from: number, to: number): void {
  const { buffer, view } = text;
  let at = text.length;
  for (let index = from; index < to; index++) {
    if (index > 0) buffer[at++] = COMMA;
    const value = values[index]!;
    const whole = value | 0;
    if (whole === value) {
      if (whole < 0 || (whole === 0 && Object.is(value, -0))) buffer[at++] = MINUS;
      at = writeDigits(buffer, view, at, Math.abs(whole));
      continue;
    }
    const inBlock = index - from;
    const digits = DIGITS[inBlock]!;
    if (digits === 0) {
      at += buffer.write(floatText(value), at, 'latin1');
      continue;
    }
    if (value < 0) buffer[at++] = MINUS;
    const exponent = EXPONENTS[inBlock]!;
    if (exponent < 0 && exponent >= LEAST_PLAIN_EXPONENT) {
      view.setUint16(at, ZERO_POINT, true);
      at += 2;
      for (let zeros = exponent + 1; zeros < 0; zeros++) buffer[at++] = ZERO;
      at = writeSignificant(buffer, view, at, FRONTS[inBlock]!, BACKS[inBlock]!, digits);
    } else {
      // There is room for the point.
      const end = writeSignificant(buffer, view, at + 1, FRONTS[inBlock]!, BACKS[inBlock]!, digits);
      at = placePoint(buffer, view, at, end, exponent);
    }
  }
  text.length = at;
}

/** Nine digits and eight, of which so many count, without zeros at the end. Small enough to become a part of its caller. */
function writeSignificant(
  buffer: Buffer,
  view: DataView,
  at: number,
  front: number,
  back: number,
  digits: number,
): number {
  const first = (front / 1e8) | 0;
  const frontRest = front - first * 1e8;
  const high = (frontRest / 1e4) | 0;
  const backHigh = (back / 1e4) | 0;
  buffer[at] = ZERO + first;
  view.setUint32(at + 1, FOUR_DIGITS[high]!, true);
  view.setUint32(at + 5, FOUR_DIGITS[frontRest - high * 1e4]!, true);
  view.setUint32(at + 9, FOUR_DIGITS[backHigh]!, true);
  view.setUint32(at + 13, FOUR_DIGITS[back - backHigh * 1e4]!, true);
  let end = at + digits;
  while (buffer[end - 1] === ZERO) end -= 1;
  return end;
}

/**
 * Around digits that are not behind "0.".
 * @param start one byte in front of them, @param end behind them
 * @param exponent of ten of the first digit; the number is a whole one from FRONT_DIGITS on, and only then
 */
function placePoint(buffer: Buffer, view: DataView, start: number, end: number, exponent: number): number {
  const isPlain = exponent >= 0 && exponent < PLAIN_EXPONENT_LIMIT;
  if (isPlain && exponent >= FRONT_DIGITS) {
    const wholeEnd = start + exponent + 1;
    for (let index = start; index < wholeEnd; index++) buffer[index] = index < end - 1 ? buffer[index + 1]! : ZERO;
    return wholeEnd;
  }
  const pointAt = start + (isPlain ? exponent : 0) + 1;
  for (let index = start; index < pointAt; index++) buffer[index] = buffer[index + 1]!;
  buffer[pointAt] = POINT;
  if (isPlain) return end;
  const exponentAt = end === pointAt + 1 ? pointAt : end;
  buffer[exponentAt] = SMALL_E;
  buffer[exponentAt + 1] = exponent < 0 ? MINUS : PLUS;
  return writeDigits(buffer, view, exponentAt + 2, Math.abs(exponent));
}

/** Any number: not finite ones are strings. */
export function floatText(value: number): string {
  if (Object.is(value, -0)) return '-0';
  return Number.isFinite(value) ? String(value) : `"${value}"`;
}
