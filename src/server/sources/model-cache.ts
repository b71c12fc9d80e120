import { createHash, randomBytes } from 'node:crypto';
import {
  chmod,
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import { z } from 'zod';
import type { PartialFile } from './partial-files.js';
import { removeOldPartials } from './partial-files.js';
import { SourceError } from './source-error.js';

/*
 * What was fetched, on this machine's disk. Several processes use it at once without a lock: files get their names when they are whole,
 * and what has its name is not changed any more.
 *
 *   blobs/<sha256>               files by their content
 *   snapshots/<key>/<digest>/    a place as it was at one time: links to blobs, under the names that they have there
 *   sources/<key>.json           by place: which files it had when it was looked at last
 *   partial/                     what is being fetched
 *
 * A server keeps its snapshot when another one fetches a newer state of the same place: its workers start again from the same files.
 * Files in a snapshot are links of the file system's own kind, not symbolic ones, as ONNX Runtime refuses weights that a symbolic link
 * leads to; the same file in two snapshots has one inode, and so is not taken for changed.
 */

const entrySchema = z.object({
  path: z.string().min(1),
  sha256: z.string().regex(/^[\da-f]{64}$/),
  bytes: z.int().min(0),
  /** At the server, which tells by it whether it is still so. */
  etag: z.string().nullable(),
});

const recordSchema = z.object({
  format: z.literal(1),
  title: z.string(),
  /** Of Hugging Face: what the revision was; null elsewhere. */
  commit: z.string().nullable(),
  files: z.array(entrySchema),
});

/** A file of a place: its path below the root, and its bytes. */
export type CachedFile = z.infer<typeof entrySchema>;
export type SourceRecord = z.infer<typeof recordSchema>;

/** Of a snapshot that somebody uses: its mark is touched so often, and believed so long. */
const MARKED_EVERY_MS = 60_000;
const MARK_LASTS_MS = 10 * 60_000;
/** Somebody may be about to use what nobody has marked yet. */
const YOUNG_MS = 60 * 60_000;
/** Left on the disk for all else. */
const SPARE_BYTES = 64 * 1024 ** 2;

/** `$XDG_CACHE_HOME/sponge`, as the XDG specification has it: a path that is not absolute counts as none. */
export function defaultCacheFolder(env: Readonly<Record<string, string | undefined>>): string {
  const stated = env['XDG_CACHE_HOME'] ?? '';
  return join(stated.startsWith('/') ? stated : join(env['HOME'] ?? homedir(), '.cache'), 'sponge');
}

export class ModelCache {
  readonly folder: string;
  /** Snapshots that this process uses, by folder. */
  readonly #marks = new Map<string, string>();
  readonly #nowUnixMs: () => number;
  #timer: NodeJS.Timeout | undefined;

  /** @param nowUnixMs the time that the file system's own is compared with */
  constructor(folder: string, nowUnixMs: () => number = Date.now) {
    this.folder = folder;
    this.#nowUnixMs = nowUnixMs;
  }

  get partialFolder(): string {
    return join(this.folder, 'partial');
  }

  /** @throws SourceError where it cannot be written to */
  async open(): Promise<void> {
    try {
      for (const name of ['blobs', 'partial', 'snapshots', 'sources'])
        await mkdir(join(this.folder, name), { recursive: true });
    } catch (error) {
      throw new SourceError(
        `the cache ${this.folder} cannot be made: ${(error as Error).message}; name another with --model-cache`,
      );
    }
  }

  /** No more is touched by this process. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([...this.#marks.values()].map((mark) => rm(mark, { force: true })));
    this.#marks.clear();
  }

  // ---- places --------------------------------------------------------------------------------------------------------

  /** What is known of a place, if all of its files are there; null: nothing, or not all. */
  async recall(key: string): Promise<SourceRecord | null> {
    const text = await readFile(join(this.folder, 'sources', `${key}.json`), 'utf8').catch(() => null);
    const record = text === null ? null : parseRecord(text);
    return record !== null && (await this.#missing(record)).length === 0 ? record : null;
  }

  async remember(key: string, record: SourceRecord): Promise<void> {
    await this.#write(join(this.folder, 'sources', `${key}.json`), `${JSON.stringify(record, null, 1)}\n`);
  }

  async #missing({ files }: SourceRecord): Promise<readonly string[]> {
    const there = await Promise.all(files.map(({ sha256, bytes }) => this.has(sha256, bytes)));
    return files.filter((_, index) => !there[index]).map(({ path }) => path);
  }

  // ---- files ---------------------------------------------------------------------------------------------------------

  blobPath(sha256: string): string {
    return join(this.folder, 'blobs', sha256);
  }

  async has(sha256: string, bytes: number | null): Promise<boolean> {
    const info = await stat(this.blobPath(sha256)).catch(() => null);
    return info !== null && (bytes === null || info.size === bytes);
  }

  async sizeOf(sha256: string): Promise<number> {
    return (await stat(this.blobPath(sha256))).size;
  }

  /** A file that is whole comes to be known by its content. */
  async keep(partial: PartialFile, sha256: string): Promise<void> {
    // The one that is there already has links in snapshots: a second one would look like another file.
    if (await this.has(sha256, partial.bytes)) return partial.remove();
    await chmod(partial.path, 0o444);
    await rename(partial.path, this.blobPath(sha256));
  }

  /** @throws SourceError where so much more would fill the disk */
  async assertRoom(bytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.folder);
    const free = bavail * bsize;
    if (bytes + SPARE_BYTES <= free) return;
    throw new SourceError(
      `${inMb(bytes)} MB are to be fetched, and the disk of ${this.folder} has ${inMb(free)} MB free: make room, or name another folder with --model-cache`,
    );
  }

  // ---- snapshots -----------------------------------------------------------------------------------------------------

  /**
   * The folder of a place with these files, made if it is not there. From then on this process uses it.
   * @param before what the place had before: profiles that were measured of what has stayed come along; null for nothing
   */
  async snapshot(key: string, files: readonly CachedFile[], before: readonly CachedFile[] | null): Promise<string> {
    const all = join(this.folder, 'snapshots', key);
    const folder = join(all, digestOf(files));
    if (!(await isWhole(folder, files))) {
      await rm(folder, { recursive: true, force: true });
      await this.#makeSnapshot(folder, files, before === null ? null : join(all, digestOf(before)));
    }
    await this.#mark(folder);
    return folder;
  }

  async #makeSnapshot(folder: string, files: readonly CachedFile[], previous: string | null): Promise<void> {
    const draft = `${folder}.${randomBytes(6).toString('hex')}.tmp`;
    try {
      for (const { path, sha256 } of files) {
        const target = join(draft, path);
        await mkdir(dirname(target), { recursive: true });
        // Not every file system has links of this kind.
        await link(this.blobPath(sha256), target).catch(() => copyFile(this.blobPath(sha256), target));
      }
      if (previous !== null) await carryProfiles(previous, draft, files);
      await rename(draft, folder);
    } catch (error) {
      await rm(draft, { recursive: true, force: true });
      // Somebody else has made the same meanwhile.
      if (await isWhole(folder, files)) return;
      throw error;
    }
  }

  async #mark(folder: string): Promise<void> {
    if (this.#marks.has(folder)) return;
    const mark = `${folder}.${randomBytes(6).toString('hex')}.used`;
    this.#marks.set(folder, mark);
    await writeFile(mark, '');
    this.#timer ??= setInterval(() => {
      const now = new Date();
      for (const each of this.#marks.values()) void utimes(each, now, now).catch(() => undefined);
    }, MARKED_EVERY_MS).unref();
  }

  /**
   * What nobody uses goes: older snapshots of a place, and files that are in none.
   * @param isUsed of a snapshot that this process has been given: whether it still is
   */
  async tidy(key: string, current: string, isUsed: (folder: string) => boolean): Promise<void> {
    const all = join(this.folder, 'snapshots', key);
    const names = await readdir(all).catch((): string[] => []);
    const marks = await Promise.all(
      names
        .filter((name) => name.endsWith('.used'))
        .map(async (name) => [name, await this.#ageOf(join(all, name))] as const),
    );
    for (const name of names.filter((each) => !each.includes('.'))) {
      const folder = join(all, name);
      if (folder === current || (this.#marks.has(folder) && isUsed(folder)) || (await this.#ageOf(folder)) < YOUNG_MS)
        continue;
      const own = this.#marks.get(folder);
      const others = marks.filter(([mark]) => mark.startsWith(`${name}.`) && join(all, mark) !== own);
      if (others.some(([, ageMs]) => ageMs < MARK_LASTS_MS)) continue;
      this.#marks.delete(folder);
      await rm(folder, { recursive: true, force: true });
      for (const mark of [...others.map(([each]) => join(all, each)), own])
        if (mark !== undefined) await rm(mark, { force: true });
    }
    for (const name of names.filter((each) => each.endsWith('.tmp')))
      if ((await this.#ageOf(join(all, name))) > YOUNG_MS) await rm(join(all, name), { recursive: true, force: true });
    await this.#removeUnlinked();
    await removeOldPartials(this.partialFolder, this.#nowUnixMs());
  }

  /** A file that no snapshot has: it has no other link. */
  async #removeUnlinked(): Promise<void> {
    const folder = join(this.folder, 'blobs');
    for (const name of await readdir(folder)) {
      const info = await stat(join(folder, name)).catch(() => null);
      // A link that is made or taken away counts as a change.
      if (info?.nlink === 1 && this.#nowUnixMs() - info.ctimeMs > YOUNG_MS)
        await rm(join(folder, name), { force: true });
    }
  }

  /** Infinite of what is not there any more. */
  async #ageOf(path: string): Promise<number> {
    const info = await stat(path).catch(() => null);
    return info === null ? Infinity : this.#nowUnixMs() - info.mtimeMs;
  }

  async #write(path: string, text: string): Promise<void> {
    const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
    try {
      await writeFile(draft, text);
      await rename(draft, path);
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
  }
}

function parseRecord(text: string): SourceRecord | null {
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

function digestOf(files: readonly CachedFile[]): string {
  const lines = files.map(({ path, sha256 }) => `${sha256} ${path}`).sort();
  return createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 32);
}

async function isWhole(folder: string, files: readonly CachedFile[]): Promise<boolean> {
  const sizes = await Promise.all(
    files.map(async ({ path }) => (await stat(join(folder, path)).catch(() => null))?.size),
  );
  return files.every(({ bytes }, index) => sizes[index] === bytes);
}

/** Profiles lie beside the models that they are of: those of folders where all has stayed as it was. */
async function carryProfiles(previous: string, draft: string, files: readonly CachedFile[]): Promise<void> {
  const folders = new Set(files.map(({ path }) => posix.dirname(path)));
  for (const folder of folders) {
    const names = await readdir(join(previous, folder)).catch((): string[] => []);
    const own = files.filter(({ path }) => posix.dirname(path) === folder);
    const same = await Promise.all(own.map(({ path }) => isSameFile(join(previous, path), join(draft, path))));
    if (!same.every((each) => each)) continue;
    for (const name of names.filter((each) => /\.profile\.[\w.-]+$/.test(each) && !each.endsWith('.tmp')))
      await link(join(previous, folder, name), join(draft, folder, name)).catch(() => undefined);
  }
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const [one, other] = await Promise.all([a, b].map((path) => stat(path).catch(() => null)));
  return one != null && other != null && one.ino === other.ino && one.dev === other.dev;
}

function inMb(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
