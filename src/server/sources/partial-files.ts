import { createHash, randomBytes, type Hash } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

/*
 * Files that are being fetched, or were until a connection or a process ended. Each belongs to one process at a time: the name says whose,
 * and a rename makes it another's. The name also has what tells one state of the file at the server from another (`validator`), so that
 * bytes and validator cannot come apart.
 *
 *   <key>.<validator, base64url>.left            nobody's: to be gone on with
 *   <key>.<validator, base64url>.<random>.part   being written; of a process that died it is written no more
 */

/** Longer than any silence that a fetch bears: nobody writes to it any more. */
const ABANDONED_AFTER_MS = 5 * 60_000;
/** Of a validator: with it a name still fits every file system. */
const MOST_VALIDATOR_BYTES = 96;

export class PartialFile {
  readonly #folder: string;
  readonly #key: string;
  readonly #random = randomBytes(6).toString('hex');
  #path: string;
  #file: FileHandle;
  #hash: Hash = createHash('sha256');
  #bytes = 0;
  #validator: string | null;

  private constructor(folder: string, key: string, path: string, validator: string | null, file: FileHandle) {
    this.#folder = folder;
    this.#key = key;
    this.#path = path;
    this.#validator = validator;
    this.#file = file;
  }

  /** One that was left, or a new one. @param key of what is fetched: letters, digits, `-` */
  static async begin(folder: string, key: string): Promise<PartialFile> {
    await mkdir(folder, { recursive: true });
    const own = `.${randomBytes(6).toString('hex')}.part`;
    for (const name of (await readdir(folder)).filter((each) => each.startsWith(`${key}.`))) {
      const [, encoded = '', state] = name.split('.');
      const path = join(folder, name);
      if (state !== 'left' && !(await isAbandoned(path))) continue;
      const claimed = join(folder, `${key}.${encoded}${own}`);
      // Somebody else may be quicker.
      if (
        !(await rename(path, claimed).then(
          () => true,
          () => false,
        ))
      )
        continue;
      const file = await open(claimed, 'r+');
      const partial = new PartialFile(folder, key, claimed, Buffer.from(encoded, 'base64url').toString(), file);
      await partial.#readAll();
      return partial;
    }
    const path = join(folder, `${key}.${own}`);
    return new PartialFile(folder, key, path, null, await open(path, 'wx+'));
  }

  get bytes(): number {
    return this.#bytes;
  }

  get path(): string {
    return this.#path;
  }

  /** Of the state at the server that it is a part of; null: it cannot be gone on with. */
  get validator(): string | null {
    return this.#validator;
  }

  sha256(): string {
    return this.#hash.copy().digest('hex');
  }

  /** From its first byte, as a part of another state. */
  async restart(validator: string | null): Promise<void> {
    await this.#file.truncate(0);
    this.#bytes = 0;
    this.#hash = createHash('sha256');
    const fits = validator !== null && Buffer.byteLength(validator) <= MOST_VALIDATOR_BYTES;
    this.#validator = fits ? validator : null;
    await this.#moveTo(`${this.#name()}.${this.#random}.part`);
  }

  /** @throws the file system's error */
  async append(piece: Buffer): Promise<void> {
    let done = 0;
    while (done < piece.length) {
      const { bytesWritten } = await this.#file.write(piece, done, piece.length - done, this.#bytes + done);
      done += bytesWritten;
    }
    this.#hash.update(piece);
    this.#bytes += piece.length;
  }

  /** It is whole: on the disk whatever happens, and somebody else's to move. */
  async finish(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
  }

  /** Somebody may go on with it; where nobody can, nothing stays. */
  async leave(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    if (this.#validator === null || this.#bytes === 0) return this.remove();
    await this.#moveTo(`${this.#name()}.left`).catch(() => undefined);
  }

  async remove(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await rm(this.#path, { force: true });
  }

  #name(): string {
    return `${this.#key}.${Buffer.from(this.#validator ?? '').toString('base64url')}`;
  }

  async #moveTo(name: string): Promise<void> {
    const path = join(this.#folder, name);
    await rename(this.#path, path);
    this.#path = path;
  }

  async #readAll(): Promise<void> {
    const piece = Buffer.allocUnsafeSlow(1024 ** 2);
    for (;;) {
      const { bytesRead } = await this.#file.read(piece, 0, piece.length, this.#bytes);
      if (bytesRead === 0) return;
      this.#hash.update(piece.subarray(0, bytesRead));
      this.#bytes += bytesRead;
    }
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => null);
  return info !== null && Date.now() - info.mtimeMs > ABANDONED_AFTER_MS;
}

/** Ages after which what nobody goes on with is removed. */
const LEFT_FOR_MS = 7 * 24 * 3600_000;

export async function removeOldPartials(folder: string, nowUnixMs: number): Promise<void> {
  for (const name of await readdir(folder).catch((): string[] => [])) {
    const path = join(folder, name);
    const info = await stat(path).catch(() => null);
    if (info !== null && nowUnixMs - info.mtimeMs > LEFT_FOR_MS) await rm(path, { force: true });
  }
}
