import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { threadsIn } from './join.js';

/*
 * Who is in a CPU group, and who should be: the kernel lets a group be removed only when it is empty, so whoever removes one has
 * moved its threads out before, and a group that is made again is of no use without them.
 *
 * A thread that is in another of our groups is left there: of several instances in one process each has its own group, and the
 * threads of all are born in the first one's (`workers/instance-threads.ts`).
 */

export class GroupMembers {
  readonly #files: readonly string[];
  #pid = 0;
  /** What has to be in it, with whatever else was when it was last seen there; 0 before there is a worker. */
  #inferenceTid = 0;
  #known: readonly number[] = [];

  /** @param files of thread ids, one in each tree */
  constructor(files: readonly string[]) {
    this.#files = files;
  }

  attach(pid: number, inferenceTid: number): void {
    this.#pid = pid;
    this.#inferenceTid = inferenceTid;
    this.#known = [inferenceTid];
  }

  /** Also where the thread has ended: a worker may fail before it is looked for. */
  isComplete(): boolean {
    const tid = this.#inferenceTid;
    return !isThreadAlive(this.#pid, tid) || this.#files.every((file) => threadsIn(file).includes(tid));
  }

  /** True where somebody had moved threads out, which are in it again. */
  noteOrBringBack(): boolean {
    if (this.isComplete()) {
      const [first = ''] = this.#files;
      const threads = threadsIn(first);
      if (threads.includes(this.#inferenceTid)) this.#known = threads;
      return false;
    }
    return this.bringBack() > 0;
  }

  /** @returns how many were brought back; one that cannot be is left where it is */
  bringBack(): number {
    const present = this.#files.map(threadsIn);
    const isAstray = (tid: number): boolean =>
      !present.every((threads) => threads.includes(tid)) &&
      isThreadAlive(this.#pid, tid) &&
      !isInOtherGroup(this.#pid, tid, this.#files);
    const astray = this.#known.filter(isAstray);
    return astray.filter((tid) => this.#files.every((file) => moves(tid, file))).length;
  }
}

function isThreadAlive(pid: number, tid: number): boolean {
  return existsSync(`/proc/${pid}/task/${tid}`);
}

function isInOtherGroup(pid: number, tid: number, files: readonly string[]): boolean {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/task/${tid}/cgroup`, 'utf8');
  } catch {
    return true; // ended meanwhile
  }
  const ours = text.split('\n').flatMap((line) => /\/(sponge-[^/]+)$/.exec(line)?.[1] ?? []);
  return ours.some((name) => !files.some((file) => file.split('/').at(-2) === name));
}

function moves(tid: number, file: string): boolean {
  try {
    writeFileSync(file, String(tid));
    return true;
  } catch {
    return false;
  }
}
