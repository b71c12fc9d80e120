import type { Event } from '../../scheduler/domain/event.js';

/** How many batches there were, and on how little they ran. */
export class BatchLedger {
  count = 0;
  leastMillicores = Infinity;
  /** Of all batches together. */
  busyMs = 0;
  #requests = 0;
  /** By allocation: one that all instances share, or one for each. */
  readonly #inForceMillicores: number[];
  readonly #running: number[];
  /** Where each batch runs. */
  readonly #allocationOf = new Map<number, number>();

  constructor(cpuMillicores: readonly number[]) {
    this.#inForceMillicores = [...cpuMillicores];
    this.#running = cpuMillicores.map(() => 0);
  }

  get meanSize(): number {
    return this.count === 0 ? 0 : this.#requests / this.count;
  }

  observe(event: Event): void {
    let allocation: number;
    switch (event.kind) {
      case 'batch-started':
        allocation = event.instance ?? 0;
        this.count += 1;
        this.#requests += event.batchSize;
        this.#running[allocation]! += 1;
        this.#allocationOf.set(event.batchId, allocation);
        break;
      case 'batch-ended':
        this.busyMs += event.latencyMs;
        this.#running[this.#allocationOf.get(event.batchId)!]! -= 1;
        this.#allocationOf.delete(event.batchId);
        return;
      case 'resized':
        allocation = event.instance ?? 0;
        this.#inForceMillicores[allocation] = event.cpuMillicores;
        break;
      default:
        return;
    }
    if (this.#running[allocation]! === 0) return;
    this.leastMillicores = Math.min(this.leastMillicores, this.#inForceMillicores[allocation]!);
  }
}
