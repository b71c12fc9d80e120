import { createThreadUsage, socketThreads, type ThreadUsage } from '../scalers/inference-threads.js';

interface Watched {
  readonly readPids: () => readonly number[];
  /** By place in the list of process ids. */
  readonly processes: WatchedProcess[];
}

interface WatchedProcess {
  readonly usage: ThreadUsage;
  pid: number;
}

/** CPU used outside the resized groups: this process, and its workers' threads that are not in them. */
export class RouterCpu {
  readonly #workers: Watched[] = [];

  /** @param readPids of the workers of one model, 0 for one that is not there now; always as many */
  add(readPids: () => readonly number[]): void {
    const processes = readPids().map(() => ({ usage: createThreadUsage(socketThreads), pid: 0 }));
    this.#workers.push({ readPids, processes });
  }

  /** Cumulative; what a worker used between the last call and its death is not seen. */
  usedSeconds(): number {
    const { user, system } = process.cpuUsage();
    let seconds = (user + system) / 1e6;
    for (const { readPids, processes } of this.#workers) {
      const pids = readPids();
      for (const [place, process] of processes.entries()) seconds += usedBy(process, pids[place] ?? 0);
    }
    return seconds;
  }
}

function usedBy(watched: WatchedProcess, pid: number): number {
  if (pid !== 0 && pid !== watched.pid) {
    watched.usage.attach(pid);
    watched.pid = pid;
  }
  return watched.usage.usedSeconds();
}
