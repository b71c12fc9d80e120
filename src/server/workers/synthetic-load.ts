import type { BatchResult, BatchRun } from '../../scheduler/dataplane/worker-pool.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { Sample, SampleSource } from './samples.js';

/*
 * Load that no client sent, through the very path that requests take: to find out whether a model can be batched, and to
 * profile it. Its sequences and batch ids are negative, so they never meet the system's.
 */

/** Ids of batches of clients are positive. */
export const isSynthetic = (batchId: number): boolean => batchId < 0;

export interface SyntheticRun {
  readonly samples: SampleSource;
  readonly batchSize: number;
  readonly threadCount: number;
  /** The first by default. */
  readonly instance?: number;
}

export interface SyntheticTiming {
  /** Dispatch → all outputs are there, at the router. */
  readonly latencyMs: number;
  readonly computeMs: number;
}

/** What became of a run whose worker lives on. */
export type SyntheticResult = Exclude<BatchResult, { readonly kind: 'worker-lost' | 'aborted' }>;

/** What synthetic load needs of its pool. The promises reject when the worker is lost. */
export interface SyntheticPort {
  stage(sequence: number, inputs: readonly Tensor[]): Promise<void>;
  unstage(sequence: number): void;
  /** The members stay staged. */
  run(run: BatchRun): Promise<{ readonly result: SyntheticResult; readonly latencyMs: number }>;
}

/** The worker was lost in the middle of a run: perhaps it died of it, and the next one would as well. */
export class WorkerLostError extends Error {
  override readonly name = 'WorkerLostError';
}

/** A run was ended before its time, because the worker is needed. */
export class RunAborted extends Error {
  override readonly name = 'RunAborted';
}

export class SyntheticLoad {
  readonly #port: SyntheticPort;
  /** Staged members; a batch of b uses the first b. */
  readonly #members = new Map<SampleSource, number[]>();
  #nextId = -1;

  constructor(port: SyntheticPort) {
    this.#port = port;
  }

  /** One batch, timed like a client's. Meaningful only while nothing runs that is not meant to. */
  async run({ samples, batchSize, threadCount, instance = 0 }: SyntheticRun): Promise<SyntheticTiming> {
    const sequences = await this.#stageMembers(samples, batchSize);
    const { result, latencyMs } = await this.#port.run({
      batchId: this.#nextId--,
      instance,
      sequences,
      threadCount,
    });
    if (result.kind !== 'completed') throw new Error(result.message);
    return { latencyMs, computeMs: result.computeMs };
  }

  /**
   * Runs these requests as one batch, and keeps nothing of them.
   * @returns the outputs of each; or why the model refused them
   */
  async runOnce(batch: readonly Sample[], threadCount: number): Promise<readonly (readonly Tensor[])[] | string> {
    const sequences: number[] = [];
    try {
      for (const inputs of batch) {
        const sequence = this.#nextId--;
        await this.#port.stage(sequence, inputs);
        sequences.push(sequence);
      }
      const { result } = await this.#port.run({ batchId: this.#nextId--, instance: 0, sequences, threadCount });
      return result.kind === 'completed' ? result.outputs.map((outputs) => outputs ?? []) : result.message;
    } finally {
      for (const sequence of sequences) this.#port.unstage(sequence);
    }
  }

  /** Frees what it holds in the worker. */
  release(): void {
    for (const sequence of [...this.#members.values()].flat()) this.#port.unstage(sequence);
    this.#members.clear();
  }

  /** The worker, and all that was staged, is gone. */
  forget(): void {
    this.#members.clear();
  }

  async #stageMembers(samples: SampleSource, count: number): Promise<number[]> {
    const members = this.#members.get(samples) ?? [];
    this.#members.set(samples, members);
    while (members.length < count) {
      const sequence = this.#nextId--;
      await this.#port.stage(sequence, samples.at(members.length));
      members.push(sequence);
    }
    return members.slice(0, count);
  }
}
