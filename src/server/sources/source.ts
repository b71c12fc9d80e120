import type { CachedFile, ModelCache } from './model-cache.js';
import type { WebClient } from './web-client.js';

/* What the kinds of places have in common: one looks at what is there now, and fetches what is not in the cache yet. */

export interface FetchContext {
  readonly cache: ModelCache;
  readonly client: WebClient;
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Most bytes of one place, all its files together. */
  readonly maxBytes: number;
  readonly progress: FetchProgress;
  readonly onNotice: (line: string) => void;
  readonly pauseFactor: number;
}

export interface FetchProgress {
  /** Of a file: bytes that are there, of how many; null where that is not known. */
  at(title: string, bytes: number, totalBytes: number | null): void;
  /** Of all files of a place, where that is known beforehand. */
  expect(files: number, bytes: number): void;
}

/** The state of a place. */
export interface PlaceState {
  readonly files: readonly CachedFile[];
  /** Of Hugging Face; null elsewhere. */
  readonly commit: string | null;
}

/**
 * Fetches what of a place is not in the cache.
 * @param known its state when it was looked at last, all of it in the cache; null for none
 * @throws SourceError, in one line; the signal's reason
 */
export type FetchPlace = (known: PlaceState | null, context: FetchContext) => Promise<PlaceState>;
