import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { fetchBucketPlace } from './bucket-place.js';
import { FetchProgressLine } from './fetch-progress.js';
import { fetchHubPlace } from './hub-place.js';
import { parseLocation, type Location } from './location.js';
import { ModelCache, type SourceRecord } from './model-cache.js';
import type { BucketChoice } from './s3-bucket.js';
import { SourceError } from './source-error.js';
import type { FetchContext, FetchPlace, PlaceState } from './source.js';
import { WebClient } from './web-client.js';
import { fetchWebPlace } from './web-place.js';

/*
 * Models from elsewhere: fetched into the cache, and from then on a path like any other. A place may be looked at again; what is new is in
 * another folder then, so that what is served stays as it is.
 */

export interface SourceOptions {
  /** Of the cache. */
  readonly folder: string;
  /** Nothing is asked: what is in the cache has to do. */
  readonly isOffline: boolean;
  readonly maxBytes: number;
  readonly bucket: BucketChoice;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the fetch is at; each replaces the one before. */
  readonly onProgress: (message: string) => void;
  /** What is to be known of it: one line. */
  readonly onNotice: (line: string) => void;
  readonly interruption: AbortSignal;
  /** A connection on which nothing comes for so long is dead. */
  readonly silenceMs?: number;
  /** Times the pauses between attempts. */
  readonly pauseFactor?: number;
}

/** A slow disk behind a server wants some seconds; a dead connection is soon worth a new one. */
const SILENCE_MS = 30_000;

export class FetchedModels {
  readonly #options: SourceOptions;
  readonly #location: Location;
  readonly #fetch: FetchPlace;
  readonly #cache: ModelCache;
  readonly #key: string;
  readonly #closing = new AbortController();
  /** What was told already: a place that is looked at every few seconds says the same each time. */
  readonly #told = new Set<string>();
  /** By folder: when another one took its place. */
  readonly #leftAtMs = new Map<string, number>();
  #folder = '';
  #refreshing: Promise<void> | null = null;

  private constructor(location: Location, options: SourceOptions) {
    this.#options = options;
    this.#location = location;
    this.#fetch = fetchOf(location, options.bucket);
    this.#cache = new ModelCache(options.folder);
    this.#key = keyOf(location, options);
  }

  /** @throws SourceError, in one line with its remedy; the interruption's reason */
  static async open(text: string, options: SourceOptions): Promise<FetchedModels> {
    const models = new FetchedModels(parseLocation(text), options);
    await models.#cache.open();
    try {
      await models.#begin();
    } catch (error) {
      await models.close();
      throw error;
    }
    return models;
  }

  /** As it may be shown. */
  get title(): string {
    return this.#location.title;
  }

  /** The folder or the file that holds them now. */
  get path(): string {
    return join(this.#folder, this.#location.root);
  }

  /** What the cache has is served where the place cannot be reached: a machine that starts without a network serves what it served. */
  async #begin(): Promise<void> {
    const { isOffline, onNotice } = this.#options;
    const known = await this.#cache.recall(this.#key);
    if (isOffline) {
      if (known === null) {
        throw new SourceError(
          `--offline: ${this.title} is not in the cache ${this.#options.folder}, or not all of it: start once without --offline`,
        );
      }
      return this.#use(known);
    }
    try {
      await this.#fetchInto(known, this.#options.interruption);
    } catch (error) {
      if (known === null || !(error instanceof SourceError) || !error.isPassing) throw error;
      onNotice(`${error.message}; what the cache has of it is served`);
      await this.#use(known);
    }
  }

  /**
   * Fetches what is new. Whoever asks while it is fetched gets the same.
   * @param used paths of models that are in use: their folders stay
   * @throws SourceError; what there is stays
   */
  refresh(used: readonly string[]): Promise<void> {
    if (this.#options.isOffline) return Promise.resolve();
    this.#refreshing ??= this.#refresh(used).finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  async #refresh(used: readonly string[]): Promise<void> {
    await this.#fetchInto(await this.#cache.recall(this.#key), this.#closing.signal);
    const isUsed = (folder: string): boolean =>
      used.some((path) => path.startsWith(`${folder}/`)) ||
      performance.now() - (this.#leftAtMs.get(folder) ?? -Infinity) < STAYS_FOR_MS;
    await this.#cache.tidy(this.#key, this.#folder, isUsed);
  }

  #tell(line: string): void {
    if (this.#told.has(line)) return;
    if (this.#told.size >= MOST_TOLD) this.#told.clear();
    this.#told.add(line);
    this.#options.onNotice(line);
  }

  async close(): Promise<void> {
    this.#closing.abort(new SourceError('the server is shutting down'));
    await this.#refreshing?.catch(() => undefined);
    await this.#cache.close();
  }

  async #fetchInto(known: SourceRecord | null, signal: AbortSignal): Promise<void> {
    const { env, maxBytes, onProgress, silenceMs = SILENCE_MS, pauseFactor = 1 } = this.#options;
    const { sha256 } = this.#location;
    // Bytes that are known by their sum, and are there, are right whatever the place has now.
    if (known !== null && sha256 !== null && known.files[0]?.sha256 === sha256) return this.#use(known);
    const client = new WebClient({ silenceMs, env });
    const progress = new FetchProgressLine(onProgress, () => performance.now());
    const context: FetchContext = {
      ...{ cache: this.#cache, client, signal, env, maxBytes, progress, pauseFactor },
      onNotice: (line) => this.#tell(line),
    };
    let state: PlaceState;
    try {
      state = await this.#fetch(known, context);
    } finally {
      client.close();
    }
    const record: SourceRecord = { format: 1, title: this.title, commit: state.commit, files: [...state.files] };
    // Its files are in the snapshot before anybody is told of it.
    await this.#use(record, known);
    if (JSON.stringify(record) !== JSON.stringify(known)) await this.#cache.remember(this.#key, record);
  }

  /** @param before the last state, whose profiles are taken along */
  async #use({ files }: SourceRecord, before: SourceRecord | null = null): Promise<void> {
    const folder = await this.#cache.snapshot(this.#key, files, before?.files ?? null);
    if (this.#folder !== '' && folder !== this.#folder) this.#leftAtMs.set(this.#folder, performance.now());
    this.#leftAtMs.delete(folder);
    this.#folder = folder;
  }
}

/** Lines that are remembered. */
const MOST_TOLD = 1000;

/** Longer than any model takes to be loaded from a folder. */
const STAYS_FOR_MS = 60 * 60_000;

function fetchOf(location: Location, bucket: BucketChoice): FetchPlace {
  switch (location.kind) {
    case 'web':
      return fetchWebPlace(location);
    case 'hub':
      return fetchHubPlace(location);
    case 'bucket':
      return fetchBucketPlace(location, bucket);
  }
}

/** The same for the same place: what is asked for, and of whom. */
function keyOf(location: Location, { bucket, env }: SourceOptions): string {
  const parts =
    location.kind === 'web'
      ? [location.url.href, location.authorization]
      : location.kind === 'hub'
        ? [location.title, env['HF_ENDPOINT']]
        : [location.title, bucket.endpoint ?? env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL']];
  const sum = createHash('sha256')
    .update(JSON.stringify([location.kind, location.sha256, ...parts]))
    .digest('hex');
  return `${location.root.replaceAll(/[^\w-]/g, '-').slice(0, 40)}-${sum.slice(0, 16)}`;
}
