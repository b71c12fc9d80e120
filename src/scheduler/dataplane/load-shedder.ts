/*
 * The load shedder carries out what the plan gives up: a request that cannot be met at the largest allocation waits behind
 * all others where it may be late or may yet be lucky, and is refused with a time to come back otherwise. `overload.ts`
 * decides whom of the window, `overload-behind.ts` how many behind it.
 */
import { hopefulLatencyMs } from '../domain/latency.js';
import { WINDOW_SIZE } from '../domain/queue-snapshot.js';
import { requestsPerBatch, type ShapeClass } from '../domain/request.js';
import { ClassTable } from './class-table.js';
import type { ClientShares } from './client-shares.js';
import { compareByDeadline } from './edf-queue.js';
import type { Dispatcher } from './dispatcher.js';
import type { HeldRequests } from './held-requests.js';
import { decideShedding } from './overload.js';
import { excessBehind } from './overload-behind.js';
import { mayBeLate, type QueueEntry } from './queue-entry.js';
import type { WorkerPool } from './worker-pool.js';

/** Requests looked at for each that is given up behind the window. */
const LOOKS_EACH = 8;

export class LoadShedder {
  readonly #held: HeldRequests;
  readonly #dispatcher: Dispatcher;
  readonly #workers: WorkerPool;
  /** The largest allocation that can be had, which changes. */
  readonly #most: { readonly maxMillicores: number };
  readonly #shares: ClientShares;

  constructor(
    held: HeldRequests,
    dispatcher: Dispatcher,
    workers: WorkerPool,
    most: { readonly maxMillicores: number },
    shares: ClientShares,
  ) {
    this.#held = held;
    this.#dispatcher = dispatcher;
    this.#workers = workers;
    this.#most = most;
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
      const finishAtMs = startAtMs + hopefulLatencyMs(entry.model, 1, this.#most.maxMillicores);
      if (mayBeLate(entry.request) || finishAtMs <= entry.request.dueAtMs) this.#held.moveAside(entry);
      else this.refuse(nowMs, entry);
    }
  }

  /** Of the window, gives up the fewest requests such that the largest allocation meets all others; others where a client would starve. */
  shed(nowMs: number): void {
    const { maxBatchSize } = this.#workers;
    const { maxMillicores } = this.#most;
    const table = new ClassTable();
    const work = this.#held.window().map((entry) => ({
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

  /**
   * Gives up those behind the window that there is surely no room for. It is the newest: whose arrival made it too much is told at
   * once, and nobody has waited for nothing. Those of clients that have less than their floor come last.
   */
  shedBehind(nowMs: number): void {
    const marks = this.#held.marksBehind();
    if (marks.length === 0) return;
    const freeAtMs = nowMs + this.#dispatcher.inFlightRemainingMs(nowMs, 'predictedLatencyMs');
    const dueAtMs = marks.map(({ place, item }) => ({ place, dueAtMs: item.dueAtMs }));
    const excess = excessBehind(dueAtMs, freeAtMs, this.#leastMsEach());
    if (excess.length === 0) return;
    const isPoor = this.#poverty(nowMs);
    const victims = new Set<QueueEntry>();
    for (const { place, count } of excess) {
      const { item } = marks.find((mark) => mark.place === place)!;
      this.#chooseBehind(victims, { mark: item, place, count, isPoor });
    }
    const sequences = [...victims].map(({ sequence }) => sequence);
    this.shedThese(nowMs, sequences);
  }

  /** Adds so many of those between the window and a mark. */
  #chooseBehind(
    victims: Set<QueueEntry>,
    asked: {
      readonly mark: QueueEntry;
      readonly place: number;
      readonly count: number;
      readonly isPoor: (entry: QueueEntry) => boolean;
    },
  ): void {
    const { queue } = this.#held;
    const { mark, place, count, isPoor } = asked;
    const [lastOfWindow] = queue.between(WINDOW_SIZE - 1, WINDOW_SIZE);
    const isBetween = (entry: QueueEntry): boolean =>
      entry.state === 'queued' &&
      !entry.isSetAside &&
      !entry.isExploring &&
      !victims.has(entry) &&
      compareByDeadline(entry, lastOfWindow!) > 0 &&
      compareByDeadline(entry, mark) <= 0;
    const end = victims.size + count;
    for (const entry of this.#held.newestFirst(LOOKS_EACH * (end + 1))) {
      if (victims.size === end) return;
      if (isBetween(entry) && !isPoor(entry)) victims.add(entry);
    }
    // The newest are due later, or poor: the latest due before the mark, then.
    const first = Math.max(WINDOW_SIZE, place + 1 - LOOKS_EACH * count);
    const latest = queue
      .between(first, place + 1)
      .reverse()
      .filter(isBetween);
    const [poor, others] = [latest.filter(isPoor), latest.filter((entry) => !isPoor(entry))];
    for (const entry of [...others, ...poor].slice(0, end - victims.size)) victims.add(entry);
  }

  /** Whether clients are below their floor. */
  #poverty(nowMs: number): (entry: QueueEntry) => boolean {
    const floor = this.#shares.floor(nowMs);
    const known = new Map<string, boolean>();
    return ({ request: { client } }) => {
      let isPoor = known.get(client);
      if (isPoor === undefined) {
        isPoor = floor > 0 && this.#shares.servedOf(client, nowMs) < floor;
        known.set(client, isPoor);
      }
      return isPoor;
    };
  }

