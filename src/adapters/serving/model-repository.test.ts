import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assertReadable, findModels, NO_SETTINGS } from './model-repository.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sponge-repository-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function write(path: string, text = 'x'): Promise<void> {
  await mkdir(join(folder, path, '..'), { recursive: true });
  await writeFile(join(folder, path), text);
}

describe('finding models', () => {
  it('takes a bare .onnx file as version 1', async () => {
    await write('detector.onnx');
    expect(await findModels(join(folder, 'detector.onnx'))).toEqual([
      {
        name: 'detector',
        version: '1',
        versions: ['1'],
        modelPath: join(folder, 'detector.onnx'),
        profilePath: join(folder, 'detector.profile.json'),
        settings: NO_SETTINGS,
      },
    ]);
  });

  it('serves the highest version of each model of a repository, sorted by name', async () => {
    for (const path of ['b/1/model.onnx', 'b/10/model.onnx', 'b/9/model.onnx', 'a/3/model.onnx', 'notes/readme/x']) {
      await write(path);
    }
    const found = await findModels(folder);
    expect(found.map(({ name, version, versions }) => [name, version, versions])).toEqual([
      ['a', '3', ['3']],
      ['b', '10', ['1', '9', '10']],
    ]);
  });

  it('reads the model’s own YAML', async () => {
    await write('a/1/model.onnx');
    await write('a/model.yaml', 'shape: { x: [1, 3, 48, 320] }\nslo_ms: 250\nmax_batch_size: 4\nfloor: 0.25\n');
    const [model] = await findModels(folder);
    expect(model!.settings).toEqual({
      shapes: { x: [1, 3, 48, 320] },
      defaultSloMs: 250,
      maxBatchSize: 4,
      samplePaths: [],
      batching: null,
      floorFraction: 0.25,
      labels: {},
    });
  });

  it('reads labels from the files that the YAML names, a line each, and says which is not there', async () => {
    await write('a/1/model.onnx');
    await write('a/names.txt', 'ant\r\n\nbee\n');
    await write('a/model.yaml', 'labels: { y: names.txt }\n');
    expect((await findModels(folder))[0]!.settings.labels).toEqual({ y: ['ant', '', 'bee'] });
    await write('a/model.yaml', 'labels: { y: nowhere.txt }\n');
    expect((await findModels(folder))[0]!.fault).toMatch(/model\.yaml: labels: no file .*nowhere\.txt$/);
  });

  it('finds samples where the YAML says, or in their folder', async () => {
    await write('a/1/model.onnx');
    await write('a/samples/two.json', '{}');
    await write('a/samples/one.json', '{}');
    await write('a/samples/weights.bin', '');
    const pathsOf = async () => (await findModels(folder))[0]!.settings.samplePaths;
    expect(await pathsOf()).toEqual(['one', 'two'].map((name) => join(folder, 'a', 'samples', `${name}.json`)));
    await write('a/model.yaml', 'sample: mine.json\nbatching: off\n');
    expect(await pathsOf()).toEqual([join(folder, 'a', 'mine.json')]);
  });

  it('finds a model file inside an installed package', async () => {
    await write('a/model.yaml', 'model: npm:onnxruntime-node/package.json\n');
    const [model] = await findModels(folder);
    expect(model!.modelPath).toMatch(/node_modules\/onnxruntime-node\/package\.json$/);
    expect(model!.profilePath).toBe(join(folder, 'a', 'model.profile.json'));
  });

  it.each([
    ['shape: { x: [1, -3] }', /model\.yaml: shape: x: 1: .*>=1/],
    ['slo_ms: soon', /model\.yaml: slo_ms: /],
    ['slo: 3', /model\.yaml: .*"slo"/],
    ['shape: [', /model\.yaml: /],
    ['model: npm:not-installed-anywhere/m.onnx', /run "npm install not-installed-anywhere"/],
  ])('says in one line what is wrong with the YAML %j', async (yaml, message) => {
    await write('a/1/model.onnx');
    await write('a/model.yaml', yaml);
    // The other models of the repository are found all the same.
    await write('b/1/model.onnx');
    const [wrong, right] = await findModels(folder);
    expect(wrong!.fault).toMatch(message);
    expect(wrong!.fault).not.toContain('\n');
    await expect(assertReadable(wrong!)).rejects.toThrow(message);
    await assertReadable(right!);
  });

  it('says what it expected where there is no model', async () => {
    await expect(findModels(folder)).rejects.toThrow('holds no models');
    await expect(findModels(join(folder, 'nothing'))).rejects.toThrow('no such model');
    await write('model.pt');
    await expect(findModels(join(folder, 'model.pt'))).rejects.toThrow('is not a .onnx file');
  });
});
