import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';
import type { Sample } from '../workers/samples.js';
import { configFromText } from './model-config.js';
import { statedIn } from './stated-config.js';
import { contractOf } from './tensor-contract.js';
import { warmupSamples } from './warmup-samples.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sponge-test-'));
  mkdirSync(join(folder, 'warmup'));
  // Two rows of two.
  writeFileSync(join(folder, 'warmup/x'), Buffer.from(Float32Array.of(1, 2, 3, 4).buffer));
  writeFileSync(join(folder, 'warmup/words'), encodeStrings(['a', 'bcd', 'more']));
});
afterAll(() => rmSync(folder, { recursive: true }));

const CONTRACT = contractOf(
  { isBatched: true, inputs: [{ name: 'x', dims: [2, 1], reshape: { shape: [2] } }], outputs: [] },
  {
    inputs: [
      { name: 'x', datatype: 'FP32', shape: [-1, 2] },
      { name: 'words', datatype: 'BYTES', shape: [-1, -1] },
    ],
    outputs: [],
  },
);

async function samplesFor(text: string): Promise<readonly Sample[]> {
  const { stated } = statedIn(await configFromText(`model_warmup { name: "w" batch_size: 2 ${text} }`));
  return warmupSamples(stated.model_warmup, { contract: CONTRACT, hints: [], folder });
}

const X = 'inputs { key: "x" value { data_type: TYPE_FP32 dims: [2, 1] zero_data: true } }';
const WORDS = 'inputs { key: "words" value { data_type: TYPE_STRING dims: 2 random_data: true } }';

describe('requests that a model is warmed up with', () => {
  it('are one row of what is in their files, in the shape that the model wants', async () => {
    const [sample] = await samplesFor(
      'inputs { key: "x" value { data_type: TYPE_FP32 dims: [2, 1] input_data_file: "x" } }' +
        'inputs { key: "words" value { data_type: TYPE_STRING dims: 2 input_data_file: "words" } }',
    );
    expect(sample).toEqual([
      { name: 'x', datatype: 'FP32', shape: [1, 2], data: new Uint8Array(Float32Array.of(1, 2).buffer) },
      { name: 'words', datatype: 'BYTES', shape: [1, 2], data: new Uint8Array(encodeStrings(['a', 'bcd'])) },
    ]);
  });

  it('are zeros, or anything, where they say so', async () => {
    const [sample] = await samplesFor(X + WORDS);
    expect(sample![0]!.data).toEqual(new Uint8Array(8));
    expect(sample![1]!.data).toEqual(new Uint8Array(encodeStrings(['', ''])));
  });

  it.each([
    [X, "model_warmup 'w': input 'words' is missing"],
    [X + WORDS.replace('"words"', '"word"'), "the model has no input 'word'"],
    [X.replace('FP32', 'INT32') + WORDS, "input 'x' is TYPE_INT32 [2, 1], and the model's TYPE_FP32 [-1, 2, 1]"],
    [X.replace('[2, 1]', '[3, 1]') + WORDS, "input 'x' is TYPE_FP32 [3, 1]"],
    [X + WORDS.replace('dims: 2', 'dims: -1'), "input 'words' is TYPE_STRING [-1]"],
    [X + WORDS.replace('dims: 2', 'dims: 100000000'), 'larger than 64 MiB'],
    [X.replace('zero_data: true', 'input_data_file: "nope"') + WORDS, 'no file warmup/nope'],
    [X.replace('zero_data: true', 'input_data_file: "../x"') + WORDS, "'../x' is no file"],
    [
      X.replace('zero_data: true', 'input_data_file: "words"') +
        WORDS.replace('dims: 2', 'dims: 4').replace('random_data: true', 'input_data_file: "words"'),
      'the file has',
    ],
  ])('are no requests of this model, with the reason: %#', async (text, message) => {
    await expect(samplesFor(text)).rejects.toThrow(message);
  });
});
