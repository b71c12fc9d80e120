import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assertReadable, findModels, readRepository, stampOf } from './model-repository.js';
import { NO_SETTINGS } from './model-settings.js';

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
    expect(found.map(({ name, version }) => [name, version])).toEqual([
      ['a', '3'],
      ['b', '10'],
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
      config: null,
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

  it('names the folder that is the reader’s where a package’s own model needs another package', async () => {
    await write('node_modules/theirs/models/a/model.yaml', 'model: npm:not-installed-anywhere/m.onnx\n');
    const [model] = await findModels(join(folder, 'node_modules/theirs/models'));
    expect(model!.fault).toMatch(new RegExp(`run "npm install not-installed-anywhere" in ${folder}$`));
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

  it('takes models that lie in a folder as files, each in a folder of its own, or in versions', async () => {
    const paths = ['a.onnx', 'b/model.onnx', 'c/7/model.onnx', 'c/1764400000000000001/model.onnx', 'a.profile.json'];
    for (const path of paths) await write(path);
    const { sources, skipped } = await readRepository(folder);
    expect(sources.map(({ name, version, modelPath }) => [name, version, modelPath.slice(folder.length + 1)])).toEqual([
      ['a', '1', 'a.onnx'],
      ['b', '1', 'b/model.onnx'],
      ['c', '1764400000000000001', 'c/1764400000000000001/model.onnx'],
    ]);
    expect(skipped).toEqual([]);
  });

  it('takes a model’s own folder, as KServe mounts it, by the name it is given', async () => {
    await write('models/model.onnx');
    const own = join(folder, 'models');
    const [byFolder] = await findModels(own);
    const [byName] = (await readRepository(own, 'detector')).sources;
    expect([byFolder!.name, byName!.name]).toEqual(['models', 'detector']);
    await write('versions/3/model.onnx');
    await write('versions/20/model.onnx');
    expect((await readRepository(join(folder, 'versions'), 'v')).sources).toMatchObject([{ name: 'v', version: '20' }]);
  });

  it('follows links, as mounts of Kubernetes are made of them', async () => {
    await write('mount/..2026_11_29/model.onnx');
    await symlink('..2026_11_29', join(folder, 'mount/..data'));
    await symlink('..data/model.onnx', join(folder, 'mount/model.onnx'));
    await write('elsewhere/model.onnx');
    await mkdir(join(folder, 'linked'));
    await symlink(join(folder, 'elsewhere'), join(folder, 'linked/4'));
    expect((await readRepository(join(folder, 'mount'))).sources).toMatchObject([{ name: 'mount', version: '1' }]);
    const { sources } = await readRepository(folder);
    expect(sources.map(({ name, version }) => `${name} ${version}`)).toEqual(['elsewhere 1', 'linked 4', 'mount 1']);
  });

  it('serves the versions that the YAML names', async () => {
    for (const version of ['1', '2', '10']) await write(`a/${version}/model.onnx`);
    const versionsBy = async (yaml: string): Promise<readonly string[]> => {
      await write('a/model.yaml', yaml);
      return (await readRepository(folder)).sources.map(({ version, fault }) => fault ?? version);
    };
    expect(await versionsBy('versions: all')).toEqual(['1', '2', '10']);
    expect(await versionsBy('versions: { latest: 2 }')).toEqual(['2', '10']);
    expect(await versionsBy('versions: { specific: [1, "10"] }')).toEqual(['1', '10']);
    expect(await versionsBy('versions: { specific: [3] }')).toEqual([
      expect.stringMatching(/there is no version 3, only 1, 2, 10$/),
    ]);
    expect(await versionsBy('versions: { specific: [1764400000000000001] }')).toEqual([
      expect.stringMatching(/versions/),
    ]);
  });

  it('names whatever it leaves out, and why', async () => {
    const paths = [
      'a/1/model.onnx',
      'a/02/model.onnx',
      'a/3/weights.bin',
      'b/net.onnx',
      'c/x',
      'd.txt',
      'e/model.onnx',
    ];
    for (const path of [...paths, 'e.onnx', '.git/config']) await write(path);
    await symlink('nowhere', join(folder, 'f'));
    const { sources, skipped } = await readRepository(folder);
    expect(sources.map(({ name, version }) => `${name} ${version}`)).toEqual(['a 1', 'e 1']);
    const told = skipped.map(({ path, reason }) => `${path.slice(folder.length + 1)}: ${reason}`);
    expect(told.sort()).toEqual([
      'a/02: a version is a whole number that does not begin with a zero',
      'a/3: a version without a model.onnx',
      'b: holds net.onnx, and a model is called model.onnx: rename it, or name it in model.yaml',
      'c: holds no model.onnx, no version with one, and no model.yaml that names one',
      'd.txt: neither a folder nor a .onnx file',
      'e.onnx: the folder e beside it is served',
      'f: a link that leads nowhere',
    ]);
  });

  it('tells a model from what it was by its files, what is beside them, and what is said of it', async () => {
    await write('a/1/model.onnx');
    const stamp = async (): Promise<string> => stampOf((await findModels(folder))[0]!);
    const first = await stamp();
    await write('a/1/model.profile.json');
    expect(await stamp()).toBe(first);
    const stamps = [first];
    for (const path of ['a/1/model.onnx', 'a/1/model.onnx.data', 'a/model.yaml']) {
      await write(path, path === 'a/model.yaml' ? 'slo_ms: 70' : 'longer');
      stamps.push(await stamp());
    }
    expect(new Set(stamps).size).toBe(4);
  });
});
