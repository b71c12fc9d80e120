import { readFileSync, readdirSync } from 'node:fs';
import { INFERENCE_THREAD_NAME } from './join.js';

/** Unit of the times in `/proc/<pid>/stat` on every Linux architecture: USER_HZ, `getconf CLK_TCK` (proc(5), time(7)). */
const TICKS_PER_SECOND = 100;

/** Thread ids of the inference thread and of the threads it made, which have its name; empty when the process is gone. */
export function inferenceThreads(pid: number): number[] {
  return taskIds(pid).filter((tid) => isInferenceThread(pid, tid));
}

/** The worker's other threads: sockets, staging, the runtime's helpers. */
export function socketThreads(pid: number): number[] {
  return taskIds(pid).filter((tid) => !isInferenceThread(pid, tid));
}

function isInferenceThread(pid: number, tid: number): boolean {
  return readTask(pid, tid, 'comm')?.trim() === INFERENCE_THREAD_NAME;
}

/** The kernel's list of CPUs that a thread may run on, such as `0-1`; null when the thread is gone. */
export function allowedCpuList(pid: number, tid: number): string | null {
  return /^Cpus_allowed_list:\s*(\S+)$/m.exec(readTask(pid, tid, 'status') ?? '')?.[1] ?? null;
}

/** Adds up the CPU time of some threads of every worker so far, where no group counts it. */
export interface ThreadUsage {
  attach(pid: number): void;
  /** In steps of 10 ms per thread. What a thread used between the last call and its end is not seen. */
  usedSeconds(): number;
}

export function createThreadUsage(threadsOf = inferenceThreads): ThreadUsage {
  let pid: number | null = null;
  let endedTicks = 0;
  let ticksByThread = new Map<number, number>();

  function sample(): void {
    const now = new Map<number, number>();
    for (const tid of pid === null ? [] : threadsOf(pid)) {
      const ticks = usedTicks(readTask(pid!, tid, 'stat'));
      if (ticks !== null) now.set(tid, ticks);
    }
    for (const [tid, ticks] of ticksByThread) if (!now.has(tid)) endedTicks += ticks;
    ticksByThread = now;
  }

  return {
    attach(newPid) {
      sample();
      for (const ticks of ticksByThread.values()) endedTicks += ticks;
      ticksByThread = new Map();
      pid = newPid;
    },
    usedSeconds() {
      sample();
      let ticks = endedTicks;
      for (const threadTicks of ticksByThread.values()) ticks += threadTicks;
      return ticks / TICKS_PER_SECOND;
    },
  };
}

/** CPU time of these threads of a process so far; null where the platform does not tell. */
export function usedSecondsOf(pid: number, threadIds: readonly number[]): number | null {
  if (process.platform !== 'linux') return null;
  const usage = createThreadUsage(() => [...threadIds]);
  usage.attach(pid);
  return usage.usedSeconds();
}

/** utime + stime, fields 14 and 15; counted from behind the name, which may hold spaces and parentheses. */
function usedTicks(stat: string | null): number | null {
  if (stat === null) return null;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

function taskIds(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return []; // the process is gone
  }
}

function readTask(pid: number, tid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/task/${tid}/${file}`, 'utf8');
  } catch {
    return null; // the thread is gone
  }
}
