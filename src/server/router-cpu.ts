import { createThreadUsage, socketThreads, type ThreadUsage } from './scalers/inference-threads.js';

/*
 * CPU used outside the resized groups: this process, and its workers' threads that are not in them. A worker is read when
 * somebody asks, and once more before it is ended; a process that dies by itself takes along what it used since it was read.
 */
export class RouterCpu {
  readonly #createUsage: () => ThreadUsage;
  readonly #readPids = new Set<() => readonly number[]>();
  readonly #usages = new Map<number, ThreadUsage>();
  /** Of workers that are gone. */
  #endedSeconds = 0;

  constructor(createUsage = (): ThreadUsage => createThreadUsage(socketThreads)) {
    this.#createUsage = createUsage;
  }

  /**
   * @param readPids of the workers of one model; 0 stands for one that is not there now
   * @returns ends it, when the workers are about to be ended: what they used until then is counted
   */
  add(readPids: () => readonly number[]): () => void {
    this.#readPids.add(readPids);
    return () => {
      this.#readPids.delete(readPids);
      for (const pid of readPids()) if (pid !== 0) this.settle(pid);
    };
  }

  /** A worker is about to be ended: the last moment at which what it used can be read. It is not among its model's any more. */
  settle(pid: number): void {
    this.#endedSeconds += this.#usageOf(pid).usedSeconds();
    this.#usages.delete(pid);
  }

  /** Cumulative. */
  usedSeconds(): number {
    const living = new Set([...this.#readPids].flatMap((readPids) => readPids()).filter((pid) => pid !== 0));
    for (const pid of [...this.#usages.keys()]) if (!living.has(pid)) this.settle(pid);
    const { user, system } = process.cpuUsage();
    let seconds = (user + system) / 1e6 + this.#endedSeconds;
    for (const pid of living) seconds += this.#usageOf(pid).usedSeconds();
    return seconds;
  }

  #usageOf(pid: number): ThreadUsage {
    const known = this.#usages.get(pid);
    if (known !== undefined) return known;
    const usage = this.#createUsage();
    usage.attach(pid);
    this.#usages.set(pid, usage);
    return usage;
  }
}
