import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/*
 * A folder for the optimised copy of a model: its graph, and its weights as this machine's kernels want them. All sessions
 * map that one file, whatever their thread count, so that the weights are in memory once. It is gone as soon as the sessions
 * stand (what is mapped stays); one left behind by a process that was killed before that is removed by the next.
 */

const PREFIX = 'sponge-weights-';

/** @throws the file system's error: no room, no rights */
export async function withOptimizedFolder<Result>(use: (folder: string) => Result): Promise<Result> {
  await removeForgotten();
  const folder = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
  try {
    return use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function removeForgotten(): Promise<void> {
  const names = await readdir(tmpdir());
  const forgotten = names.filter((name) => {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    return pid !== undefined && !isAlive(Number(pid));
  });
  // Another user's stay.
  await Promise.all(
    forgotten.map((name) => rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => undefined)),
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
