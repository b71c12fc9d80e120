import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/*
 * What a worker process has not that its router has. A model is a program of a stranger's, run by a large C++ library: what it could
 * do to the machine is bounded before its process runs anything of ours, so that all of its threads are. The process
 * becomes Node by way of `sh` and `setpriv` (util-linux), each replacing itself: its id and its end are Node's.
 *
 * Rejected: system calls from inside the worker. `no_new_privs` and capabilities are each thread's own, and Node has threads before
 * any JavaScript runs. What is not bounded is in docs/confinement.md.
 */

/** The kernel ends a worker rather than its router when memory runs out; 1000 is the most (proc(5)). */
const OOM_SCORE_ABOVE_ROUTER = 500;
const MOST_OOM_SCORE = 1000;

/** Sockets, the model's files and the runtime's, of which a worker has below 50 open. */
const MOST_OPEN_FILES = 1024;

/** No core file: it would hold clients' inputs. A limit that cannot be set, as it is lower already, stays. */
const SCRIPT = [
  'echo "$1" 2>/dev/null >/proc/self/oom_score_adj',
  'ulimit -c 0 2>/dev/null',
  'ulimit -n "$2" 2>/dev/null',
  'ulimit -d "$3" 2>/dev/null',
  // Its own, which nobody asked for.
  'unset PWD OLDPWD SHLVL',
  'shift 3',
  'exec "$@"',
].join('; ');

const NO_NEW_PRIVILEGES = ['setpriv', '--no-new-privs'] as const;

/** A program and its arguments. */
export type Command = readonly [program: string, ...args: string[]];

/**
 * The command as a worker is to run it. Where the platform has no `setpriv` without that part, and elsewhere than on Linux as it is.
 */
export function confined(command: Command, { user, memoryBytes }: Confinement): Command {
  if (process.platform !== 'linux') return command;
  const memoryKib = memoryBytes === null ? 'unlimited' : String(Math.floor(memoryBytes / 1024));
  const prefix = hasSetpriv() ? [...NO_NEW_PRIVILEGES, ...asUser(user)] : [];
  const limits = [String(workerOomScore()), String(MOST_OPEN_FILES), memoryKib];
  return ['/bin/sh', '-c', SCRIPT, 'sh', ...limits, ...prefix, ...command];
}

export interface Confinement {
  readonly user: WorkerUser | null;
  /** Of the process, as `memory-limit.ts` counts it; null for no limit of its own. */
  readonly memoryBytes: number | null;
}

/** What may be asked of it. */
export interface ConfinementOptions {
  /** What workers run as where the router is root and that user can read the model; absent: as the router. */
  readonly workerUser?: string | undefined;
  /** Absent or null: none of their own. */
  readonly workerMemoryBytes?: number | null | undefined;
}

export function confinementOf({ workerUser, workerMemoryBytes }: ConfinementOptions): ConfinementOptions {
  return { workerUser, workerMemoryBytes };
}

/** Another user than the router's. */
export interface WorkerUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The user that workers of a model are to run as: only root can choose one, and it must be able to read what it runs.
 * @param name null for the router's own
 * @param onLog told, in one line, why they stay the router's
 */
export function workerUser(
  name: string | null,
  readFiles: readonly string[],
  onLog: (line: string) => void,
): WorkerUser | null {
  if (name === null || process.platform !== 'linux' || process.getuid?.() !== 0) return null;
  const stay = (reason: string): null => {
    onLog(`workers run as this server's own user, not as ${name}: ${reason}`);
    return null;
  };
  const [, , uid, gid] = lineOf('/etc/passwd', name)?.split(':') ?? [];
  if (uid === undefined || gid === undefined) return stay('there is no such user');
  if (Number(uid) === 0) return null;
  if (!hasSetpriv()) return stay('setpriv (util-linux) is missing');
  const user = { uid: Number(uid), gid: Number(gid) };
  const [program, ...args] = [...NO_NEW_PRIVILEGES, ...asUser(user), '/bin/sh', '-c', UNREADABLE, 'sh', ...readFiles];
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status === 0) return user;
  return stay(stdout === '' ? stderr.trim() || 'setpriv refuses' : `it cannot read ${stdout}`);
}

/** Prints the first file that cannot be read. */
const UNREADABLE = 'for file; do test -r "$file" || { printf %s "$file"; exit 1; }; done';

function asUser(user: WorkerUser | null): readonly string[] {
  if (user === null) return [];
  const ids = [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'];
  return [...ids, '--inh-caps=-all', '--bounding-set=-all'];
}

function lineOf(file: string, name: string): string | undefined {
  return readFileSync(file, 'utf8')
    .split('\n')
    .find((line) => line.startsWith(`${name}:`));
}

/** Why workers can gain privileges, in one line; null where they cannot. */
export function confinementGap(): string | null {
  if (process.platform !== 'linux') return 'workers are not confined: that is known on Linux only';
  return hasSetpriv() ? null : 'workers are not kept from new privileges: install setpriv (util-linux)';
}

function workerOomScore(): number {
  return Math.min(MOST_OOM_SCORE, Number(readFileSync('/proc/self/oom_score_adj', 'utf8')) + OOM_SCORE_ABOVE_ROUTER);
}

let isSetprivThere: boolean | null = null;

/** Asked once: it takes a few milliseconds. */
function hasSetpriv(): boolean {
  const [program, ...args] = NO_NEW_PRIVILEGES;
  isSetprivThere ??= spawnSync(program, [...args, 'true']).status === 0;
  return isSetprivThere;
}
