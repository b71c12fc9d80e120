/*
 * Holds every request from its admission to its one outcome. Between admission and dispatcher.
 *
 * Invariants:
 * - every request that is held gets exactly one outcome, and is forgotten with it;
 * - a held request is in exactly one place: the queue, the set-aside queue, or (state `running`) with the dispatcher;
 * - a deadline is watched exactly while its request is queued and not yet overdue, where the policy knows deadlines at all.
 */
import type { Clock } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import type { Outcome } from '../domain/outcome.js';
import type { InferRequest } from '../domain/request.js';
import { BySequence } from './by-sequence.js';
import { Deadlines } from './deadlines.js';
import { EdfQueue } from './edf-queue.js';
import { mayBeLate, type OnOutcome, type QueueEntry } from './queue-entry.js';
import type { WorkerPool } from './worker-pool.js';

/** A queue to look at; only `HeldRequests` changes it. */
export type QueueView = Pick<EdfQueue<QueueEntry>, 'size' | 'peek' | 'firstInOrder'>;

export class HeldRequests {
  readonly #workers: WorkerPool;
  readonly #isDeadlineAware: boolean;
  readonly #emit: (event: Event) => void;
  readonly #entries = new BySequence<QueueEntry>();
  readonly #queue = new EdfQueue<QueueEntry>();
  readonly #setAside = new EdfQueue<QueueEntry>();
  readonly #deadlines: Deadlines;
  #byteCount = 0;
  #onEmpty: (() => void) | null = null;

  /** @param isDeadlineAware whether deadlines end the wait of queued requests */
  constructor(clock: Clock, workers: WorkerPool, emit: (event: Event) => void, isDeadlineAware: boolean) {
    this.#isDeadlineAware = isDeadlineAware;
    this.#workers = workers;
    this.#emit = emit;
    this.#deadlines = new Deadlines(clock, this.#queue, (sequence, nowMs) => this.#expire(sequence, nowMs));
  }

  get count(): number {
    return this.#entries.size;
  }

  /** Input bytes of all that is held. */
  get byteCount(): number {
    return this.#byteCount;
  }

  /** Requests that wait, the set-aside ones included. */
  get queueDepth(): number {
    return this.#queue.size + this.#setAside.size;
  }

  get queue(): QueueView {
    return this.#queue;
  }

  /** Waiting behind all others: best effort, overdue without a stated deadline, or beyond saving. */
  get setAside(): QueueView {
    return this.#setAside;
  }

  get(sequence: number): QueueEntry | undefined {
    return this.#entries.get(sequence);
  }

  /** The queue in its order. A list of its own. */
  queueInOrder(): QueueEntry[] {
    return this.#queue.toSortedArray();
  }

  /** Everything that waits: the queue in its order, then what is set aside. A list of its own. */
  waiting(): QueueEntry[] {
    return [...this.#queue.toSortedArray(), ...this.#setAside.toSortedArray()];
  }

  hold(entry: QueueEntry): void {
    this.#entries.add(entry);
    this.#byteCount += entry.byteCount;
    this.enqueue(entry);
  }

  /** Into the queue where its flags say. Also for one that is tried again. */
  enqueue(entry: QueueEntry): void {
    entry.state = 'queued';
    (entry.isSetAside ? this.#setAside : this.#queue).push(entry);
    if (this.#isDeadlineAware) this.#deadlines.watch(entry);
  }

  /** Out of the queue and into a batch. */
  take(sequence: number): QueueEntry {
    const entry = this.#entries.get(sequence)!;
    this.#dequeue(entry);
    entry.state = 'running';
    return entry;
  }

  /** Behind all others from now on. */
  moveAside(entry: QueueEntry): void {
    this.#dequeue(entry);
    entry.isSetAside = true;
    this.enqueue(entry);
  }

  /** The one outcome of a request that the worker need not run, or whose result it may drop. */
  withdraw(nowMs: number, entry: QueueEntry, outcome: Outcome): void {
    this.#workers.unstage(entry.sequence);
    this.finish(nowMs, entry, outcome);
  }

  /**
   * The one outcome of a request that the worker has no part in any more. A finished one is left alone: whoever is told of
   * an outcome may cancel other requests, also those that a loop here is about to finish.
   */
  finish(nowMs: number, entry: QueueEntry, outcome: Outcome): void {
    if (entry.state === 'finished') return;
    if (entry.state === 'queued') this.#dequeue(entry);
    entry.state = 'finished';
    this.#entries.delete(entry);
    this.#byteCount -= entry.byteCount;
    this.report(nowMs, entry.request, outcome, entry.onOutcome);
    this.#checkEmpty();
  }

  /** The outcome of a request that was never held, too. */
  report(nowMs: number, request: InferRequest, outcome: Outcome, onOutcome: OnOutcome): void {
    this.#emit({ kind: 'request-finished', atMs: nowMs, request, outcome });
    onOutcome(outcome);
  }

  /** Ends all of them, running ones included, as the server shuts down; no timer is left. */
  abandon(nowMs: number): void {
    this.#deadlines.stop();
    for (const entry of this.#entries.toArray()) {
      this.finish(nowMs, entry, {
        kind: 'failed',
        reason: 'draining',
        message: 'the server shut down before it was served',
      });
    }
  }

  /** Calls back, once, when nothing is held; at once where that is so now. */
  whenEmpty(onEmpty: () => void): void {
    this.#onEmpty = onEmpty;
    this.#checkEmpty();
  }

  #dequeue(entry: QueueEntry): void {
    (entry.isSetAside ? this.#setAside : this.#queue).remove(entry);
    this.#deadlines.forget(entry);
  }

  #expire(sequence: number, nowMs: number): void {
    const entry = this.#entries.get(sequence);
    if (entry?.state !== 'queued') return;
    if (mayBeLate(entry.request)) {
      // It stays, but no longer goes before requests that can still be on time.
      if (!entry.isSetAside) this.moveAside(entry);
      return;
    }
    this.withdraw(nowMs, entry, { kind: 'expired', reason: 'expired', lateByMs: nowMs - entry.request.dueAtMs });
  }

  #checkEmpty(): void {
    if (this.#onEmpty === null || this.#entries.size > 0) return;
    const onEmpty = this.#onEmpty;
    this.#onEmpty = null;
    onEmpty();
  }
}
