import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { removeForgotten } from '../onnx-runtime/temporary-folder.js';

/*
 * The folder of a model that was sent with the call that loads it: among the machine's temporary files, and gone when nobody holds it any
 * more, which is when the model is unloaded, or another has taken its place. One left behind by a server that was killed is removed
 * by the next that needs one.
 */

const PREFIX = 'sponge-sent-';

/** Kept while somebody needs what is in it. */
export interface HeldFolder {
  hold(): void;
  /** Once for each `hold`, and once for its making. Resolves when it is gone, if that was the last. */
  release(): Promise<void>;
}

export class SentFolder implements HeldFolder {
  readonly path: string;
  #holders = 1;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * @param files by their paths in it, of which none leads out of it
   * @throws the file system's error: no room, no rights; nothing is left then
   */
  static async write(files: ReadonlyMap<string, Uint8Array>): Promise<SentFolder> {
    removeForgotten(PREFIX);
    const folder = new SentFolder(await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`)));
    try {
      for (const [path, bytes] of files) {
        const full = join(folder.path, path);
        await mkdir(dirname(full), { recursive: true });
        await writeFile(full, bytes);
      }
      // Workers of a server that is root are another user.
      if (process.getuid?.() === 0) await chmod(folder.path, 0o755);
      return folder;
    } catch (error) {
      await folder.release();
      throw error;
    }
  }

  hold(): void {
    this.#holders += 1;
  }

  async release(): Promise<void> {
    this.#holders -= 1;
    if (this.#holders === 0) await rm(this.path, { recursive: true, force: true });
  }
}
