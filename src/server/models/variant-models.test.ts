import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRepository, type Repository } from './model-repository.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sponge-variants-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** A repository of one model, `any`, of these files. */
const repositoryOf = (name: string, files: Readonly<Record<string, string>>): Promise<Repository> => {
  for (const [path, text] of Object.entries(files)) {
    const full = join(folder, name, 'any', path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
  }
  return readRepository(join(folder, name));
};

const FILES = 'variants:\n  - { file: small.onnx, accuracy: 1 }\n  - { version: 2, accuracy: 2 }\n';

describe('variants that are files or versions of one folder', () => {
  it('are models beside the one that they belong to, with what is said of it, each with a profile of its own', async () => {
    const { sources, skipped } = await repositoryOf('good', {
      'variants.yaml': FILES,
      'model.yaml': 'max_batch_size: 4\nshape: { x: [1, 3] }\n',
      'small.onnx': '',
      '2/model.onnx': '',
    });
    const inFolder = (path: string): string => join(folder, 'good', 'any', path);
    expect(skipped).toEqual([]);
    expect(sources.map(({ name, version, modelPath, profilePath }) => [name, version, modelPath, profilePath])).toEqual(
      [
        ['any', '1', inFolder('variants.yaml'), inFolder('model.profile.json')],
        ['any.2', '1', inFolder('2/model.onnx'), inFolder('2/model.profile.json')],
        ['any.small', '1', inFolder('small.onnx'), inFolder('small.profile.json')],
      ],
    );
    expect(sources.slice(1).map(({ settings }) => [settings.maxBatchSize, settings.shapes])).toEqual([
      [4, { x: [1, 3] }],
      [4, { x: [1, 3] }],
    ]);
  });

  it('are there too where the path is the folder itself', async () => {
    await repositoryOf('own', { 'variants.yaml': FILES, 'small.onnx': '', '2/model.onnx': '' });
    const { sources } = await readRepository(join(folder, 'own', 'any'));
    expect(sources.map(({ name }) => name).sort()).toEqual(['any', 'any.2', 'any.small']);
  });

  it('say in one line where two files say which model is served', async () => {
    const { sources } = await repositoryOf('both', { 'variants.yaml': FILES, 'model.yaml': 'versions: all\n' });
    expect(sources.map(({ name, fault }) => [name, fault])).toEqual([
      [
        'any',
        `${join(folder, 'both', 'any', 'model.yaml')}: versions: which files are served is said in variants.yaml`,
      ],
    ]);
  });
});
