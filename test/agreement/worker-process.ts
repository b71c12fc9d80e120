import { openSync, readSync } from 'node:fs';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { SystemClock } from '../../src/server/system-clock.js';
import { joinGroup, type JoinInstruction } from '../../src/server/scalers/join.js';
import type { Timer } from '../../src/scheduler/clock/clock.js';
import { idealLatencyMs, type BatchWork } from './batch-work.js';

/*
 * The worker process of the agreement test. Its batches burn a known amount of CPU in threads of their own, which are all
 * that is in the CPU group: whatever the kernel does to those threads (quota, preemption) delays the batch as it would a
 * model. Without a group its batches sleep for as long as they should take. It lives exactly as long as its parent.
 */

export interface WorkerSetup {
  readonly threadCount: number;
  /** What the burning threads join; null to sleep instead. */
  readonly join: JoinInstruction | null;
  /** Allocation that the first batch sleeps by. */
  readonly cpuMillicores: number;
}

export type MessageToWorker =
  | { readonly kind: 'run'; readonly batchId: number; readonly work: BatchWork; readonly threadCount: number }
  /** Only for one that sleeps. */
  | { readonly kind: 'resize'; readonly cpuMillicores: number };

export type MessageFromWorker =
  /** Thread ids of those that burn. */
  | { readonly kind: 'ready'; readonly threadIds: readonly number[] }
  | { readonly kind: 'done'; readonly batchId: number; readonly computeMs: number };

/** Runs one batch at a time. */
interface Runner {
  run(work: BatchWork, threadCount: number, onDone: () => void): void;
  resize(cpuMillicores: number): void;
}

// ---- burning ---------------------------------------------------------------------------------------------------------

/** Work is handed out in pieces of about this much, so that a thread that is throttled leaves more to the other. */
const PIECE_US = 250;
/** Iterations between two looks at the CPU clock, which costs 2 µs: some 15 µs. */
const SPINS = 10_000;

/** Indices into the memory that the threads share. */
const ROUND = 0;
const THREADS = 1;
const UNCLAIMED = 2;
const UNFINISHED = 3;
const LENGTH_US = 4;
const SINGLE_US = 5;

interface ThreadRole {
  readonly join: JoinInstruction;
  readonly index: number;
  readonly shared: Int32Array;
}

type ThreadMessage = { readonly kind: 'joined'; readonly threadId: number } | { readonly kind: 'done' };

/**
 * The calling thread's own CPU time, µs. The counter in `schedstat` (Documentation/scheduler/sched-stats.rst) is behind by
 * up to a tick; asking for the use of the process brings that of the calling thread up to date first.
 */
function threadCpuClock(): () => number {
  const file = openSync('/proc/thread-self/schedstat', 'r');
  const text = Buffer.alloc(80);
  const readUs = (): number => {
    process.cpuUsage();
    const length = readSync(file, text, 0, text.length, 0);
    return Number.parseInt(text.toString('latin1', 0, length), 10) / 1000;
  };
  if (readUs() === 0) throw new Error('this kernel does not count the CPU time of threads in schedstat');
  return readUs;
}

class Burner {
  readonly #cpuUs = threadCpuClock();
  #value = 1;

  /** Burns until this thread has used so much CPU. */
  burnUntil(cpuUs: number): void {
    while (this.#cpuUs() < cpuUs) {
      for (let spin = 0; spin < SPINS; spin++) this.#value = (Math.imul(this.#value, 1_103_515_245) + 12_345) | 0;
    }
  }

  get cpuUs(): number {
    return this.#cpuUs();
  }
}

function burnBatches({ join, index, shared }: ThreadRole): never {
  const { tid } = joinGroup(join);
  const burner = new Burner();
  const port = parentPort!;
  const tell = (message: ThreadMessage): void => port.postMessage(message);
  tell({ kind: 'joined', threadId: tid });

  for (let seen = 0; ;) {
    Atomics.wait(shared, ROUND, seen);
    seen = Atomics.load(shared, ROUND);
    let untilUs = burner.cpuUs;
    while (index < Atomics.load(shared, THREADS) && Atomics.sub(shared, UNCLAIMED, 1) > 0) {
      // What one piece took too long, the next one is shorter by.
      untilUs += Atomics.load(shared, LENGTH_US);
      burner.burnUntil(untilUs);
      if (Atomics.sub(shared, UNFINISHED, 1) === 1) Atomics.notify(shared, UNFINISHED);
    }
    if (index > 0) continue;
    for (let left = Atomics.load(shared, UNFINISHED); left > 0; left = Atomics.load(shared, UNFINISHED)) {
      Atomics.wait(shared, UNFINISHED, left);
    }
    burner.burnUntil(burner.cpuUs + Atomics.load(shared, SINGLE_US));
    tell({ kind: 'done' });
  }
}

