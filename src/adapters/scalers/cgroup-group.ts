import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { GroupLock } from './group-lock.js';
import { acquireGroupLock } from './group-lock.js';
import { ScalerUnavailable } from './scaler-handle.js';

/** One group that this process owns: a directory of the same name in each tree. */
export interface ClaimedGroup {
  /** True when the thread is a member everywhere. */
  hasThread(tid: number): boolean;
  /** Ends leftover members, removes the directories and gives up the name. */
  remove(): Promise<void>;
}

/** Workers of a router that died exit by themselves within 1 s; half of that again for a loaded machine. */
const LEAVE_BY_THEMSELVES_MS = 1500;
/** SIGKILL needs one scheduling of each thread; a throttled one waits for its quota first. */
const KILLED_MS = 2000;
const POLL_MS = 20;

/**
 * Makes the group, after reclaiming one that a dead owner left under this name.
 * @param parentDirs the cgroup directory to make it in, one per tree
 * @param membersFile `tasks` (v1) or `cgroup.threads` (v2): one thread id per line
 * @throws ScalerUnavailable without the right to make it; Error when a running server owns it or it cannot be emptied
 */
export async function claimGroup(
  parentDirs: readonly string[],
  directoryName: string,
  membersFile: string,
): Promise<ClaimedGroup> {
  const hidden = parentDirs.find((parent) => !existsSync(parent));
  if (hidden !== undefined) throw new ScalerUnavailable(`our own cgroup ${hidden} is not visible from in here`);
  const dirs = parentDirs.map((parent) => join(parent, directoryName));
  const lock = await acquireGroupLock(parentDirs[0]!, directoryName);
  try {
    await removeDirs(dirs, membersFile);
    for (const dir of dirs) makeDir(dir);
  } catch (error) {
    removeEmptyDirs(dirs);
    lock.release();
    throw error;
  }
  return claimed(dirs, membersFile, lock);
}

function claimed(dirs: readonly string[], membersFile: string, lock: GroupLock): ClaimedGroup {
  return {
    hasThread: (tid) => dirs.every((dir) => readMembers(dir, membersFile).includes(tid)),
    async remove() {
      try {
        await removeDirs(dirs, membersFile);
      } finally {
        lock.release();
      }
    },
  };
}

/** A worker may fail, and be gone, before it is looked for. */
export function isThreadAlive(pid: number, tid: number): boolean {
  return existsSync(`/proc/${pid}/task/${tid}`);
}

function makeDir(dir: string): void {
  try {
    mkdirSync(dir);
  } catch (error) {
    throw noRight(dir, error);
  }
}

function noRight(dir: string, error: unknown): ScalerUnavailable {
  const { code } = error as NodeJS.ErrnoException;
  return new ScalerUnavailable(
    `no right to make or remove groups in ${dirname(dir)} (${code ?? 'unknown error'}): ` +
      'run as root, or on cgroup v2 as a systemd service with Delegate=cpu',
    { cause: error },
  );
}

/** Waits for members to leave, then kills the processes of those that stay: only our workers ever join our groups. */
async function removeDirs(dirs: readonly string[], membersFile: string): Promise<void> {
  const left = dirs.filter((dir) => existsSync(dir));
  if (await becomesRemovable(left, LEAVE_BY_THEMSELVES_MS)) return;
  for (const dir of left) for (const tid of readMembers(dir, membersFile)) killProcessOfThread(tid);
  if (await becomesRemovable(left, KILLED_MS)) return;
  throw new Error(`cannot remove the CPU group ${left.join(', ')}: it still has members; end them and start again`);
}

async function becomesRemovable(dirs: readonly string[], timeoutMs: number): Promise<boolean> {
  const untilMs = performance.now() + timeoutMs;
  while (!removeEmptyDirs(dirs)) {
    if (performance.now() > untilMs) return false;
    await delay(POLL_MS);
  }
  return true;
}

/** The kernel removes a group only when it has no members and no children. */
function removeEmptyDirs(dirs: readonly string[]): boolean {
  for (const dir of dirs) {
    try {
      rmdirSync(dir);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EBUSY' || code === 'ENOTEMPTY') return false;
      if (code !== 'ENOENT') throw noRight(dir, error);
    }
  }
  return true;
}

function readMembers(dir: string, membersFile: string): number[] {
  try {
    const text = readFileSync(join(dir, membersFile), 'utf8');
    return text.split('\n').filter(Boolean).map(Number);
  } catch {
    return []; // removed meanwhile
  }
}

function killProcessOfThread(tid: number): void {
  try {
    const status = readFileSync(`/proc/${tid}/status`, 'utf8');
    const pid = Number(/^Tgid:\s*(\d+)$/m.exec(status)?.[1]);
    if (pid > 0 && pid !== process.pid) process.kill(pid, 'SIGKILL');
  } catch {
    // gone meanwhile, or not ours to kill: the caller sees that the group stays
  }
}
