import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/*
 * A folder for copies of a model that nobody else may touch while it is loaded: its graph and weights as this machine's kernels
 * want them, which all sessions map, whatever their thread count, so that the weights are in memory once; or weights in files of
 * their own. It is gone as soon as the sessions stand (what is mapped stays); one left behind by a process that was killed before
 * that is removed by the next. Synchronous: libuv's pool, which runs the model, is not to be asked for files.
 */

const PREFIX = 'sponge-weights-';

/** @throws the file system's error: no room, no rights */
export async function withTemporaryFolder<Result>(use: (folder: string) => Promise<Result>): Promise<Result> {
  removeForgotten(PREFIX);
  const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of processes that are gone. @param prefix of the folders' names, which goes on with the number of the process that made it */
export function removeForgotten(prefix: string): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
    } catch {
      // Another user's stays.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
