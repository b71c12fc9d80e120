import type { Event } from '../../scheduler/domain/event.js';
import type { PipelineWork } from '../comparison/run-seed.js';

/*
 * Whose work was done: core-seconds of batches, in equal parts of their members, and what functions' threads took, by request. What was spent
 * on requests that were lost is work that was done for nothing.
 *
 * A batch's core-seconds are what was in force where it ran, until it ended, whatever came of it.
 */

interface RunningBatch {
  readonly instance: number;
  readonly owners: readonly number[];
  coreMs: number;
  sinceMs: number;
}

export class WorkLedger {
  /** Core-ms by request; a function's thread is one core. */
  readonly #byRequest: Float64Array;
  /** Of functions alone. */
  #functionMs = 0;
  #totalMs = 0;

  constructor(requestCount: number) {
    this.#byRequest = new Float64Array(requestCount);
  }

  add(request: number, coreMs: number): void {
    this.#byRequest[request]! += coreMs;
    this.#totalMs += coreMs;
  }

  addFunction(request: number, ms: number): void {
    this.#functionMs += ms;
    this.add(request, ms);
  }

  report(isOnTime: Uint8Array): WorkReport {
    let lostMs = 0;
    this.#byRequest.forEach((coreMs, request) => {
      if (isOnTime[request] === 0) lostMs += coreMs;
    });
    return {
      workCoreSeconds: this.#totalMs / 1000,
      lostCoreSeconds: lostMs / 1000,
      functionSeconds: this.#functionMs / 1000,
    };
  }
}

export type WorkReport = Omit<PipelineWork, 'meanBoundCoreSeconds'>;

/** The batches of one model, as its events tell of them. */
export class BatchWork {
  readonly #ledger: WorkLedger;
  readonly #ownerOf: (sequence: number) => number;
  readonly #inForceMillicores: number[];
  readonly #running = new Map<number, RunningBatch>();

  /** @param ownerOf the request that a part is of */
  constructor(ledger: WorkLedger, initialMillicores: readonly number[], ownerOf: (sequence: number) => number) {
    this.#ledger = ledger;
    this.#ownerOf = ownerOf;
    this.#inForceMillicores = [...initialMillicores];
  }

  observe(event: Event): void {
    switch (event.kind) {
      case 'batch-started':
        this.#running.set(event.batchId, {
          instance: event.instance ?? 0,
          owners: event.sequences.map(this.#ownerOf),
          coreMs: 0,
          sinceMs: event.atMs,
        });
        break;
      case 'resized': {
        const instance = event.instance ?? 0;
        for (const batch of this.#running.values()) if (batch.instance === instance) this.#accrue(batch, event.atMs);
        this.#inForceMillicores[instance] = event.cpuMillicores;
        break;
      }
      case 'batch-ended': {
        const batch = this.#running.get(event.batchId);
        if (batch === undefined) return;
        this.#running.delete(event.batchId);
        this.#accrue(batch, event.atMs);
        for (const owner of batch.owners) this.#ledger.add(owner, batch.coreMs / batch.owners.length);
        break;
      }
      default:
    }
  }

  #accrue(batch: RunningBatch, atMs: number): void {
    batch.coreMs += (this.#inForceMillicores[batch.instance]! / 1000) * (atMs - batch.sinceMs);
    batch.sinceMs = atMs;
  }
}
