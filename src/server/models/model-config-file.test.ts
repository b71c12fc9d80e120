import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ignoredNotice, instancesAsked, priorityOf, queueLimitsOf, statedThreadCounts } from './as-configured.js';
import { readRepository, stampOf, type ModelSource } from './model-repository.js';

let folder: string;
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'sponge-test-'))));
afterEach(() => rm(folder, { recursive: true }));

async function write(path: string, text = ''): Promise<void> {
  const full = join(folder, path);
  await mkdir(dirname(full), { recursive: true });
  await writeFile(full, text);
}

async function sourcesOf(json?: string): Promise<readonly ModelSource[]> {
  return (await readRepository(folder, null, json === undefined ? null : { name: 'm', json })).sources;
}

describe('a config.pbtxt in a model’s folder', () => {
  beforeEach(() => write('m/1/model.onnx'));

  it('says how the model is served', async () => {
    await write('m/labels.txt', 'ant\nbee\n');
    await write(
      'm/config.pbtxt',
      'max_batch_size: 4 output { name: "y" label_filename: "labels.txt" }' +
        'dynamic_batching { default_queue_policy { default_timeout_microseconds: 250000 } }',
    );
    const [{ settings } = never()] = await sourcesOf();
    expect(settings).toMatchObject({
      maxBatchSize: 4,
      batching: null,
      defaultSloMs: 250,
      labels: { y: ['ant', 'bee'] },
      config: { isDefaultSloBinding: true, folder: join(folder, 'm') },
    });
  });

  it('says with max_batch_size: 0 that requests share no batches', async () => {
    await write('m/config.pbtxt', 'max_batch_size: 0');
    const [{ settings } = never()] = await sourcesOf();
    expect([settings.maxBatchSize, settings.batching]).toEqual([null, 'off']);
  });

  it('counts less than the model.yaml beside it, field by field', async () => {
    await write('m/y.txt', 'ant\n');
    await write('m/z.txt', 'bee\n');
    await write('m/2/model.onnx');
    await write('m/model.yaml', 'max_batch_size: 8\nslo_ms: 100\nlabels: { y: y.txt }\nversions: { specific: [1] }\n');
    await write(
      'm/config.pbtxt',
      'max_batch_size: 0 output [ { name: "y" label_filename: "gone.txt" }, { name: "z" label_filename: "z.txt" } ]' +
        'dynamic_batching { default_queue_policy { default_timeout_microseconds: 250000 max_queue_size: 3 } }' +
        'version_policy { all {} }',
    );
    const sources = await sourcesOf();
    expect(sources.map(({ version }) => version)).toEqual(['1']);
    expect(sources[0]!.settings).toMatchObject({
      maxBatchSize: 8,
      batching: null,
      defaultSloMs: 100,
      labels: { y: ['ant'], z: ['bee'] },
      config: { isDefaultSloBinding: false, maxQueuedRequests: 3 },
    });
  });

  it('says which versions are served, and what their files are called', async () => {
    await write('n/1/net.onnx');
    await write('n/2/net.onnx');
    await write('n/3/model.onnx');
    await write('n/config.pbtxt', 'default_model_filename: "net.onnx" version_policy { latest { num_versions: 5 } }');
    const { sources, skipped } = await readRepository(folder);
    const own = sources.filter(({ name }) => name === 'n');
    expect(own.map(({ modelPath }) => modelPath)).toEqual([join(folder, 'n/1/net.onnx'), join(folder, 'n/2/net.onnx')]);
    expect(skipped).toEqual([{ path: join(folder, 'n/3'), reason: 'a version without a net.onnx' }]);
  });

  it('makes a folder a model’s own', async () => {
    await write('config.pbtxt', 'name: "mine" default_model_filename: "net.onnx"');
    await write('1/net.onnx');
    const { sources } = await readRepository(folder, 'mine');
    expect(sources.map(({ name, modelPath }) => [name, modelPath])).toEqual([['mine', join(folder, '1/net.onnx')]]);
  });

  it('is the reason why the model is not served where it is wrong, with its line', async () => {
    await write('m/config.pbtxt', 'name: "m"\nbakend: "onnxruntime"\n');
    const [source] = await sourcesOf();
    expect(source!.fault).toBe(`${join(folder, 'm/config.pbtxt')}: line 2: unknown field "bakend" for ModelConfig`);
    await write('m/config.pbtxt', `# ${' '.repeat(1024 * 1024)}`);
    expect((await sourcesOf())[0]!.fault).toMatch(/config\.pbtxt: it is larger than 1 MiB$/);
  });

  it('is part of what the model is', async () => {
    const before = await stampOf((await sourcesOf())[0]!);
    await write('m/config.pbtxt', 'max_batch_size: 2');
    expect(await stampOf((await sourcesOf())[0]!)).not.toBe(before);
  });

  it('counts for nothing where a client has sent another', async () => {
    await write('m/config.pbtxt', 'no configuration at all');
    expect((await sourcesOf())[0]!.fault).toContain('line 1');
    const [sent] = await sourcesOf('{"max_batch_size": 3}');
    expect([sent!.fault, sent!.settings.maxBatchSize]).toEqual([undefined, 3]);
    expect((await sourcesOf('{"name": "n"}'))[0]!.fault).toMatch(/^config: name is 'n', and the model is called 'm'/);
  });

  it('can be sent for a bare file too', async () => {
    await rm(join(folder, 'm'), { recursive: true });
    await write('m.onnx');
    expect((await sourcesOf('{"max_batch_size": 3}'))[0]!.settings.maxBatchSize).toBe(3);
    expect((await sourcesOf('{"max_batch_size": "many"}'))[0]!.fault).toMatch(/^config: ModelConfig.max_batch_size: /);
  });
});

describe('what a configuration says, beside what else is said', () => {
  it('is the command line’s where that says it, and the tighter one of limits', async () => {
    await write('m/1/model.onnx');
    await write(
      'm/config.pbtxt',
      'instance_group { count: 3 } parameters { key: "intra_op_thread_count" value { string_value: "2" } }' +
        'dynamic_batching { priority_levels: 3 default_priority_level: 2 default_queue_policy { max_queue_size: 5 } }' +
        'optimization {} metric_tags { key: "a" value: "b" }',
    );
    const [source = never()] = await sourcesOf();
    const grouped = { kind: 'cgroup-v2' } as Parameters<typeof instancesAsked>[2];
    expect(instancesAsked(source, 'auto', grouped)).toBe(3);
    expect(instancesAsked(source, 1, grouped)).toBe(1);
    // Where instances cannot be limited one by one there is one.
    expect(instancesAsked(source, 'auto', { ...grouped, kind: 'affinity' })).toBe('auto');
    expect(statedThreadCounts(source)).toEqual([2]);
    expect(queueLimitsOf(source, { maxRequests: 10, maxBytes: 1 })).toEqual({ maxRequests: 5, maxBytes: 1 });
    expect(queueLimitsOf(source, { maxRequests: 4, maxBytes: 1 })).toEqual({ maxRequests: 4, maxBytes: 1 });
    // None, and one that is no level, are the ordinary one.
    expect([undefined, 1, 3, 4].map((stated) => priorityOf(source, stated))).toEqual([2, 1, 3, 2]);
    expect(ignoredNotice(source)).toBe('config.pbtxt: without effect here: metric_tags, optimization');
  });
});

function never(): never {
  throw new Error('there is no model');
}
