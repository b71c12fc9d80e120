import { describe, expect, it } from 'vitest';
import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { InputHints } from '../onnx/input-hints.js';
import { tryBatching, type RunBatch } from './batch-trial.js';
import { GivenSamples, type Sample } from './samples.js';

function bytesOf(elements: ArrayBufferView): Uint8Array {
  return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
}

function floatRow(values: readonly number[]): Sample {
  return [{ name: 'x', datatype: 'FP32', shape: [1, values.length], data: bytesOf(Float32Array.from(values)) }];
}

function integerRow(values: readonly bigint[]): Sample {
  return [{ name: 'x', datatype: 'INT64', shape: [1, values.length], data: bytesOf(BigInt64Array.from(values)) }];
}

function textRow(values: readonly string[]): Sample {
  return [{ name: 'x', datatype: 'BYTES', shape: [1, values.length], data: encodeStrings(values) }];
}

const floatsOf = ([x]: Sample): number[] => [...new Float32Array(x!.data.slice().buffer)];
const integersOf = ([x]: Sample): bigint[] => [...new BigInt64Array(x!.data.slice().buffer)];

/** A model over the rows of a batch, which it may mix. */
function floatModel(rows: (batch: readonly number[][]) => number[][]): RunBatch {
  return (batch) => {
    const outputs = rows(batch.map(floatsOf));
    return Promise.resolve(outputs.map((values): Tensor[] => [{ ...floatRow(values)[0]!, name: 'y' }]));
  };
}

function integerModel(rows: (batch: readonly bigint[][]) => bigint[][]): RunBatch {
  return (batch) => {
    const outputs = rows(batch.map(integersOf));
    return Promise.resolve(outputs.map((values): Tensor[] => [{ ...integerRow(values)[0]!, name: 'y' }]));
  };
}

const FLOATS = new GivenSamples([floatRow([0.5, -0.25, 0.125])]);
const INTEGERS = new GivenSamples([integerRow([1n, 0n, 1n])]);

const absoluteMax = (batch: readonly number[][]): number => Math.max(...batch.flat().map(Math.abs));

/** To 8 bits by a scale, as quantising on the fly does. */
function quantised(values: readonly number[], scale: number): number[] {
  return scale === 0 ? [...values] : values.map((value) => Math.round((127 * value) / scale) * (scale / 127));
}

describe('a trial of batching', () => {
  it.each<[string, RunBatch]>([
    ['y = 2x', floatModel((batch) => batch.map((row) => row.map((value) => 2 * value)))],
    [
      'normalised row by row',
      floatModel((batch) => batch.map((row) => row.map((value) => value / (absoluteMax([row]) || 1)))),
    ],
    ['quantised row by row', floatModel((batch) => batch.map((row) => quantised(row, absoluteMax([row]))))],
    [
      'sums in another order for another number of rows',
      floatModel((batch) => batch.map((row) => row.map((value) => value * (1 + 1e-6 * batch.length)))),
    ],
  ])('passes what keeps rows apart: %s', async (_, run) => {
    expect(await tryBatching(FLOATS, run)).toEqual({ kind: 'passed' });
  });

  it.each<[string, RunBatch]>([
    [
      'divided by the largest of the batch',
      floatModel((batch) => batch.map((row) => row.map((value) => value / absoluteMax(batch)))),
    ],
    [
      'divided by 255 if anything is above 1',
      floatModel((batch) => batch.map((row) => row.map((value) => (absoluteMax(batch) > 1 ? value / 255 : value)))),
    ],
    [
      'quantised by the scale of the batch',
      floatModel((batch) => batch.map((row) => quantised(row, absoluteMax(batch)))),
    ],
    [
      'the mean of the batch taken off',
      floatModel((batch) =>
        batch.map((row) =>
          row.map((value, i) => value - batch.reduce((sum, each) => sum + each[i]!, 0) / batch.length),
        ),
      ),
    ],
    ['always the first row', floatModel((batch) => batch.map(() => batch[0]!))],
    ['rows in order of their first element', floatModel((batch) => [...batch].sort((a, b) => a[0]! - b[0]!))],
  ])('refutes what mixes them: %s', async (_, run) => {
    expect(await tryBatching(FLOATS, run)).toMatchObject({ kind: 'coupled' });
  });

  it('refutes a coupling of whole numbers that 0 and 1 do not show', async () => {
    const clipped = (batch: readonly bigint[][]): bigint => batch.flat().reduce((a, b) => (a > b ? a : b));
    const run = integerModel((batch) =>
      batch.map((row) => row.map((value) => (clipped(batch) > 50n ? value / 2n : value))),
    );
    expect(await tryBatching(INTEGERS, run)).toMatchObject({ kind: 'coupled' });
  });

  it('refutes a coupling of texts', async () => {
    const run: RunBatch = (batch) => {
      const longest = Math.max(...batch.map(([x]) => x!.data.byteLength));
      return Promise.resolve(batch.map((): Tensor[] => [{ ...integerRow([BigInt(longest)])[0]!, name: 'longest' }]));
    };
    expect(await tryBatching(new GivenSamples([textRow(['a', 'b'])]), run)).toMatchObject({ kind: 'coupled' });
  });

  it('refutes what runs alone, and not together', async () => {
    const run: RunBatch = (batch) =>
      Promise.resolve(batch.length > 1 ? 'one at a time' : [[{ ...batch[0]![0]!, name: 'y' }]]);
    expect(await tryBatching(FLOATS, run)).toEqual({
      kind: 'coupled',
      reason: 'a batch of 6 fails: one at a time',
    });
  });

  it('leaves out rows that the model refuses alone, and learns nothing from fewer than two', async () => {
    const below = (limit: number): RunBatch => {
      const model = floatModel((batch) => [...batch]);
      return (batch) =>
        batch.some((row) => absoluteMax([floatsOf(row)]) > limit) ? Promise.resolve('too large') : model(batch);
    };
    expect(await tryBatching(FLOATS, below(1))).toEqual({ kind: 'passed' });
    expect(await tryBatching(FLOATS, below(-1))).toEqual({ kind: 'failed', message: 'too large' });
  });

  it('keeps rows to what the graph says of an input, real ones too', async () => {
    const seen: bigint[] = [];
    const run = integerModel((batch) => {
      seen.push(...batch.flat());
      return [...batch];
    });
    const ids: InputHints = [['x', { kind: 'range', least: 100, most: 107 }]];
    expect(await tryBatching(new GivenSamples([integerRow([103n, 100n, 107n])]), run, ids)).toEqual({ kind: 'passed' });
    expect(seen.filter((value) => value < 100n || value > 107n)).toEqual([]);
    expect(new Set(seen).size).toBeGreaterThan(4);
    const shape: InputHints = [['x', { kind: 'list', values: [1, 4, -1] }]];
    seen.length = 0;
    await tryBatching(new GivenSamples([integerRow([1n, 4n, -1n])]), run, shape);
    expect(new Set(seen)).toEqual(new Set([1n, 4n, -1n]));
  });
});
