/*
 * What becomes of the members of a batch that has no result: the model refused it, or its worker was lost.
 *
 * - Of a batch that broke each member is tried again alone, so that the one at fault fails only itself.
 * - A worker that crashed (died of a signal that an input causes) while it ran one request crashed of that request: it is not tried
 *   again, and what it was is reported (`onPoison`), also where its client has left.
 * - One that was killed (by an operator, or for memory) may have been killed for anything: its members are tried once more, and
 *   fail when it happens again.
 */
import type { InferRequest } from '../domain/request.js';
import type { CrashingClients } from './crashing-clients.js';
import type { HeldRequests } from './held-requests.js';
import type { QueueEntry } from './queue-entry.js';
import type { BatchResult } from './worker-pool.js';

type Loss = Extract<BatchResult, { kind: 'worker-lost' }>;

export interface BrokenBatchesOptions {
  readonly held: HeldRequests;
  readonly clients: CrashingClients;
  /** Sends the inputs of one that is queued again. */
  readonly stage: (entry: QueueEntry) => void;
  readonly onPoison: (request: InferRequest) => void;
}

export class BrokenBatches {
  readonly #options: BrokenBatchesOptions;
  /** Members of the batches that were lost with the last worker, until it is known when that is back. */
  #lost: QueueEntry[] = [];
  #isCrash = false;

  constructor(options: BrokenBatchesOptions) {
    this.#options = options;
  }

  /** The model refused a batch, or was stopped in it; the worker lives on. */
  refused(nowMs: number, members: readonly QueueEntry[], message: string): void {
    const { held } = this.#options;
    for (const entry of members) {
      if (entry.state === 'finished') continue;
      const isAtFault = members.length === 1 || entry.isRetry;
      if (isAtFault) held.finish(nowMs, entry, { kind: 'failed', reason: 'backend', message });
      else this.#requeueAlone(entry);
    }
  }

  /** Its worker was the last one; `settle` follows, when all batches that it ran are here. */
  keep(members: readonly QueueEntry[], { isCrash = false }: Loss): void {
    this.#lost.push(...members);
    this.#isCrash ||= isCrash;
  }

  settle(nowMs: number, message: string): void {
    const [lost, isCrash] = [this.#lost, this.#isCrash];
    this.#lost = [];
    this.#isCrash = false;
    this.lost(nowMs, lost, { kind: 'worker-lost', message, isCrash });
  }

  /** @param members all that one worker ran when it was lost */
  lost(nowMs: number, members: readonly QueueEntry[], { message, isCrash = false }: Loss): void {
    const [only] = members;
    if (isCrash && members.length === 1 && only !== undefined) this.#blame(nowMs, only, message);
    else if (isCrash) this.#separate(nowMs, members);
    else this.#retryKilled(nowMs, members, message);
  }

  #blame(nowMs: number, entry: QueueEntry, message: string): void {
    const { held, clients, onPoison } = this.#options;
    onPoison(entry.request);
    clients.crashed(nowMs, entry.request.client);
    const outcome = { kind: 'failed', reason: 'poison', message: `this request ended its worker: ${message}` } as const;
    held.finish(nowMs, entry, outcome);
  }

  #separate(nowMs: number, members: readonly QueueEntry[]): void {
    for (const entry of members) {
      if (entry.state === 'finished') this.#options.clients.suspected(nowMs, entry.request.client);
      else {
        entry.isSuspect = true;
        this.#requeueAlone(entry);
      }
    }
  }

  #retryKilled(nowMs: number, members: readonly QueueEntry[], message: string): void {
    const { held } = this.#options;
    for (const entry of members) {
      if (entry.state === 'finished') continue;
      if (entry.wasKilled) held.finish(nowMs, entry, { kind: 'failed', reason: 'backend', message });
      else {
        entry.wasKilled = true;
        this.#requeueAlone(entry);
      }
    }
  }

  #requeueAlone(entry: QueueEntry): void {
    entry.isRetry = true;
    entry.isExploring = false;
    entry.isStaged = false;
    this.#options.held.enqueue(entry);
    this.#options.stage(entry);
  }
}
