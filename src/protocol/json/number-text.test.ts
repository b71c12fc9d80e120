import { describe, expect, it } from 'vitest';
import { Prng } from '../../scheduler/random/prng.js';
import type { Datatype } from '../../scheduler/domain/tensor.js';
import { jsonDataText } from '../tensor-codec.js';
import { scanJsonData } from './read-data.js';
import type { ScannedDatatype } from './read-data.js';

/* Numbers to text and back, bit for bit what JavaScript makes of them one by one. */

const prng = new Prng(24);
const below = (limit: number): number => Math.floor(limit * prng.uniform());

function read(datatype: ScannedDatatype, texts: readonly string[], separator = ','): Uint8Array {
  const text = Buffer.from(`[${texts.join(separator)}]`);
  const scanned = scanJsonData(datatype, [texts.length], text, { start: 0, end: text.length });
  if (scanned.kind === 'read') return scanned.data;
  throw new Error(`element ${scanned.index} is wrong`);
}

function write(datatype: Datatype, values: ArrayBufferView & { readonly length: number }): readonly string[] {
  const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const text = jsonDataText({ name: 'x', datatype, shape: [values.length], data });
  return text.slice(1, -1).split(',');
}

/** As it was written when every element was made a string by itself. */
function textOf(value: number): string {
  if (Object.is(value, -0)) return '-0';
  return Number.isFinite(value) ? String(value) : `"${value}"`;
}

/** Floats of any bits, and where they lie in between doubles of any digits. */
function randomFloats(count: number): Float32Array {
  const floats = new Float32Array(count);
  const words = new Uint32Array(floats.buffer);
  for (let index = 0; index < count; index++) {
    const kind = below(5);
    if (kind === 0) words[index] = below(2 ** 32);
    else if (kind === 1) floats[index] = prng.uniform() * 10 ** (below(80) - 42);
    else if (kind === 2) floats[index] = (1000 - below(2000)) / -(10 ** below(5));
    else if (kind === 3) floats[index] = -below(3);
    else floats[index] = (below(2 ** 24) - 2 ** 23) / 2 ** below(40);
  }
  return floats;
}

function randomDigits(count: number): string {
  return Array.from({ length: count }, () => below(10)).join('');
}

/** Any number that JSON allows, most with as many digits as a double has or some more. */
function randomNumber(): string {
  const whole = below(3) === 0 ? '0' : `${1 + below(9)}${randomDigits(below(2) === 0 ? below(25) : below(4))}`;
  const fraction = below(4) === 0 ? '' : `.${'0'.repeat(below(3) === 0 ? below(30) : 0)}${randomDigits(1 + below(22))}`;
  const size = below(3) === 0 ? below(400) : below(30);
  const exponent = below(3) === 0 ? `${below(2) === 0 ? 'e' : 'E'}${['', '-', '+'][below(3)]}${size}` : '';
  return `${below(2) === 0 ? '-' : ''}${whole}${fraction}${exponent}`;
}

/** All the digits of a float, and of the doubles halfway to the next one and on both sides of that. */
function aroundFloats(): string[] {
  return [...randomFloats(2000)].filter(Number.isFinite).flatMap((value) => {
    const words = new Int32Array(1);
    const float = new Float32Array(words.buffer);
    float[0] = value;
    words[0]! += 1;
    const halfway = value / 2 + float[0] / 2;
    if (!Number.isFinite(halfway)) return [String(value)];
    const digits = halfway.toPrecision(60).replace('e+', 'e');
    const [mantissa, exponent = ''] = digits.split(/(?=e)/);
    return [String(value), value.toPrecision(8), String(halfway), digits, `${mantissa}1${exponent}`];
  });
}

