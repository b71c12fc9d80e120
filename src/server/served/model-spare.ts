import type { CpuCounters } from '../../scheduler/controlplane/scaler.js';
import type { Node } from '../../scheduler/node.js';
import type { DetectedScaler } from '../scalers/detect.js';
import { filesToJoin } from '../scalers/join.js';
import { sumCounters } from '../scalers/scaler-set.js';
import { openGroup, SPARE_SLOT, type GroupOptions } from './instance-groups.js';
import type { OpenWorker } from './open-worker.js';
import { resized } from './resized.js';
import { SpareCores } from './spare-cores.js';
import type { SparedModel } from './spares.js';

/*
 * The spare of one model whose instances are in one process: where it is loaded. In a CPU group of its own, which is there only while it
 * loads; what it uses is on the model's account. Where there are no groups it is limited no more than the worker is while it loads.
 */

export interface ModelSpareOptions extends GroupOptions, Pick<SparedModel, 'onNotice'> {
  readonly worker: OpenWorker;
  readonly node: Node;
  /** Whether the node's models hold no cores that they do not use; else it is loaded on the least there is. */
  readonly canBorrow: boolean;
}

export class ModelSpare implements SparedModel {
  readonly #options: ModelSpareOptions;
  #group: DetectedScaler | null = null;
  /** In groups that are gone. */
  #usedSeconds = 0;

  constructor(options: ModelSpareOptions) {
    this.#options = options;
  }

  get pid(): number {
    return this.#options.worker.pool.spare.pid;
  }

  get isReady(): boolean {
    return this.#options.worker.pool.spare.isWaiting;
  }

  get isWorkerReady(): boolean {
    return this.#options.worker.pool.isReady?.(0) === true;
  }

  get residentBytes(): number {
    return this.#options.worker.pool.facts.residentBytes;
  }

  get onNotice(): (line: string) => void {
    return this.#options.onNotice;
  }

  get onLog(): (line: string) => void {
    return this.#options.onLog;
  }

  /** Of a model's instances, with what its spares have used. */
  withSpare(counters: CpuCounters | null): CpuCounters | null {
    if (counters === null) return null;
    const usedSeconds = this.#usedSeconds + this.#usedInGroup();
    return sumCounters(counters, { usedSeconds, periods: 0, throttledPeriods: 0, throttledSeconds: 0 });
  }

  async load(callbacks: Parameters<SparedModel['load']>[0]): Promise<void> {
    const { worker, node, canBorrow } = this.#options;
    const { scaling, pool } = worker;
    if (filesToJoin(scaling.join).length === 0) {
      pool.spare.start(scaling.join, { ...callbacks, onMovedOut: () => undefined });
      return;
    }
    const group = await openGroup(scaling, this.#options, SPARE_SLOT, scaling.scaler.limits.maxMillicores, 'a spare');
    this.#group = group;
    await resized(group.scaler, group.scaler.idleMillicores);
    const cores = canBorrow ? new SpareCores(node.budget, group.scaler) : null;
    const onMovedOut = (): void => {
      cores?.leave();
      this.#usedSeconds += this.#usedInGroup();
      this.#group = null;
      group.close().catch((error: unknown) => this.#options.onLog((error as Error).message));
    };
    try {
      pool.spare.start(group.join, { ...callbacks, onMovedOut });
    } catch (error) {
      onMovedOut();
      throw error;
    }
  }

  end(message: string): void {
    this.#options.worker.pool.spare.end(message);
  }

  #usedInGroup(): number {
    return this.#group?.scaler.readCounters()?.usedSeconds ?? 0;
  }
}
