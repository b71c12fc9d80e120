import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FetchedModels, type SourceOptions } from '../../../src/server/sources/fetched-models.js';

/* Fetches in this process, into a cache of their own. */

export class Fetching {
  readonly folder = mkdtempSync(join(tmpdir(), 'sponge-sources-test-'));
  /** Told by the fetch. */
  readonly notices: string[] = [];
  readonly progress: string[] = [];
  readonly #opened: FetchedModels[] = [];

  async open(place: string, options: Partial<SourceOptions> = {}): Promise<FetchedModels> {
    const models = await FetchedModels.open(place, {
      folder: this.folder,
      isOffline: false,
      maxBytes: 1024 ** 3,
      bucket: { endpoint: null, addressing: 'auto' },
      env: { HOME: this.folder },
      onProgress: (line) => this.progress.push(line),
      onNotice: (line) => this.notices.push(line),
      interruption: new AbortController().signal,
      silenceMs: 20_000,
      pauseFactor: 0,
      ...options,
    });
    this.#opened.push(models);
    return models;
  }

  /** What a fetch that fails says. */
  async failure(place: string, options: Partial<SourceOptions> = {}): Promise<string> {
    try {
      await this.open(place, options);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error(`${place} was fetched`);
  }

  /** Names in a folder of the cache. */
  names(...folder: string[]): readonly string[] {
    try {
      return readdirSync(join(this.folder, ...folder)).sort();
    } catch {
      return [];
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.map((models) => models.close()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
