import { existsSync } from 'node:fs';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { InputArena } from '../arena/input-arena.js';
import { inferenceThreads } from '../scalers/inference-threads.js';
import { isInGroup, moveThreads, type JoinInstruction } from '../scalers/join.js';
import type { Confinement } from './confinement.js';
import { oneLine } from './load-failure.js';
import { explained } from './memory-limit.js';
import type { ControlToRouter, LoadInstruction, WorkerFacts } from './messages.js';
import { WorkerLink } from './worker-link.js';

/*
 * One worker process from its launch to its end: what it has said of itself, and in which CPU groups its threads are. Whose it is may
 * change while it lives: a spare becomes the worker.
 *
 * Moving a thread takes the kernel 10 to 80 ms (cgroup v1, Linux 6.18: it waits for a grace period), so it is done on Node's pool, one
 * move after the other, and never while a request waits for it: a spare is moved where it will run as soon as it has loaded.
 */

export interface WorkerOwner {
  /** Every instance's inference thread is in its group; sessions are made next. */
  onJoined(worker: LaunchedWorker): void;
  onReady(worker: LaunchedWorker): void;
  onMessage(message: Extract<ControlToRouter, { kind: 'staged' | 'done' | 'failed' | 'aborted' }>): void;
  onOutput(batchId: number, slot: number, tensors: readonly Tensor[]): void;
  /** Once; it may take a moment to end (`ended`). @param isCrash of a signal that an input can cause */
  onLost(worker: LaunchedWorker, message: string, isCrash: boolean): void;
}

export interface Launch {
  readonly entryUrl: URL;
  readonly instruction: LoadInstruction;
  readonly confinement: Confinement;
  /** What it reads inputs from; null where all goes over its connections. */
  readonly inputs: InputArena | null;
  readonly startTimeoutMs: number;
  /** Why one that has loaded is of no use, in one line; null where it is. */
  readonly problemOf: (facts: WorkerFacts) => string | null;
  readonly nowMs: () => number;
  readonly onLog: (line: string) => void;
}

/** Threads that make threads are few; what is left after so many rounds is a worker that makes them without an end. */
const MOST_ROUNDS_OF_MOVING = 8;

export class LaunchedWorker {
  owner: WorkerOwner;
  readonly link: WorkerLink;
  readonly launchedAtMs: number;
  /** Resolves when no process is left. */
  readonly ended: Promise<void>;
  /** Null until it is ready. */
  facts: WorkerFacts | null = null;
  readyAtMs = 0;
  /** By instance; empty until they have joined. */
  inferenceTids: readonly number[] = [];
  /** By instance: all that compute for it; empty until it is ready. */
  threadIds: readonly (readonly number[])[] = [];
  readonly #launch: Launch;
  /** By instance: the group that its threads belong in now. */
  #joins: readonly JoinInstruction[];
  /** Of instances after the first. */
  readonly #movedTids = new Set<number>();
  #moves: Promise<unknown> = Promise.resolve();
  #isLost = false;
  #startTimer: NodeJS.Timeout | undefined;
  #unansweredPings = 0;

  /** @throws Error when the process cannot be started for want of descriptors */
  constructor(launch: Launch, owner: WorkerOwner) {
    const { entryUrl, instruction, confinement, inputs, startTimeoutMs, nowMs, onLog } = launch;
    this.owner = owner;
    this.#launch = launch;
    this.#joins = instruction.joins;
    this.launchedAtMs = nowMs();
    let onEnded = (): void => undefined;
    this.ended = new Promise((resolve) => (onEnded = resolve));
    this.link = new WorkerLink(entryUrl, instruction, confinement, inputs, {
      onMessage: (message) => {
        if (!this.#isLost) this.#onMessage(message);
      },
      onOutput: (batchId, slot, tensors) => {
        if (!this.#isLost) this.owner.onOutput(batchId, slot, tensors);
      },
      onLog,
      onGone: (reason, isCrash) => {
        this.#lose(reason, isCrash);
        onEnded();
      },
    });
    this.#startTimer = setTimeout(() => {
      const { modelPath } = instruction;
      this.end(`cannot load ${modelPath}: not ready after ${startTimeoutMs} ms; raise the start timeout`);
    }, startTimeoutMs);
  }