class BurningRunner implements Runner {
  readonly #shared = new Int32Array(new SharedArrayBuffer(32));
  #onDone: () => void = () => undefined;

  /** @param onReady when every thread has joined */
  constructor(join: JoinInstruction, threadCount: number, onReady: (threadIds: readonly number[]) => void) {
    const threadIds: number[] = [];
    for (let index = 0; index < threadCount; index++) {
      const role: ThreadRole = { join, index, shared: this.#shared };
      const thread = new Worker(new URL(import.meta.url), { workerData: role });
      thread.on('message', (message: ThreadMessage) => {
        if (message.kind === 'done') this.#onDone();
        else if (threadIds.push(message.threadId) === threadCount) onReady(threadIds);
      });
    }
  }

  run({ sharedMs, singleMs }: BatchWork, threadCount: number, onDone: () => void): void {
    this.#onDone = onDone;
    const pieces = Math.max(1, Math.round((1000 * sharedMs) / PIECE_US));
    Atomics.store(this.#shared, THREADS, threadCount);
    Atomics.store(this.#shared, LENGTH_US, Math.round((1000 * sharedMs) / pieces));
    Atomics.store(this.#shared, SINGLE_US, Math.round(1000 * singleMs));
    Atomics.store(this.#shared, UNFINISHED, pieces);
    Atomics.store(this.#shared, UNCLAIMED, pieces);
    Atomics.add(this.#shared, ROUND, 1);
    Atomics.notify(this.#shared, ROUND);
  }

  resize(): never {
    throw new Error('a worker in a CPU group is not told of its resizes');
  }
}

// ---- sleeping --------------------------------------------------------------------------------------------------------

interface Sleep {
  readonly latencyMs: () => number;
  readonly onDone: () => void;
  remainingFraction: number;
  sinceMs: number;
  timer: Timer;
}

class SleepingRunner implements Runner {
  readonly #clock = new SystemClock();
  #cpuMillicores: number;
  #sleep: Sleep | null = null;

  constructor(cpuMillicores: number) {
    this.#cpuMillicores = cpuMillicores;
  }

  run(work: BatchWork, threadCount: number, onDone: () => void): void {
    const latencyMs = (): number => idealLatencyMs(work, threadCount, this.#cpuMillicores);
    const sinceMs = this.#clock.nowMs();
    this.#sleep = { latencyMs, onDone, remainingFraction: 1, sinceMs, timer: this.#wakeAt(sinceMs + latencyMs()) };
  }

  resize(cpuMillicores: number): void {
    const sleep = this.#sleep;
    const nowMs = this.#clock.nowMs();
    if (sleep !== null) sleep.remainingFraction -= (nowMs - sleep.sinceMs) / sleep.latencyMs();
    this.#cpuMillicores = cpuMillicores;
    if (sleep === null) return;
    sleep.timer.cancel();
    sleep.sinceMs = nowMs;
    sleep.timer = this.#wakeAt(nowMs + Math.max(0, sleep.remainingFraction) * sleep.latencyMs());
  }

  #wakeAt(atMs: number): Timer {
    return this.#clock.schedule(atMs, () => {
      const { onDone } = this.#sleep!;
      this.#sleep = null;
      onDone();
    });
  }
}

// ---- the process -----------------------------------------------------------------------------------------------------

function tellParent(message: MessageFromWorker): void {
  process.send!(message);
}

function serve({ join, threadCount, cpuMillicores }: WorkerSetup): void {
  const onReady = (threadIds: readonly number[]): void => tellParent({ kind: 'ready', threadIds });
  const runner: Runner =
    join === null ? new SleepingRunner(cpuMillicores) : new BurningRunner(join, threadCount, onReady);
  process.on('message', (message: MessageToWorker) => {
    if (message.kind === 'resize') {
      runner.resize(message.cpuMillicores);
      return;
    }
    const { batchId, work } = message;
    const startedAtMs = performance.now();
    runner.run(work, message.threadCount, () =>
      tellParent({ kind: 'done', batchId, computeMs: performance.now() - startedAtMs }),
    );
  });
  // At once, whatever its threads are doing.
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  if (join === null) onReady([]);
}

if (isMainThread) serve(JSON.parse(process.argv[2]!) as WorkerSetup);
else burnBatches(workerData as ThreadRole);
