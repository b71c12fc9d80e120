import { describe, expect, it } from 'vitest';
import { bytesElementOffsets } from '../../scheduler/domain/bytes-elements.js';
import { ELEMENT_BYTES, type Datatype, type ModelSignature, type Tensor } from '../../scheduler/domain/tensor.js';
import { Prng } from '../../scheduler/random/prng.js';
import { tryBatching } from './batch-trial.js';
import { hintedElements } from './hinted-elements.js';
import { GivenSamples, NoiseSamples } from './samples.js';

const elements = (hint: Parameters<typeof hintedElements>[0], datatype: Datatype, count: number): DataView =>
  new DataView(hintedElements(hint, datatype, count, new Prng(1)).buffer);

const int64s = (data: Uint8Array): number[] => [...new BigInt64Array(data.slice().buffer)].map(Number);

describe('hinted elements', () => {
  it('are all of a range, both ends included', () => {
    const drawn = int64s(hintedElements({ kind: 'range', least: -1, most: 2 }, 'INT64', 200, new Prng(1)));
    expect([...new Set(drawn)].sort((a, b) => a - b)).toEqual([-1, 0, 1, 2]);
  });

  it('are fractions for floats, whole numbers for integers', () => {
    const half = { kind: 'range', least: 0.25, most: 0.5 } as const;
    const value = elements(half, 'FP32', 1).getFloat32(0, true);
    expect(value).toBeGreaterThanOrEqual(0.25);
    expect(value).toBeLessThanOrEqual(0.5);
    expect(elements({ kind: 'range', least: 0, most: 0.5 }, 'INT32', 1).getInt32(0, true)).toBe(0);
  });

  it('count, with another last one: 1, 1, −1 is a shape', () => {
    expect(int64s(hintedElements({ kind: 'count', first: 1, step: 0, last: -1 }, 'INT64', 3, new Prng(1)))).toEqual([
      1, 1, -1,
    ]);
    expect(int64s(hintedElements({ kind: 'count', first: 0, step: 1, last: null }, 'INT64', 3, new Prng(1)))).toEqual([
      0, 1, 2,
    ]);
  });

  it('repeat the last of a list that is too short', () => {
    const data = hintedElements({ kind: 'list', values: [4, 2] }, 'INT64', 4, new Prng(1));
    expect(int64s(data)).toEqual([4, 2, 2, 2]);
  });

  it('are texts, of numbers too', () => {
    const data = hintedElements({ kind: 'text', text: '42' }, 'BYTES', 2, new Prng(1));
    expect(bytesElementOffsets(data, 2)).toEqual([0, 6, 12]);
    expect(Buffer.from(data.subarray(4, 6)).toString()).toBe('42');
    expect(elements({ kind: 'text', text: '42' }, 'INT32', 1).getInt32(0, true)).toBe(42);
  });

  it.each<[Datatype, number, string]>([
    ['UINT8', 300, 'ff'],
    ['INT8', -300, '80'],
    ['BOOL', 7, '01'],
    ['UINT16', 0x1234, '3412'],
    ['UINT32', 2 ** 32 - 1, 'ffffffff'],
    ['INT32', -2, 'feffffff'],
    ['UINT64', -1, '0000000000000000'],
    // 1.5 = 1.1₂: exponent 15, mantissa 10…0, in five and eight bits of exponent.
    ['FP16', 1.5, '003e'],
    ['FP16', -16000, 'd0f3'],
    ['FP16', 1e9, 'ff7b'],
    ['FP16', 0, '0000'],
    ['BF16', 1.5, 'c03f'],
    ['FP64', 1.5, '000000000000f83f'],
  ])('are written as %s: %d', (datatype, value, hex) => {
    const data = hintedElements({ kind: 'range', least: value, most: value }, datatype, 1, new Prng(1));
    expect(data).toHaveLength(ELEMENT_BYTES[datatype]);
    expect(Buffer.from(data).toString('hex')).toBe(hex);
  });
});

describe('samples and trials of a model with hints', () => {
  const signature: ModelSignature = {
    inputs: [
      { name: 'ids', datatype: 'INT64', shape: [-1, 4] },
      { name: 'axes', datatype: 'INT64', shape: [2] },
      { name: 'toString', datatype: 'INT64', shape: [-1, 64] },
    ],
    outputs: [],
  };
  const shapes = { ids: [1, 4], axes: [2], toString: [1, 64] };
  const hints = [
    ['ids', { kind: 'range', least: 10, most: 12 }],
    ['axes', { kind: 'count', first: 0, step: 1, last: null }],
  ] as const;
  const valuesOf = (sample: readonly Tensor[], name: string): number[] =>
    int64s(sample.find((tensor) => tensor.name === name)!.data);

  it('are made up within them; of what nothing is known stays 0 or 1', () => {
    const samples = new NoiseSamples(signature, shapes, hints);
    for (let i = 0; i < 20; i++) {
      const sample = samples.at(i);
      for (const id of valuesOf(sample, 'ids')) expect([10, 11, 12]).toContain(id);
      expect(valuesOf(sample, 'axes')).toEqual([0, 1]);
      expect(new Set(valuesOf(sample, 'toString'))).toEqual(new Set([0, 1]));
    }
    expect(samples.at(3)).toEqual(samples.at(3));
  });

  it('stay within them in a trial, where rows are unlike each other, and what is given stays as it was given', async () => {
    const given = new NoiseSamples(signature, shapes, hints).at(0);
    const axes = { ...given[1]!, data: new Uint8Array(BigInt64Array.of(1n, 0n).buffer) };
    const seen: (readonly Tensor[])[] = [];
    const run = (batch: readonly (readonly Tensor[])[]): Promise<Tensor[][]> => {
      seen.push(...batch);
      return Promise.resolve(batch.map(() => []));
    };
    expect(await tryBatching(new GivenSamples([[given[0]!, axes, given[2]!]]), run, hints)).toEqual({ kind: 'passed' });
    const ids = seen.flatMap((sample) => valuesOf(sample, 'ids'));
    expect(new Set(ids)).toEqual(new Set([10, 11, 12]));
    for (const sample of seen) expect(valuesOf(sample, 'axes')).toEqual([1, 0]);
    expect(Math.max(...seen.flatMap((sample) => valuesOf(sample, 'toString')))).toBeGreaterThan(100);
  });
});