  get isReady(): boolean {
    return this.facts !== null;
  }

  /** Ends it, hung or not; its owner is told soon, also where the process takes long to end: the kernel is busy with its memory, or it is frozen. */
  end(message: string): void {
    this.link.kill(message);
    setImmediate(() => this.#lose(message, false));
  }

  /**
   * Asks it to answer; to be called at even intervals while it does nothing.
   * @returns whether it has answered one of the last so many
   */
  isAnswering(mostUnanswered: number): boolean {
    if (this.#unansweredPings >= mostUnanswered) return false;
    this.#unansweredPings += 1;
    this.link.sendControl({ kind: 'ping' });
    return true;
  }

  /**
   * Its threads belong in these groups from now on; resolves when they are there.
   * @throws Error, one line, where the kernel refuses
   */
  moveTo(joins: readonly JoinInstruction[]): Promise<void> {
    this.#joins = joins;
    return this.#inTurn(async () => {
      // New threads are born where the one is that makes them: after it has moved none is born elsewhere. Which one that is, is not known
      // while it loads, and what another made before it was moved itself was in no list yet.
      await moveThreads(joins[0]!, this.inferenceTids.slice(0, 1));
      const moved = new Set<number>();
      for (let round = 0; round < MOST_ROUNDS_OF_MOVING; round++) {
        const unmoved = this.#threadsOfFirst().filter((tid) => !moved.has(tid));
        if (unmoved.length === 0) break;
        await moveThreads(joins[0]!, unmoved);
        for (const tid of unmoved) moved.add(tid);
      }
    });
  }

  /** Whether the threads of every instance are in these groups: somebody may have removed or changed one meanwhile. */
  isIn(joins: readonly JoinInstruction[]): boolean {
    return joins.every((join, instance) => isInGroup(join, this.inferenceTids[instance] ?? 0));
  }

  #threadsOfFirst(): readonly number[] {
    const others = new Set([...this.inferenceTids.slice(1), ...this.#movedTids]);
    return inferenceThreads(this.link.pid).filter((tid) => !others.has(tid));
  }

  #onMessage(message: Exclude<ControlToRouter, { kind: 'load-failed' }>): void {
    switch (message.kind) {
      case 'move':
        void this.#move(message.instance, message.threadIds);
        return;
      case 'joined':
        this.inferenceTids = message.inferenceTids;
        this.owner.onJoined(this);
        return;
      case 'ready':
        this.#onLoaded(message);
        return;
      case 'pong':
        this.#unansweredPings = 0;
        return;
      case 'notice':
        this.#launch.onLog(message.message);
        return;
      case 'failed':
        this.owner.onMessage({
          ...message,
          message: explained(message.message, this.#launch.confinement.memoryBytes),
        });
        return;
      default:
        this.owner.onMessage(message);
    }
  }

  #onLoaded({ facts, threadIds }: Extract<ControlToRouter, { kind: 'ready' }>): void {
    clearTimeout(this.#startTimer);
    const problem = this.#launch.problemOf(facts);
    if (problem !== null) {
      this.end(problem);
      return;
    }
    this.threadIds = threadIds;
    this.facts = facts;
    this.readyAtMs = this.#launch.nowMs();
    this.owner.onReady(this);
  }

  /** A worker may ask for threads of its own only. */
  async #move(instance: number, threadIds: readonly number[]): Promise<void> {
    const { pid } = this.link;
    const stranger = threadIds.find((tid) => !existsSync(`/proc/${pid}/task/${tid}`));
    let problem = stranger === undefined ? null : `thread ${stranger} is not one of worker ${pid}`;
    if (problem === null) {
      if (instance > 0) for (const tid of threadIds) this.#movedTids.add(tid);
      const moved = this.#inTurn(() => moveThreads(this.#joins[instance]!, threadIds));
      problem = await moved.then(() => null, oneLine);
    }
    this.link.sendControl({ kind: 'moved', problem });
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const done = this.#moves.then(step);
    this.#moves = done.catch(() => undefined);
    return done;
  }

  #lose(message: string, isCrash: boolean): void {
    if (this.#isLost) return;
    this.#isLost = true;
    clearTimeout(this.#startTimer);
    this.owner.onLost(this, message, isCrash);
  }
}
