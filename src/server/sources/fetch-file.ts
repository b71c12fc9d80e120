import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { download, type FileToFetch } from './download.js';
import { externalFiles } from './external-files.js';
import type { CachedFile } from './model-cache.js';
import { SizeBudget } from './size-budget.js';
import { SourceError } from './source-error.js';
import type { FetchContext } from './source.js';

/* One file into the cache; and the files that a model keeps its weights in. */

export type Wanted = Omit<FileToFetch, 'key' | 'knownEtag'> & {
  /** Below the root of its place. */
  readonly path: string;
  /** At the server, where that is known beforehand. */
  readonly etag: string | null;
};

/**
 * @param known the same file at the last look; null for none
 * @param budget of all files of the place
 */
export async function fetchFile(
  wanted: Wanted,
  known: CachedFile | null,
  budget: SizeBudget,
  { cache, client, signal, progress, onNotice, pauseFactor }: FetchContext,
): Promise<CachedFile> {
  const { path, sha256, bytes } = wanted;
  if (sha256 !== null && (await cache.has(sha256, bytes))) {
    const there = bytes ?? known?.bytes ?? (await cache.sizeOf(sha256));
    progress.at(wanted.title, there, there);
    budget.take(wanted.title, there);
    return { path, sha256, bytes: there, etag: wanted.etag };
  }
  const assertFits = (count: number): void => budget.take(wanted.title, count);
  assertFits(bytes ?? 0);
  const isKnown = known !== null && (sha256 === null || known.sha256 === sha256);
  const key = createHash('sha256')
    .update(`${wanted.url.href}\n${sha256 ?? ''}`)
    .digest('hex')
    .slice(0, 32);
  const fetched = await download(
    { ...wanted, key, knownEtag: isKnown ? known.etag : null },
    {
      ...{ client, signal, assertFits, onNotice, pauseFactor, folder: cache.partialFolder },
      assertRoom: (count) => cache.assertRoom(count),
      onBytes: (title, count, total) => progress.at(title, count, total),
    },
  );
  if (fetched.kind === 'unchanged') {
    assertFits(known!.bytes);
    return { ...known!, path };
  }
  const count = fetched.partial.bytes;
  await cache.keep(fetched.partial, fetched.sha256);
  return { path, sha256: fetched.sha256, bytes: count, etag: wanted.etag ?? fetched.etag };
}

/** A model's file names so many of its own at most, each a request of its own. */
const MOST_EXTERNAL = 1000;

/**
 * A model's own file and those that its weights are in, which lie beside it.
 * @param wantedOf for a path below the model's folder: how it is fetched; null where it cannot be there
 * @param furtherOf what else belongs to it
 */
export async function fetchModel(
  model: Wanted,
  wantedOf: (path: string) => Promise<Wanted>,
  known: readonly CachedFile[],
  context: FetchContext,
  furtherOf: () => Promise<readonly Wanted[]> = () => Promise.resolve([]),
): Promise<readonly CachedFile[]> {
  const budget = new SizeBudget(context.maxBytes);
  const knownAt = (path: string): CachedFile | null => known.find((file) => file.path === path) ?? null;
  const first = await fetchFile(model, knownAt(model.path), budget, context);
  const beside = await externalFiles(context.cache.blobPath(first.sha256));
  if (beside.length > MOST_EXTERNAL) {
    throw new SourceError(
      `${model.title} keeps its weights in ${beside.length} files: put them into one, or into an S3 bucket`,
    );
  }
  const files = [first];
  for (const path of beside) {
    const place = posix.join(posix.dirname(model.path), path);
    files.push(await fetchFile(await wantedOf(path), knownAt(place), budget, context));
  }
  for (const wanted of await furtherOf()) {
    if (files.some(({ path }) => path === wanted.path)) continue;
    files.push(await fetchFile(wanted, knownAt(wanted.path), budget, context));
  }
  return files;
}
