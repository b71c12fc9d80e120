import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';

/*
 * What was loaded is what is served: the first worker of a model says which bytes it loaded, and every later one, after a crash or
 * as a replica, loads the same or none. A file that was replaced would otherwise be another model under the same version.
 * Read synchronously, a piece a turn: the thread for asynchronous file calls is busy loading the model (`InstanceThreads`).
 */

/** A file that a model was loaded from. */
export interface ModelFile {
  readonly path: string;
  readonly sha256: string;
}

/** The files were changed; the message says which, and the remedy. */
class ModelChangedError extends Error {
  override readonly name = 'ModelChangedError';
}

/** The bytes at these paths, from before the model is loaded from them until it is there. */
export class ModelBytes {
  readonly #paths: readonly string[];
  readonly #marks: Promise<readonly string[]>;
  readonly #files: Promise<readonly ModelFile[]>;

  /** Begins to read them. @param paths the model's file first */
  constructor(paths: readonly string[]) {
    this.#paths = paths;
    this.#marks = marksOf(paths);
    this.#files = Promise.all(paths.map(async (path) => ({ path, sha256: await sha256Of(path) })));
    // Both are awaited once the model is loaded, which may fail first, or never come to it.
    this.#marks.catch(() => undefined);
    this.#files.catch(() => undefined);
  }

  /**
   * Once the model is loaded: which bytes it was loaded from.
   * @param expected what an earlier worker of this model loaded; null for the first one
   * @throws ModelChangedError where they are others, or were changed while they were loaded
   */
  async verify(expected: readonly ModelFile[] | null): Promise<readonly ModelFile[]> {
    const files = await this.#files;
    const [before, after] = [await this.#marks, await marksOf(this.#paths)];
    const torn = this.#paths.find((_, i) => before[i] !== after[i]);
    if (torn !== undefined) throw new ModelChangedError(`${torn} was changed while it was loaded; start again`);
    const other = expected?.find(({ path, sha256 }) =>
      files.every((file) => file.path !== path || file.sha256 !== sha256),
    );
    if (other !== undefined) {
      throw new ModelChangedError(
        `${other.path} changed on disk since it was loaded; put it back, or restart the server to serve the new one`,
      );
    }
    return files;
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- what fails is told when it is asked for
async function marksOf(paths: readonly string[]): Promise<readonly string[]> {
  return paths.map((path) => {
    const { ino, size, mtimeMs } = statSync(path);
    return [ino, size, mtimeMs].join(' ');
  });
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafeSlow(READ_BYTES);
  const fd = openSync(path, 'r');
  try {
    for (;;) {
      const byteCount = readSync(fd, piece);
      if (byteCount === 0) break;
      hash.update(piece.subarray(0, byteCount));
      await setImmediate();
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

const READ_BYTES = 1024 ** 2;
