import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { readlink, writeFile } from 'node:fs/promises';
import { setPriority } from 'node:os';

/*
 * How a worker's threads get into their CPU group. Done for its inference thread before there is any ONNX
 * Runtime session: the kernel gives a new thread the group, the affinity mask and the name of the thread that makes it, so
 * everything ONNX Runtime starts afterwards is limited too, and nothing else of the process is. Of several instances in one
 * process, all threads of those after the first are moved one by one (`workers/instance-threads.ts`).
 */

/** How a worker enters its resized group. Plain data: it travels to the worker process as JSON. */
export type JoinInstruction =
  /** `tasks` of the group in each controller tree; all are needed. */
  | { readonly kind: 'cgroup-v1'; readonly taskFiles: readonly string[] }
  /** `cgroup.threads` of a threaded group below the cgroup that the worker process was started in. */
  | { readonly kind: 'cgroup-v2'; readonly threadsFile: string }
  | { readonly kind: 'affinity' }
  | { readonly kind: 'none' };

export interface Joined {
  /** Kernel thread id; 0 where the platform does not tell. */
  readonly tid: number;
  /** What was joined, for logs. */
  readonly joined: string;
}

/** Name (`comm`) of the inference thread and, inherited, of ONNX Runtime's threads; at most 15 bytes. */
export const INFERENCE_THREAD_NAME = 'sponge-infer';

/** Pinned cores are shared with the router: weight 335 against its 1024 (kernel/sched/core.c, sched_prio_to_weight). */
const AFFINITY_NICENESS = 5;

/**
 * Moves a thread of this process into its group and names it.
 * @throws Error, in one line, when the kernel refuses: the group is gone, or the process may not write to it
 */
export function joinGroup(instruction: JoinInstruction, tid = callingThreadId()): Joined {
  markThread(instruction, tid);
  moveThread(instruction, tid);
  return { tid, joined: [instruction.kind, ...filesToJoin(instruction)].join(' ') };
}

/** What a thread's own process does: its name, and where no group limits it its priority. */
export function markThread(instruction: JoinInstruction, tid: number): void {
  if (tid !== 0) writeFileSync(`/proc/self/task/${tid}/comm`, INFERENCE_THREAD_NAME);
  if (tid !== 0 && instruction.kind === 'affinity') setPriority(tid, AFFINITY_NICENESS);
}

function moveThread(instruction: JoinInstruction, tid: number): void {
  for (const file of filesToJoin(instruction)) {
    try {
      writeFileSync(file, String(tid));
    } catch (error) {
      throw cannotJoin(file, error);
    }
  }
}

/**
 * What whoever may write to the group does: the router, whose worker may be another user's. Not on its own thread, as the kernel may take
 * tens of milliseconds for each.
 * @throws Error, in one line, when the kernel refuses; not for a thread that has ended
 */
export async function moveThreads(instruction: JoinInstruction, tids: readonly number[]): Promise<void> {
  for (const tid of tids) {
    for (const file of filesToJoin(instruction)) {
      try {
        await writeFile(file, String(tid));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw cannotJoin(file, error);
      }
    }
  }
}

/** Whether a thread is where it would be moved to; where there is no group it is. */
export function isInGroup(instruction: JoinInstruction, tid: number): boolean {
  return filesToJoin(instruction).every((file) => threadsIn(file).includes(tid));
}

/** Of a members file; none where the group is gone. */
export function threadsIn(membersFile: string): number[] {
  try {
    return readFileSync(membersFile, 'utf8').split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function cannotJoin(file: string, error: unknown): Error {
  return new Error(`cannot join the CPU group through ${file}: ${(error as Error).message}`, { cause: error });
}

/** What a thread's id is written to. */
export function filesToJoin(instruction: JoinInstruction): readonly string[] {
  switch (instruction.kind) {
    case 'cgroup-v1':
      return instruction.taskFiles;
    case 'cgroup-v2':
      return [instruction.threadsFile];
    case 'affinity':
    case 'none':
      return [];
  }
}

/** `/proc/thread-self` reads `<pid>/task/<tid>` (proc(5)); a synchronous call runs on the thread that asks. */
export function callingThreadId(): number {
  return process.platform === 'linux' ? threadIdIn(readlinkSync('/proc/thread-self')) : 0;
}

/** Of the thread of libuv's pool that happens to answer. 0 where the platform does not tell. */
export async function poolThreadId(): Promise<number> {
  return process.platform === 'linux' ? threadIdIn(await readlink('/proc/thread-self')) : 0;
}

function threadIdIn(path: string): number {
  return Number(path.split('/').at(-1));
}