describe('floats as text', () => {
  it('are what JavaScript writes for the double, whatever their bits', () => {
    for (let round = 0; round < 40; round++) {
      const floats = randomFloats(3000);
      expect(write('FP32', floats)).toEqual(Array.from(floats, textOf));
    }
  });

  it('are right for every power of two and of ten, their neighbours, and what is no number', () => {
    const words = new Int32Array(3 * 254);
    const floats = new Float32Array(words.buffer);
    for (let index = 0; index < words.length; index++) {
      words[index] = ((1 + Math.floor(index / 3)) << 23) + (index % 3) - 1;
    }
    expect(write('FP32', floats)).toEqual(Array.from(floats, textOf));
    for (let index = 0; index < words.length; index++) {
      floats[index] = Number(`1e${Math.floor(index / 3) - 45}`);
      if (index < 3 * 84) words[index]! += (index % 3) - 1;
    }
    expect(write('FP32', floats)).toEqual(Array.from(floats, textOf));
    const odd = [
      0,
      -0,
      1e-45,
      -1e-45,
      2 ** 31,
      -(2 ** 31),
      2 ** 30,
      3.4e38,
      NaN,
      Infinity,
      -Infinity,
      0.1,
      -0.5,
      1e-6,
      1e-7,
    ];
    words[0] = -1; // A NaN with a sign.
    expect(write('FP32', Float32Array.from([...odd, floats[0]!]))).toEqual([
      ...Array.from(Float32Array.from(odd), textOf),
      '"NaN"',
    ]);
  });

  it('are right for doubles', () => {
    const doubles = Float64Array.from({ length: 10_000 }, () => Number(randomNumber()));
    expect(write('FP64', doubles)).toEqual(Array.from(doubles, textOf));
  });
});

describe('integers as text', () => {
  it('are all their digits, of every length', () => {
    const lengths = Array.from({ length: 5000 }, () => below(64));
    const longs = lengths.map((bits) => (BigInt(below(2 ** 32)) * 2n ** 32n + BigInt(below(2 ** 32))) >> BigInt(bits));
    const unsigned = BigUint64Array.from(longs);
    const signed = BigInt64Array.from(longs, (value, index) => (index % 2 === 0 ? value : -value));
    expect(write('UINT64', unsigned)).toEqual(Array.from(unsigned, String));
    expect(write('INT64', signed)).toEqual(Array.from(signed, String));
    for (const [datatype, array] of [
      ['UINT32', Uint32Array],
      ['INT32', Int32Array],
      ['UINT16', Uint16Array],
      ['INT16', Int16Array],
      ['UINT8', Uint8Array],
      ['INT8', Int8Array],
    ] as const) {
      const values = new array(longs.map(Number).map((value) => (value % 2 ** 33) - 2 ** 32));
      expect(write(datatype, values)).toEqual(Array.from(values, String));
    }
  });
});

describe('numbers in JSON text', () => {
  it('are read bit for bit as Number reads them, and rounded from there to a float', () => {
    const texts = [...Array.from({ length: 60_000 }, randomNumber), ...aroundFloats()];
    const doubles = texts.filter((text) => Number.isFinite(Number(text)));
    const floats = texts.filter((text) => Number.isFinite(Math.fround(Number(text))));
    expect(floats.length).toBeGreaterThan(40_000);
    const readDoubles = new BigInt64Array(read('FP64', doubles).buffer);
    expect(readDoubles).toEqual(new BigInt64Array(Float64Array.from(doubles, Number).buffer));
    const readFloats = new Int32Array(read('FP32', floats, ' ,\n').buffer);
    expect(readFloats).toEqual(new Int32Array(Float32Array.from(floats, Number).buffer));
  });

  it('are refused where a float cannot hold them, to the last bit', () => {
    // Half a step beyond the largest float, and one double less.
    const halfway = 2n ** 128n - 2n ** 103n;
    expect(read('FP32', [String(halfway - 2n ** 75n)])).toEqual(
      new Uint8Array(Float32Array.of(3.4028234663852886e38).buffer),
    );
    expect(() => read('FP32', [String(halfway)])).toThrow('element 0 is wrong');
    expect(() => read('FP64', ['1', '-1.8e308'])).toThrow('element 1 is wrong');
  });

  it('are 64-bit integers with all their digits', () => {
    const texts = ['9007199254740993', '-9223372036854775808', '9223372036854775807', '-0', '1e3', '2.0', '"-007"'];
    expect([...new BigInt64Array(read('INT64', texts).buffer)]).toEqual([
      ...[9007199254740993n, -9223372036854775808n, 9223372036854775807n, 0n, 1000n, 2n, -7n],
    ]);
    expect([...new BigUint64Array(read('UINT64', ['18446744073709551615', '"18446744073709551615"']).buffer)]).toEqual([
      ...[18446744073709551615n, 18446744073709551615n],
    ]);
    for (const text of [
      '9223372036854775808',
      '-9223372036854775809',
      '01',
      '-',
      '18446744073709551616',
      '99999999999999999999',
      '1e16',
      '0.5',
      `1${'0'.repeat(100_000)}`,
    ]) {
      expect(() => read('INT64', ['9007199254740993', text])).toThrow('element 1 is wrong');
    }
  });
});
