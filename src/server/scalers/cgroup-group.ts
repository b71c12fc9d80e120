import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { GroupLock } from './group-lock.js';
import { acquireGroupLock, tryGroupLock } from './group-lock.js';
import { GroupMembers } from './group-members.js';
import { threadsIn } from './join.js';
import { ScalerUnavailable } from './scaler-handle.js';

/** One group that this process owns: a directory of the same name in each tree. */
export interface ClaimedGroup {
  /** From now on this is the thread that belongs in it. Warns where it is somewhere else. */
  attach(pid: number, inferenceTid: number): void;
  /** Takes note of who is in it, and brings back an attached thread that somebody has moved out, with those that were with it. */
  keepMembers(): void;
  /**
   * After somebody removed it: makes what is missing, as it was made first, and brings back who was in it.
   * @throws ScalerUnavailable, in one line
   */
  makeAgain(): void;
  /** @throws Error, in one line, where a thread could not be moved into it, or no quota be written */
  assertUsable(): void;
  /** Ends leftover members, removes the directories and gives up the name. */
  remove(): Promise<void>;
}

/** Workers of a router that died exit by themselves within 1 s; half of that again for a loaded machine. */
const LEAVE_BY_THEMSELVES_MS = 1500;
/** SIGKILL needs one scheduling of each thread; a throttled one waits for its quota first. */
const KILLED_MS = 2000;
const POLL_MS = 20;
/** Longer than any server takes from making a group to its worker's joining it. */
const SURELY_JOINED_MS = 600_000;

/** Where a group is made, and how. */
export interface GroupPlan {
  /** The cgroup directory to make it in, one per tree. */
  readonly parentDirs: readonly string[];
  readonly directoryName: string;
  /** `tasks` (v1) or `cgroup.threads` (v2): one thread id per line. */
  readonly membersFile: string;
  /** Files of the group that are written while it is used. */
  readonly writtenFiles: readonly string[];
  /** Gives the directories, just made, their weight and their largest quota. Throws what `fs` throws. */
  readonly setUp: () => void;
  /** Told, in one line, what others did to it. */
  readonly onWarning: (message: string) => void;
}

/**
 * Makes the group, after reclaiming one that a dead owner left under this name.
 * @throws ScalerUnavailable without the right to make it; Error when a running server owns it or it cannot be emptied
 */
export async function claimGroup(plan: GroupPlan): Promise<ClaimedGroup> {
  const { parentDirs, directoryName, membersFile } = plan;
  const hidden = parentDirs.find((parent) => !existsSync(parent));
  if (hidden !== undefined) throw new ScalerUnavailable(`our own cgroup ${hidden} is not visible from in here`);
  const dirs = parentDirs.map((parent) => join(parent, directoryName));
  const lock = await acquireGroupLock(parentDirs[0]!, directoryName);
  try {
    await removeDirs(dirs, membersFile);
    await removeDeadGroups(parentDirs);
    for (const dir of dirs) makeDir(dir);
    setUp(plan);
  } catch (error) {
    removeEmptyDirs(dirs);
    lock.release();
    throw error;
  }
  return claimed(plan, dirs, lock);
}

function claimed(plan: GroupPlan, dirs: readonly string[], lock: GroupLock): ClaimedGroup {
  const { directoryName, membersFile, onWarning } = plan;
  const files = dirs.map((dir) => join(dir, membersFile));
  const members = new GroupMembers(files);
  let isEnded = false;
  return {
    attach(pid, inferenceTid) {
      members.attach(pid, inferenceTid);
      if (members.isComplete()) return;
      onWarning(`worker ${pid} is not in ${directoryName}: its CPU is not limited`);
    },
    keepMembers() {
      if (isEnded || !dirs.every((dir) => existsSync(dir)) || !members.noteOrBringBack()) return;
      onWarning(`somebody moved threads out of the CPU group ${directoryName}: they are in it again`);
    },
    makeAgain() {
      // A late look at its counters, or a resize that was on its way.
      if (isEnded) throw new Error(`the CPU group ${directoryName} was given up`);
      for (const dir of dirs) if (!existsSync(dir)) makeDir(dir);
      setUp(plan);
      members.bringBack();
      onWarning(`somebody removed the CPU group ${directoryName}: it was made again`);
    },
    assertUsable() {
      for (const file of [...files, ...plan.writtenFiles]) closeSync(openSync(file, 'r+'));
    },
    async remove() {
      isEnded = true;
      try {
        await removeDirs(dirs, membersFile);
      } finally {
        lock.release();
      }
    },
  };
}

function setUp({ parentDirs, setUp }: GroupPlan): void {
  try {
    setUp();
  } catch (error) {
    throw new ScalerUnavailable(
      `${parentDirs[0]!} cannot hold a group with a quota (${(error as Error).message}): ` +
        'run as root, or on cgroup v2 as a systemd service with Delegate=cpu',
      { cause: error },
    );
  }
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
  for (const dir of left) for (const tid of threadsIn(join(dir, membersFile))) killProcessOfThread(tid);
  if (await becomesRemovable(left, KILLED_MS)) return;
  throw new Error(`cannot remove the CPU group ${left.join(', ')}: it still has members; end them and start again`);
}

/**
 * Groups that servers which are dead left under other names, for models that nobody may serve again. Only empty ones that have been there
 * for long: the workers of a dead server have ended, and a group with members, or one that was just made for some, may be a server's whose
 * lock cannot be seen from this network namespace.
 */
async function removeDeadGroups(parentDirs: readonly string[]): Promise<void> {
  // Those of the first tree, by which locks are named: in another may be groups of servers that are elsewhere in the first.
  for (const name of readdirSync(parentDirs[0]!).filter((each) => each.startsWith('sponge-'))) {
    if (!parentDirs.every((parent) => isOld(join(parent, name)))) continue;
    const lock = await tryGroupLock(parentDirs[0]!, name);
    try {
      if (lock !== null) removeEmptyDirs(parentDirs.map((parent) => join(parent, name)));
    } catch {
      // Not ours to remove.
    } finally {
      lock?.release();
    }
  }
}

/** A group's time is when it was made, or a group in it. One that is gone is as good as old. */
function isOld(dir: string): boolean {
  const madeAtMs = statSync(dir, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return Date.now() - madeAtMs > SURELY_JOINED_MS;
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

function killProcessOfThread(tid: number): void {
  try {
    const status = readFileSync(`/proc/${tid}/status`, 'utf8');
    const pid = Number(/^Tgid:\s*(\d+)$/m.exec(status)?.[1]);
    if (pid > 0 && pid !== process.pid) process.kill(pid, 'SIGKILL');
  } catch {
    // gone meanwhile, or not ours to kill: the caller sees that the group stays
  }
}
