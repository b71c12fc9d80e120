import type { JoinInstruction } from '../scalers/join.js';
import { oneLine } from './load-failure.js';
import type { LaunchedWorker, WorkerOwner } from './launched-worker.js';

/*
 * A second process of a model, loaded and otherwise idle, that takes over when the worker is lost: a loss then costs what it takes to send
 * the inputs again, not a model load. While it loads, its threads are in a CPU group of its own, which whoever starts it
 * resizes; then they are moved to the groups that they will run in, where they use nothing.
 *
 * One that is still loading when the worker is lost takes over too: it is further than a new one would be.
 *
 * Rejected: a spare made by fork. Node has threads, and a process that is forked has only the one that called.
 */

export interface SpareCallbacks {
  /** It waits. */
  onReady(): void;
  /** It is the worker now, loaded or still loading. */
  onTaken(): void;
  /** It ended, or was ended, before it was needed. */
  onLost(message: string): void;
  /** Once: none of its threads is in the group that it was loaded in. */
  onMovedOut(): void;
}

/** A worker that does nothing answers at once; so many intervals in a row without an answer are a hang. */
const PING_EVERY_MS = 2000;
const MOST_UNANSWERED = 3;

export interface SpareOptions {
  /** @param joins by instance, as its load instruction has them */
  readonly launch: (joins: readonly JoinInstruction[], owner: WorkerOwner) => LaunchedWorker;
  /** It waits, or is lost: none is coming now. */
  readonly onSettled: () => void;
  /** The worker's groups, made again where others removed them. */
  readonly groups: () => readonly JoinInstruction[];
}

interface Held {
  readonly worker: LaunchedWorker;
  readonly callbacks: SpareCallbacks;
  /** It may be taken, and no more has to be moved. */
  isWaiting: boolean;
  isMovedOut: boolean;
}

export class SpareWorker {
  readonly #options: SpareOptions;
  #held: Held | null = null;
  #isNextComing = false;
  #pingTimer: NodeJS.Timeout | undefined;

  constructor(options: SpareOptions) {
    this.#options = options;
  }

  /** 0 while there is none. */
  get pid(): number {
    return this.#held?.worker.link.pid ?? 0;
  }

  /** It is being loaded, or, as after one that was taken, about to be. */
  get isComing(): boolean {
    return this.#held === null ? this.#isNextComing : !this.#held.isWaiting;
  }

  get isWaiting(): boolean {
    return this.#held?.isWaiting === true;
  }

  /**
   * While there is none.
   * @param loading the CPU group that its model is loaded in
   * @throws Error, one line, where no process can be started
   */
  start(loading: JoinInstruction, callbacks: SpareCallbacks): void {
    if (this.#held !== null) throw new Error('there is a spare already');
    const joins = [loading, ...this.#options.groups().slice(1)];
    const worker = this.#options.launch(joins, {
      onJoined: () => undefined,
      onReady: () => void this.#onReady(held),
      onMessage: () => undefined,
      onOutput: () => undefined,
      onLost: (_worker, message) => this.#onLost(held, message),
    });
    const held: Held = { worker, callbacks, isWaiting: false, isMovedOut: false };
    this.#held = held;
  }

  /** It is not needed any more. */
  end(message: string): void {
    this.#held?.worker.end(message);
  }

  /**
   * Takes it, loaded or still loading, for its new owner; null where there is none. A loaded one can run at once, unless somebody
   * changed its groups meanwhile.
   */
  take(owner: WorkerOwner): LaunchedWorker | null {
    const held = this.#held;
    this.#isNextComing = held !== null;
    if (held === null) return null;
    const { worker, callbacks } = held;
    this.#leave();
    worker.owner = owner;
    const groups = this.#options.groups();
    if (held.isWaiting && worker.isIn(groups)) owner.onJoined(worker);
    else void this.#moveOut(held, groups);
    callbacks.onTaken();
    return worker;
  }

  async #onReady(held: Held): Promise<void> {
    const { worker, callbacks } = held;
    await this.#moveOut(held, this.#options.groups());
    if (this.#held !== held || !held.isMovedOut) return;
    held.isWaiting = true;
    this.#pingTimer = setInterval(() => this.#ping(worker), PING_EVERY_MS);
    this.#pingTimer.unref();
    callbacks.onReady();
    this.#options.onSettled();
  }

  async #moveOut(held: Held, groups: readonly JoinInstruction[]): Promise<void> {
    const { worker } = held;
    try {
      await worker.moveTo(groups);
      if (worker.inferenceTids.length > 0) worker.owner.onJoined(worker);
    } catch (error) {
      worker.end(oneLine(error));
      await worker.ended;
    }
    this.#movedOut(held);
  }

  #movedOut(held: Held): void {
    if (held.isMovedOut) return;
    held.isMovedOut = true;
    held.callbacks.onMovedOut();
  }

  /** Answers that came while the router stood still are read before it is asked again. */
  #ping(worker: LaunchedWorker): void {
    setImmediate(() => {
      if (this.#held?.worker !== worker || worker.isAnswering(MOST_UNANSWERED)) return;
      worker.end(`it hung: it did not answer for ${(MOST_UNANSWERED * PING_EVERY_MS) / 1000} s`);
    });
  }

  #onLost(held: Held, message: string): void {
    if (this.#held !== held) return;
    this.#leave();
    void held.worker.ended.then(() => this.#movedOut(held));
    this.#isNextComing = false;
    held.callbacks.onLost(message);
    this.#options.onSettled();
  }

  #leave(): void {
    clearInterval(this.#pingTimer);
    this.#held = null;
  }
}
