import { readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import { inParallel } from '../in-parallel.js';
import type { VersionPolicy } from '../models/versions.js';
import { fetchFile, fetchModel, type Wanted } from './fetch-file.js';
import type { BucketLocation } from './location.js';
import type { CachedFile } from './model-cache.js';
import { Bucket, type BucketChoice } from './s3-bucket.js';
import type { ListedObject } from './s3-listing.js';
import { namedInTritonConfig, namedInYaml, staysInside } from './named-files.js';
import { SizeBudget } from './size-budget.js';
import { SourceError } from './source-error.js';
import type { FetchContext, FetchPlace, PlaceState } from './source.js';
import { POLICY_UNSAID, policySaid, safeFiles, SETTINGS_NAMES, withoutOldVersions } from './wanted-files.js';

/* One object of a bucket, or all that a model repository in it has. */

/** Side by side: one connection rarely has all of a network. */
const FETCHED_SIDE_BY_SIDE = 4;
const MOST_SETTINGS_BYTES = 1024 ** 2;

/** An object below the prefix. */
interface ListedFile extends ListedObject {
  readonly path: string;
}

export function fetchBucketPlace(location: BucketLocation, choice: BucketChoice): FetchPlace {
  return async (known, context) => {
    const bucket = await Bucket.open(location, choice, context);
    return location.isFile
      ? fetchObject(location, bucket, known, context)
      : fetchFolder(location, bucket, known, context);
  };
}

async function fetchObject(
  { key, root, sha256 }: BucketLocation,
  bucket: Bucket,
  known: PlaceState | null,
  context: FetchContext,
): Promise<PlaceState> {
  const model: Wanted = { ...bucket.wanted(key), path: root, sha256 };
  const beside = (path: string): Promise<Wanted> =>
    Promise.resolve({ ...bucket.wanted(posix.join(posix.dirname(key), path)), path });
  return { files: await fetchModel(model, beside, known?.files ?? [], context), commit: null };
}

async function fetchFolder(
  { key: prefix, root, title }: BucketLocation,
  bucket: Bucket,
  known: PlaceState | null,
  context: FetchContext,
): Promise<PlaceState> {
  const listed = (await bucket.list(prefix)).map((object) => ({ ...object, path: object.key.slice(prefix.length) }));
  const { files: safe, leftOut } = safeFiles(listed);
  for (const { path, reason } of leftOut) context.onNotice(`${title}/${path} is left out: ${reason}`);
  if (safe.length === 0) {
    throw new SourceError(
      `${title}: nothing is there; check the bucket and the prefix, which is a folder's whole name`,
    );
  }
  const budget = new SizeBudget(context.maxBytes);
  const get = async ({ key, path, etag, bytes }: ListedFile): Promise<CachedFile> => {
    const place = posix.join(root, path);
    const before = known?.files.find((file) => file.path === place) ?? null;
    if (before !== null && etag !== null && before.etag === etag) {
      budget.take(`${title}/${path}`, bytes);
      return before;
    }
    return fetchFile({ ...bucket.wanted(key), path: place, etag, bytes }, before, budget, context);
  };
  // Settings say which versions are wanted.
  const settings = safe.filter(
    ({ path }) => SETTINGS_NAMES.includes(posix.basename(path)) && path.split('/').length <= 2,
  );
  const got = new Map<string, CachedFile>();
  await inParallel(settings, FETCHED_SIDE_BY_SIDE, async (each) => void got.set(each.path, await get(each)));
  const said = await settingsOf(got, context);
  for (const [folder, { outside }] of said) {
    if (outside === null) continue;
    const line = `${posix.join(title.replace('s3://', ''), folder)} is left out: its settings name ${outside}, which is not in its folder`;
    if (folder === '') throw new SourceError(line);
    context.onNotice(line);
  }
  const inside = safe.filter(({ path }) => (said.get(path.split('/')[0]!)?.outside ?? null) === null);
  const wanted = withoutOldVersions(
    inside,
    (folder) => said.get(folder)?.policy ?? (said.has(folder) ? null : POLICY_UNSAID),
  );
  const rest = wanted.filter(({ path }) => !got.has(path));
  // All of it, before any of it is fetched.
  new SizeBudget(context.maxBytes).take(title, sum(wanted));
  context.progress.expect(wanted.length, sum(wanted));
  await context.cache.assertRoom(missingBytes(rest, root, known));
  await inParallel(rest, FETCHED_SIDE_BY_SIDE, async (each) => void got.set(each.path, await get(each)));
  return { files: wanted.map(({ path }) => got.get(path)!), commit: null };
}

/** Of files that are not in the cache as far as is known. */
function missingBytes(files: readonly ListedFile[], root: string, known: PlaceState | null): number {
  const isKnown = ({ path, etag }: ListedFile): boolean =>
    known?.files.some((file) => file.path === posix.join(root, path) && etag !== null && file.etag === etag) === true;
  return sum(files.filter((file) => !isKnown(file)));
}

function sum(files: readonly ListedFile[]): number {
  return files.reduce((total, { bytes }) => total + bytes, 0);
}

/** What the settings of a model's folder say that matters before it is fetched. */
interface FolderSettings {
  /** Null where they say what is not understood here, and all versions are fetched. */
  readonly policy: VersionPolicy | null;
  /** A file outside of the folder that they name; null where there is none. */
  readonly outside: string | null;
}

/** By folder, '' for the place itself; of those that have any. */
async function settingsOf(
  got: ReadonlyMap<string, CachedFile>,
  { cache }: FetchContext,
): Promise<ReadonlyMap<string, FolderSettings>> {
  const { parse } = await import('yaml');
  const settings = new Map<string, FolderSettings>();
  for (const [path, { sha256, bytes }] of got) {
    const folder = posix.dirname(path) === '.' ? '' : posix.dirname(path);
    const text = bytes > MOST_SETTINGS_BYTES ? '' : await readFile(cache.blobPath(sha256), 'utf8');
    const own = posix.basename(path) === 'model.yaml' ? saidInYaml(text, parse) : saidInTritonConfig(text);
    const other = settings.get(folder);
    const isUnclear = own.policy === null || other?.policy === null;
    const policy = isUnclear
      ? null
      : posix.basename(path) === 'model.yaml'
        ? own.policy
        : (other?.policy ?? own.policy);
    settings.set(folder, { policy, outside: own.outside ?? other?.outside ?? null });
  }
  return settings;
}

/** What is wrong in it is told by whoever reads the model's folder. */
function saidInYaml(text: string, parse: (text: string) => unknown): FolderSettings {
  let settings: unknown;
  try {
    settings = parse(text);
  } catch {
    return { policy: null, outside: null };
  }
  const policy = policySaid((settings as { readonly versions?: unknown } | null)?.versions);
  return { policy, outside: namedInYaml(settings).find((path) => !staysInside(path)) ?? null };
}

function saidInTritonConfig(text: string): FolderSettings {
  const policy = text.includes('version_policy') ? null : POLICY_UNSAID;
  return { policy, outside: namedInTritonConfig(text).find((path) => !staysInside(path)) ?? null };
}
