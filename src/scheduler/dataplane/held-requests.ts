/*
 * Holds every request from its admission to its one outcome. Between admission and dispatcher.
 *
 * Invariants:
 * - every request that is held gets exactly one outcome, and is forgotten with it;
 * - a held request is in exactly one place: the queue, the set-aside queue, the place of the one that is to be tried, or
 *   (state `running`) with the dispatcher;
 * - one that is to be tried keeps its place when it gets its outcome before it ran: its run still tells what it tells;
 * - a deadline is watched exactly while its request is queued and not yet overdue, or runs, where the policy knows deadlines at all.
 */
import type { Clock } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import type { Outcome } from '../domain/outcome.js';
import { MARK_SPACING, WINDOW_SIZE } from '../domain/queue-snapshot.js';
import type { InferRequest, ShapeClass } from '../domain/request.js';
import { BySequence } from './by-sequence.js';
import { CANDIDATE_LIMIT } from './batcher.js';
import { Deadlines } from './deadlines.js';
import { EdfQueue } from './edf-queue.js';
import type { Exploration } from './exploration.js';
import { HeldClasses } from './held-classes.js';
import { OverdueRuns } from './overdue-runs.js';
import { mayBeLate, type OnOutcome, type QueueEntry } from './queue-entry.js';
import type { WorkerPool } from './worker-pool.js';

/** A test gives way to those that would be late by it for so long. */
const MOST_PATIENCE_MS = 250;

/** A queue to look at; only `HeldRequests` changes it. */
export type QueueView = Pick<EdfQueue<QueueEntry>, 'size' | 'peek' | 'firstInOrder' | 'between'>;

export class HeldRequests {
  readonly #clock: Clock;
  readonly #workers: WorkerPool;
  readonly #isDeadlineAware: boolean;
  readonly #emit: (event: Event) => void;
  readonly #exploration: Exploration;
  readonly #onTriedInstead: () => void;
  readonly #entries = new BySequence<QueueEntry>();
  readonly #classes = new HeldClasses();
  readonly #queue = new EdfQueue<QueueEntry>();
  readonly #setAside = new EdfQueue<QueueEntry>();
  readonly #deadlines: Deadlines;
  readonly #overdueRuns: OverdueRuns;
  #exploring: QueueEntry | null = null;
  /** While a batch is told of that no worker has yet. */
  #unstagedLater: number[] | null = null;
  #exploringSinceMs = 0;
  #byteCount = 0;
  #onEmpty: (() => void) | null = null;

  /**
   * @param options `isDeadlineAware`: whether deadlines end the wait of queued requests; `onTriedInstead`: a request that waited
   *   already is to be run next; nothing may be started from inside the call
   */
  constructor(options: {
    readonly clock: Clock;
    readonly workers: WorkerPool;
    readonly exploration: Exploration;
    readonly emit: (event: Event) => void;
    readonly isDeadlineAware: boolean;
    readonly onTriedInstead: () => void;
  }) {
    this.#isDeadlineAware = options.isDeadlineAware;
    this.#clock = options.clock;
    this.#workers = options.workers;
    this.#exploration = options.exploration;
    this.#emit = options.emit;
    this.#onTriedInstead = options.onTriedInstead;
    this.#deadlines = new Deadlines(options.clock, this.#queue, (sequence, nowMs) => this.#expire(sequence, nowMs));
    this.#overdueRuns = new OverdueRuns(options.clock, (sequence, nowMs) => this.#giveUpRun(sequence, nowMs));
  }

  get count(): number {
    return this.#entries.size;
  }

  /** Input bytes of all that is held. */
  get byteCount(): number {
    return this.#byteCount;
  }

  /** Requests that wait, the set-aside ones included, and the one to be tried. */
  get queueDepth(): number {
    return this.#queue.size + this.#setAside.size + (this.#exploring?.state === 'queued' ? 1 : 0);
  }

