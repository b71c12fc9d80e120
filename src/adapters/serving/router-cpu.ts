import { createThreadUsage, socketThreads, type ThreadUsage } from '../scalers/inference-threads.js';
import type { ProcessPool } from '../workers/process-pool.js';

interface Watched {
  readonly pool: ProcessPool;
  readonly usage: ThreadUsage;
  pid: number;
}

/** CPU used outside the resized groups: this process, and its workers' threads that are not in them. */
export class RouterCpu {
  readonly #workers: Watched[] = [];

  add(pool: ProcessPool): void {
    this.#workers.push({ pool, usage: createThreadUsage(socketThreads), pid: 0 });
  }

  /** Cumulative; what a worker used between the last call and its death is not seen. */
  usedSeconds(): number {
    const { user, system } = process.cpuUsage();
    let seconds = (user + system) / 1e6;
    for (const worker of this.#workers) {
      const { pid } = worker.pool;
      if (pid !== 0 && pid !== worker.pid) {
        worker.usage.attach(pid);
        worker.pid = pid;
      }
      seconds += worker.usage.usedSeconds();
    }
    return seconds;
  }
}