  /** Time for a request of the window's mix, at the least, in the batches that do most on all there is. */
  #leastMsEach(): number {
    const { maxBatchSize, instanceCount } = this.#workers;
    const sideBySide = Math.max(1, instanceCount);
    const millicoresEach = this.#dispatcher.slots.areApart
      ? this.#most.maxMillicores / sideBySide
      : this.#most.maxMillicores;
    const ofClass = new Map<ShapeClass, number>();
    let sumMs = 0;
    const window = this.#held.window();
    for (const { shapeClass, model } of window) {
      let msEach = ofClass.get(shapeClass);
      if (msEach === undefined) {
        msEach = Infinity;
        for (let size = requestsPerBatch(maxBatchSize, shapeClass.rowCount); size >= 1; size--)
          msEach = Math.min(msEach, hopefulLatencyMs(model, size, millicoresEach) / size);
        ofClass.set(shapeClass, msEach);
      }
      sumMs += msEach;
    }
    return sumMs / (window.length * sideBySide);
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
    const restartMs = Math.max(0, this.#dispatcher.outage.readyAtMs(nowMs) - nowMs);
    const startMs = this.#dispatcher.inFlightRemainingMs(nowMs, 'plannedLatencyMs') + restartMs;
    if (head === undefined) return startMs;
    const maxBatchSize = requestsPerBatch(this.#workers.maxBatchSize, head.request.shapeClass.rowCount);
    // Those that are apart divide the CPU as well as the queue.
    const sideBySide = this.#dispatcher.slots.areApart ? Math.max(1, this.#workers.instanceCount) : 1;
    const batchLatencyMs = head.model.plannedLatencyMs(maxBatchSize, this.#most.maxMillicores / sideBySide);
    return startMs + (this.#held.queueDepth / (maxBatchSize * sideBySide)) * batchLatencyMs;
  }

  /**
   * Gives a queued request up, with the time after which it may be worth trying again: for overload, or, while the worker is
   * away, for want of it. Or it is tried, where its class was always given up of late.
   */
  refuse(nowMs: number, entry: QueueEntry): void {
    if (this.#held.tryInstead(nowMs, entry)) return;
    if (!this.#dispatcher.isWorkerReady) {
      this.#held.withdraw(nowMs, entry, this.#dispatcher.outage.refusal(nowMs));
      return;
    }
    const lateByMs = nowMs - entry.request.dueAtMs;
    if (lateByMs >= 0) {
      // Its timer is a little late, and trying again later would not help it.
      this.#held.withdraw(nowMs, entry, { kind: 'expired', reason: 'expired', lateByMs });
      return;
    }
    const bestCaseMs = entry.model.plannedLatencyMs(1, this.#most.maxMillicores);
    const backlogMs = this.backlogMs(nowMs);
    this.#held.withdraw(nowMs, entry, {
      kind: 'rejected-overload',
      reason: 'queue_overload',
      bestCaseMs,
      remainingBudgetMs: -lateByMs,
      earliestFinishMs: backlogMs + bestCaseMs,
      retryAfterMs: backlogMs,
    });
  }
}
