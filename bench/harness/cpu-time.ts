import { readdirSync, readFileSync } from 'node:fs';

/** CPU that a process and its children have used so far, ms: of all threads that live. Linux only; 0 elsewhere. */
export function usedCpuMs(pid: number): number {
  if (process.platform !== 'linux') return 0;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return [pid, ...children].reduce((sum, each) => sum + ofThreads(each), 0);
}

/** Nanoseconds on a core come first (`Documentation/scheduler/sched-stats.rst`). */
function ofThreads(pid: number): number {
  const files = readdirSync(`/proc/${pid}/task`).map((tid) => `/proc/${pid}/task/${tid}/schedstat`);
  return files.reduce((sum, file) => sum + Number(readFileSync(file, 'utf8').split(' ')[0]) / 1e6, 0);
}
