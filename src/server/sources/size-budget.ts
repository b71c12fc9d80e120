import { SourceError } from './source-error.js';

/** How much is fetched from one place in all, its files that are fetched side by side together. */
export class SizeBudget {
  readonly #maxBytes: number;
  readonly #files = new Map<string, number>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** A file has so many bytes, as far as is known. @throws SourceError where that is too much */
  take(title: string, bytes: number): void {
    this.#bytes += bytes - (this.#files.get(title) ?? 0);
    this.#files.set(title, bytes);
    if (this.#bytes <= this.#maxBytes) return;
    throw new SourceError(
      `${title}: more than ${Number((this.#maxBytes / 1024 ** 2).toFixed(3))} MiB in all; allow more with --max-model-mib if it is the right place`,
    );
  }
}
