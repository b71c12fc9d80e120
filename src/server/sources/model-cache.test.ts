import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultCacheFolder, ModelCache, type CachedFile } from './model-cache.js';
import { PartialFile } from './partial-files.js';

const HOUR_MS = 3600_000;

let folder: string;
let aheadMs: number;
let caches: ModelCache[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sponge-cache-'));
  [aheadMs, caches] = [0, []];
});
afterEach(async () => {
  await Promise.all(caches.map((cache) => cache.close()));
  await rm(folder, { recursive: true });
});

/** As another process has it: with marks of its own. */
async function opened(): Promise<ModelCache> {
  const cache = new ModelCache(folder, () => Date.now() + aheadMs);
  caches.push(cache);
  await cache.open();
  return cache;
}

async function kept(cache: ModelCache, path: string, text: string): Promise<CachedFile> {
  const partial = await PartialFile.begin(cache.partialFolder, 'key');
  await partial.append(Buffer.from(text));
  await partial.finish();
  const sha256 = partial.sha256();
  expect(sha256).toBe(createHash('sha256').update(text).digest('hex'));
  await cache.keep(partial, sha256);
  return { path, sha256, bytes: text.length, etag: null };
}

const snapshots = async (): Promise<string[]> =>
  (await readdir(join(folder, 'snapshots', 'key'))).filter((name) => !name.includes('.'));

describe('the cache', () => {
  it('is where XDG says, or in the home', () => {
    expect(defaultCacheFolder({ XDG_CACHE_HOME: '/c', HOME: '/h' })).toBe('/c/sponge');
    expect(defaultCacheFolder({ XDG_CACHE_HOME: 'relative', HOME: '/h' })).toBe('/h/.cache/sponge');
  });

  it('has a file once, whose bytes nobody writes to by mistake', async () => {
    const cache = await opened();
    const { sha256 } = await kept(cache, 'a', 'bytes');
    const before = await stat(cache.blobPath(sha256));
    await kept(cache, 'b', 'bytes');
    const after = await stat(cache.blobPath(sha256));
    expect([after.ino, after.mode & 0o222]).toEqual([before.ino, 0]);
    expect(await readdir(cache.partialFolder)).toEqual([]);
  });

  it('knows a place as long as all of its files are there, whole', async () => {
    const cache = await opened();
    const files = [await kept(cache, 'm/a.onnx', 'aaa'), await kept(cache, 'm/b.onnx', 'bbb')];
    const record = { format: 1, title: 't', commit: null, files } as const;
    await cache.remember('key', { ...record, files: [...files] });
    expect(await cache.recall('key')).toEqual(record);
    await rm(cache.blobPath(files[1]!.sha256));
    expect(await cache.recall('key')).toBeNull();
    await writeFile(cache.blobPath(files[1]!.sha256), 'b');
    expect(await cache.recall('key')).toBeNull();
    await writeFile(join(folder, 'sources/key.json'), '{ torn');
    expect(await cache.recall('key')).toBeNull();
  });

  it('makes a snapshot anew of which something is gone', async () => {
    const cache = await opened();
    const files = [await kept(cache, 'm/a.onnx', 'aaa')];
    const path = await cache.snapshot('key', files, null);
    await rm(join(path, 'm/a.onnx'));
    expect(await cache.snapshot('key', files, null)).toBe(path);
    expect(await readFile(join(path, 'm/a.onnx'), 'utf8')).toBe('aaa');
  });

  it('lets go of what nobody uses, and of nothing else', async () => {
    const [ours, theirs] = [await opened(), await opened()];
    const states = await Promise.all(['one', 'two', 'three'].map(async (text) => [await kept(ours, 'm.onnx', text)]));
    const left = await ours.snapshot('key', states[0]!, null);
    const used = await theirs.snapshot('key', states[1]!, states[0]!);
    const current = await ours.snapshot('key', states[2]!, states[1]!);
    const loose = await kept(ours, 'x', 'in no snapshot');
    // Whatever is young may be about to be used.
    await ours.tidy('key', current, () => false);
    expect((await snapshots()).length).toBe(3);
    // Two hours on, what is in use has been marked a moment ago.
    aheadMs = 2 * HOUR_MS;
    const now = new Date(Date.now() + aheadMs);
    for (const name of await readdir(join(folder, 'snapshots/key')))
      if (name.endsWith('.used')) await utimes(join(folder, 'snapshots/key', name), now, now);
    await ours.tidy('key', current, (path) => path === left);
    expect((await snapshots()).length).toBe(3);
    expect(await ours.has(loose.sha256, null)).toBe(false);
    await ours.tidy('key', current, () => false);
    expect((await snapshots()).map((name) => join(folder, 'snapshots/key', name)).sort()).toEqual(
      [used, current].sort(),
    );
    expect(await ours.has(states[1]![0]!.sha256, null)).toBe(true);
    // A process that died marks nothing any more; its file goes when a link less is an hour old.
    aheadMs += HOUR_MS;
    await ours.tidy('key', current, () => false);
    expect((await snapshots()).map((name) => join(folder, 'snapshots/key', name))).toEqual([current]);
    expect(await ours.has(states[1]![0]!.sha256, null)).toBe(false);
    expect(await ours.has(states[2]![0]!.sha256, null)).toBe(true);
  });
});

describe('what is being fetched', () => {
  const begin = (): Promise<PartialFile> => PartialFile.begin(join(folder, 'partial'), 'key');

  it('is gone on with by one process at a time', async () => {
    const first = await begin();
    await first.restart('"tag"');
    await first.append(Buffer.from('half'));
    const [second] = [await begin()];
    expect([second.bytes, second.validator]).toEqual([0, null]);
    await second.remove();
    await first.leave();
    const third = await begin();
    expect([third.bytes, third.validator]).toEqual([4, '"tag"']);
    expect(third.sha256()).toBe(createHash('sha256').update('half').digest('hex'));
    await third.remove();
    expect(await readdir(join(folder, 'partial'))).toEqual([]);
  });

  it('is not kept where nothing tells one state of it from another', async () => {
    const partial = await begin();
    await partial.restart('x'.repeat(200));
    await partial.append(Buffer.from('half'));
    await partial.leave();
    expect(await readdir(join(folder, 'partial'))).toEqual([]);
  });
});