  /** To be run next, alone, to test the belief that would have refused it. It may have its outcome already. */
  get exploring(): QueueEntry | null {
    return this.#exploring;
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

  /** The queue's window: the first due, in order. */
  window(): QueueEntry[] {
    return this.#queue.firstInOrder(WINDOW_SIZE);
  }

  /** Of those behind it, by place; none where the queue's order is not that of deadlines: nothing follows from a place then. */
  marksBehind(): readonly { readonly place: number; readonly item: QueueEntry }[] {
    const marks = this.#queue.marksFrom(WINDOW_SIZE, MARK_SPACING);
    return marks.every(({ item }) => item.dueAtMs === item.request.dueAtMs) ? marks : [];
  }

  /** Of the last so many that were sent, those that are held: the newest first. */
  newestFirst(most: number): Iterable<QueueEntry> {
    return this.#entries.newestFirst(most);
  }

  /** Everything that waits: the queue in its order, then what is set aside. A list of its own. */
  waiting(): QueueEntry[] {
    const exploring = this.#exploring?.state === 'queued' ? [this.#exploring] : [];
    return [...exploring, ...this.#queue.toSortedArray(), ...this.#setAside.toSortedArray()];
  }

  /** The object that stands for the class of a request that is about to be held. */
  classOf({ shapeClass }: InferRequest): ShapeClass {
    return this.#classes.hold(shapeClass);
  }

  hold(entry: QueueEntry): void {
    this.#entries.add(entry);
    this.#byteCount += entry.byteCount;
    this.enqueue(entry);
  }

  /** Into the queue where its flags say. Also for one that is tried again. */
  enqueue(entry: QueueEntry): void {
    this.#leaveRun(entry);
    entry.state = 'queued';
    if (entry.isExploring) {
      this.#exploring = entry;
      this.#exploringSinceMs = this.#clock.nowMs();
      this.#exploration.begin();
    } else (entry.isSetAside ? this.#setAside : this.#queue).push(entry);
    if (this.#isDeadlineAware) this.#deadlines.watch(entry);
  }

  /** Out of the queue and into a batch. */
  take(sequence: number): QueueEntry {
    const entry = this.#entries.get(sequence)!;
    this.#enterRun(entry);
    return entry;
  }

  /**
   * Whether the one to be tried is to be run now. It waits while those queued would be late by what it is believed to take, but
   * not for ever: under load they always would.
   */
  isTimeToExplore(nowMs: number, maxMillicores: number): boolean {
    const exploring = this.#exploring;
    if (exploring?.isStaged !== true) return false;
    if (nowMs >= this.#exploringSinceMs + MOST_PATIENCE_MS) return true;
    // One after the other: whoever shares a batch is earlier.
    let finishAtMs = nowMs + exploring.model.predictedLatencyMs(1, maxMillicores);
    for (const { model, request } of this.#queue.firstInOrder(CANDIDATE_LIMIT)) {
      finishAtMs += model.plannedLatencyMs(1, maxMillicores);
      if (finishAtMs > request.dueAtMs) return false;
    }
    return true;
  }

  /** The one to be tried, whether or not anybody still waits for it. */
  takeExploring(): QueueEntry {
    const entry = this.#exploring!;
    if (entry.state === 'finished') this.#exploring = null;
    else this.#enterRun(entry);
    return entry;
  }

  /** Whether one that is about to be refused may be tried: where others of its class are to run anyway, those will tell. */
  mayExplore(nowMs: number, { sequence, shapeClass }: InferRequest): boolean {
    const { key } = shapeClass;
    if (!this.#exploration.mayBegin(nowMs, key)) return false;
    for (const other of this.#queue.firstInOrder(CANDIDATE_LIMIT)) {
      if (other.request.shapeClass.key === key && other.sequence !== sequence) return false;
    }
    return true;
  }

  /**
   * Instead of being refused, or once it has expired, a queued request is tried: where no other of its class was run of late.
   * @returns whether it is
   */
  tryInstead(nowMs: number, entry: QueueEntry): boolean {
    if (!entry.isStaged || entry.isRetry || !this.mayExplore(nowMs, entry.request)) return false;
    this.#dequeue(entry);
    entry.isExploring = true;
    this.enqueue(entry);
    this.#onTriedInstead();
    return true;
  }

  /** The worker is lost, and with it the inputs of one that nobody waits for. */
  dropFinishedExploring(): void {
    if (this.#exploring?.state !== 'finished') return;
    this.#exploring = null;
    this.#exploration.calledOff();
  }

  /** Behind all others from now on. */
  moveAside(entry: QueueEntry): void {
    this.#dequeue(entry);
    entry.isSetAside = true;
    this.enqueue(entry);
  }

  /** The one outcome of a request that the worker need not run, or whose result it may drop. */
  withdraw(nowMs: number, entry: QueueEntry, outcome: Outcome): void {
    // A worker whose batch nobody waits for would end it.
    if (!isTriedAllTheSame(entry)) this.#unstage(entry.sequence);
    this.finish(nowMs, entry, outcome);
  }

  /**
   * Whoever is told of a batch may plan anew, and whom that gives up may cancel members of it: the worker hears of them once it has the batch.
   * @param tell before `start`: what is planned then is in force when it starts
   */
  starting(tell: () => void, start: () => void): void {
    const outer = this.#unstagedLater;
    const later = (this.#unstagedLater = []);
    tell();
    this.#unstagedLater = outer;
    start();
    for (const sequence of later) this.#unstage(sequence);
  }

  #unstage(sequence: number): void {
    if (this.#unstagedLater === null) this.#workers.unstage(sequence);
    else this.#unstagedLater.push(sequence);
  }

  /**
   * The one outcome of a request that the worker has no part in any more. A finished one is left alone: whoever is told of
   * an outcome may cancel other requests, also those that a loop here is about to finish.
   */
  finish(nowMs: number, entry: QueueEntry, outcome: Outcome): void {
    if (entry.state === 'finished') return;
    if (entry.state === 'queued') {
      this.#dequeue(entry);
      if (isTriedAllTheSame(entry)) this.#exploring = entry;
      else if (entry.isExploring) this.#exploration.calledOff();
    }
    this.#leaveRun(entry);
    entry.state = 'finished';
    this.#entries.delete(entry);
    this.#classes.release(entry.shapeClass);
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
    this.#overdueRuns.stop();
    if (this.#exploring !== null) this.#exploring.isStaged = false;
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

  #enterRun(entry: QueueEntry): void {
    this.#dequeue(entry);
    entry.state = 'running';
    if (this.#isDeadlineAware) this.#overdueRuns.begin(entry);
  }

  #leaveRun(entry: QueueEntry): void {
    if (entry.state === 'running' && this.#isDeadlineAware) this.#overdueRuns.end(entry);
  }

  #dequeue(entry: QueueEntry): void {
    if (entry.isExploring) this.#exploring = null;
    else (entry.isSetAside ? this.#setAside : this.#queue).remove(entry);
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
    // Of a class that never gets its turn; its client is told now.
    if (!entry.isExploring) this.tryInstead(nowMs, entry);
    this.withdraw(nowMs, entry, { kind: 'expired', reason: 'expired', lateByMs: nowMs - entry.request.dueAtMs });
  }

  /** Its client is told; its batch goes on, as it is of use to others and teaches how long such work takes. */
  #giveUpRun(sequence: number, nowMs: number): void {
    const entry = this.#entries.get(sequence)!;
    const lateByMs = nowMs - entry.request.dueAtMs;
    this.finish(nowMs, entry, { kind: 'expired', reason: 'expired', lateByMs, wasRunning: true });
  }

  #checkEmpty(): void {
    if (this.#onEmpty === null || this.#entries.size > 0) return;
    const onEmpty = this.#onEmpty;
    this.#onEmpty = null;
    onEmpty();
  }
}

/** Its inputs are in the worker, or it runs: nobody's patience is needed for it. */
function isTriedAllTheSame({ isExploring, isStaged }: QueueEntry): boolean {
  return isExploring && isStaged;
}
