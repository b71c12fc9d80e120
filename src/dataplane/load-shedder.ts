/*
 * The load shedder carries out what the plan gives up: a request that cannot be met at the largest allocation waits behind
 * all others where it may be late or may yet be lucky, and is refused with a time to come back otherwise. `overload.ts`
 * decides whom.
 */
import { hopefulLatencyMs } from '../domain/latency.js';
import { requestsPerBatch } from '../domain/request.js';
import { restartMessage } from './admission.js';
import { ClassTable } from './class-table.js';
import type { ClientShares } from './client-shares.js';
import type { Dispatcher } from './dispatcher.js';
import type { HeldRequests } from './held-requests.js';
import { decideShedding } from './overload.js';
import { mayBeLate, type QueueEntry } from './queue-entry.js';
import type { WorkerPool } from './worker-pool.js';

export class LoadShedder {
  readonly #held: HeldRequests;
  readonly #dispatcher: Dispatcher;
  readonly #workers: WorkerPool;
  readonly #maxMillicores: number;
  readonly #shares: ClientShares;

  constructor(
    held: HeldRequests,
    dispatcher: Dispatcher,
    workers: WorkerPool,
    maxMillicores: number,
    shares: ClientShares,
  ) {
    this.#held = held;
    this.#dispatcher = dispatcher;
    this.#workers = workers;
    this.#maxMillicores = maxMillicores;
    this.#shares = shares;
  }

  /**
   * Takes note of queued requests that the planner thinks no allocation can save: they are refused now where even the typical
   * latency, or less where that is a guess, is too long, and else wait behind all others, in case the running batch ends early.
   */
  giveUp(nowMs: number, sequences: readonly number[]): void {
    for (const sequence of sequences) {
      const entry = this.#held.get(sequence);
      if (entry?.state !== 'queued' || entry.isSetAside) continue;
      const startAtMs = nowMs + this.#dispatcher.inFlightRemainingMs(nowMs, 'predictedLatencyMs');
      const finishAtMs = startAtMs + hopefulLatencyMs(entry.model, 1, this.#maxMillicores);
      if (mayBeLate(entry.request) || finishAtMs <= entry.request.dueAtMs) this.#held.moveAside(entry);
      else this.refuse(nowMs, entry);
    }
  }

  /** Gives up the fewest queued requests such that the largest allocation meets all others; others where a client would starve. */
  shed(nowMs: number): void {
    const { maxBatchSize } = this.#workers;
    const maxMillicores = this.#maxMillicores;
    const table = new ClassTable();
    const work = this.#held.queueInOrder().map((entry) => ({
      sequence: entry.sequence,
      dueAtMs: entry.request.dueAtMs,
      classIndex: table.indexOf(entry),
      client: entry.request.client,
    }));
    const freeAtMs = nowMs + this.#dispatcher.inFlightRemainingMs(nowMs, 'predictedLatencyMs');
    const shed = decideShedding({
      work,
      models: table.models,
      freeAtMs,
      maxMillicores,
      maxBatchSize,
      rowCounts: table.rowCounts,
      floor: this.#shares.floor(nowMs),
      servedOf: (client) => this.#shares.servedOf(client, nowMs),
    });
    this.shedThese(nowMs, shed);
  }

  /** Those that may be late wait behind all others from now on; the others are refused. */
  shedThese(nowMs: number, sequences: readonly number[]): void {
    for (const sequence of sequences) {
      const entry = this.#held.get(sequence);
      if (entry?.state !== 'queued' || entry.isSetAside) continue;
      if (mayBeLate(entry.request)) this.#held.moveAside(entry);
      else this.refuse(nowMs, entry);
    }
  }

  /** Time from now until all that is queued would be done at the largest allocation; an estimate for people and Retry-After. */
  backlogMs(nowMs: number): number {
    const head = this.#held.queue.peek() ?? this.#held.setAside.peek();
    const restartMs = Math.max(0, this.#dispatcher.readyAtMs(nowMs) - nowMs);
    const startMs = this.#dispatcher.inFlightRemainingMs(nowMs, 'plannedLatencyMs') + restartMs;
    if (head === undefined) return startMs;
    const maxBatchSize = requestsPerBatch(this.#workers.maxBatchSize, head.request.shapeClass.rowCount);
    // Those that are apart divide the CPU as well as the queue.
    const sideBySide = this.#dispatcher.slots.areApart ? Math.max(1, this.#workers.instanceCount) : 1;
    const batchLatencyMs = head.model.plannedLatencyMs(maxBatchSize, this.#maxMillicores / sideBySide);
    return startMs + (this.#held.queueDepth / (maxBatchSize * sideBySide)) * batchLatencyMs;
  }

  /**
   * Gives a queued request up, with the time after which it may be worth trying again: for overload, or, while the worker is
   * away, for want of it. Or it is tried, where its class was always given up of late.
   */
  refuse(nowMs: number, entry: QueueEntry): void {
    if (this.#held.tryInstead(nowMs, entry)) return;
    if (!this.#dispatcher.isWorkerReady) {
      this.#held.withdraw(nowMs, entry, {
        kind: 'failed',
        reason: 'model_unavailable',
        message: restartMessage(this.#dispatcher.workerLoss),
        retryAfterMs: Math.max(0, this.#dispatcher.readyAtMs(nowMs) - nowMs),
      });
      return;
    }
    const bestCaseMs = entry.model.plannedLatencyMs(1, this.#maxMillicores);
    const backlogMs = this.backlogMs(nowMs);
    this.#held.withdraw(nowMs, entry, {
      kind: 'rejected-overload',
      reason: 'queue_overload',
      bestCaseMs,
      remainingBudgetMs: entry.request.dueAtMs - nowMs,
      earliestFinishMs: backlogMs + bestCaseMs,
      retryAfterMs: backlogMs,
    });
  }
}
