import { Worker } from 'node:worker_threads';
import type { Pointer, RunCaller } from '../onnx-runtime/c-api.js';
import { oneLine } from './load-failure.js';

/*
 * A thread that runs batches: a `worker_threads` thread, whose own JavaScript engine does nothing but call ONNX Runtime's `run` with
 * the arguments that it is sent, all of them numbers and addresses in this process's memory. So tensors are neither copied
 * nor moved to it.
 *
 * Only the thread that runs is its own: the engine's helper threads are the process's.
 */

/** Of its engine, whose garbage is the arguments of runs: far below what V8 would let it grow to. */
const ENGINE_LIMITS = { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1 } as const;

/** What the thread is started with. */
export interface EngineTask {
  readonly runAddress: Pointer;
}

/** What it says first. */
export interface EngineStarted {
  /** Kernel thread id; 0 where the platform does not tell. */
  readonly tid: number;
}

/** What it answers to each call: the status that `run` gave, or what koffi threw. */
export type EngineAnswer = { readonly status: Pointer | null } | { readonly problem: string };

interface Call {
  readonly fulfil: (status: Pointer | null) => void;
  readonly reject: (error: Error) => void;
}

export class EngineThread {
  readonly tid: number;
  readonly #worker: Worker;
  /** In the order in which they are answered. */
  readonly #calls: Call[] = [];

  private constructor(worker: Worker, tid: number) {
    this.#worker = worker;
    this.tid = tid;
    worker.on('message', (answer: EngineAnswer) => {
      const call = this.#calls.shift()!;
      if ('problem' in answer) call.reject(new Error(answer.problem));
      else call.fulfil(answer.status);
    });
  }

  /**
   * Resolves when it can be called. It ends with its process.
   * @param onLost it ended before, for want of memory for instance: what it ran is never answered
   */
  static start(runAddress: Pointer, onLost: (message: string) => void): Promise<EngineThread> {
    const workerData: EngineTask = { runAddress };
    const worker = new Worker(new URL('./engine-thread-entry.js', import.meta.url), {
      workerData,
      resourceLimits: ENGINE_LIMITS,
      env: {},
    });
    return new Promise((resolve, reject) => {
      worker.once('error', reject);
      worker.once('message', ({ tid }: EngineStarted) => {
        worker.off('error', reject);
        worker.once('error', (error) => onLost(`an inference thread ended: ${oneLine(error)}`));
        resolve(new EngineThread(worker, tid));
      });
    });
  }

  readonly call: RunCaller = (values) =>
    new Promise((fulfil, reject) => {
      this.#calls.push({ fulfil, reject });
      this.#worker.postMessage(values);
    });
}
