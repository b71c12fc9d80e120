import { oneLine } from '../workers/load-failure.js';
import type { Lease, System } from '../../scheduler/system.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { RunBatch } from '../workers/batch-trial.js';
import { WorkerLostError } from '../workers/synthetic-load.js';
import type { Sample } from '../workers/samples.js';
import { BatchAudit, type AnsweredMember, type AuditResult } from './batch-audit.js';

/*
 * Runs the audits of one model: borrows its worker while nothing is to do, gives it back the moment a request comes, and tries
 * again later.
 */

export interface BackgroundAuditOptions {
  readonly system: System;
  readonly nowMs: () => number;
  /** On which it is run: what rests has next to nothing. */
  readonly cpuMillicores: number;
  readonly run: RunBatch;
  /** Ends what is run for the audit. */
  readonly abort: () => void;
  /** Batching was wrong: it is to be turned off, at once and for good. */
  readonly onDifference: (line: string) => void;
  readonly onResult: (result: AuditResult) => void;
  readonly onLog: (line: string) => void;
}

/** How often an occupied worker is asked for again. */
const RETRY_MS = 50;

export class BackgroundAudit {
  readonly #options: BackgroundAuditOptions;
  readonly #audit = new BatchAudit();
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: BackgroundAuditOptions) {
    this.#options = options;
  }

  /** A member of a batch of several has been answered. */
  offer(member: AnsweredMember): void {
    if (this.#isStopped) return;
    this.#audit.offer(this.#options.nowMs(), member);
    if (this.#audit.member !== null) this.#arm();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#isStopped) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#try();
    }, RETRY_MS).unref();
  }

  async #try(): Promise<void> {
    const { member } = this.#audit;
    if (this.#isStopped || member === null) return;
    // Asked for at any moment: what runs then is ended, and what would run next is not begun.
    let isWanted = false;
    const lease = this.#options.system.lease('idle', () => {
      isWanted = true;
      this.#options.abort();
    });
    if (lease === null) {
      this.#arm();
      return;
    }
    try {
      await this.#run(lease, member, () => isWanted);
    } catch (error) {
      // Ended for a request, it is tried again; a worker that it was the end of is enough.
      if (error instanceof WorkerLostError) this.#audit.discard(this.#options.nowMs());
      else this.#arm();
      this.#options.onLog(`an audit of batching was broken off: ${oneLine(error)}`);
    } finally {
      lease.release();
    }
  }

  async #run(lease: Lease, { inputs }: AnsweredMember, isWanted: () => boolean): Promise<void> {
    const { run, nowMs, onDifference, onResult, cpuMillicores } = this.#options;
    if (!(await resized(lease, cpuMillicores)) || isWanted()) {
      this.#arm();
      return;
    }
    const alone = firstOf(await run([inputs]));
    if (isWanted()) {
      this.#arm();
      return;
    }
    const copies = firstOf(await run([inputs, inputs] satisfies Sample[]));
    const { result, difference } = this.#audit.judge(nowMs(), alone, copies);
    lease.release();
    onResult(result);
    if (result !== 'different') return;
    this.stop();
    onDifference(difference);
  }
}

/** False where it is refused, or others leave less. */
function resized(lease: Lease, cpuMillicores: number): Promise<boolean> {
  return new Promise((fulfil) =>
    lease.resize(cpuMillicores, (result) => fulfil(result.kind === 'applied' && result.cpuMillicores >= cpuMillicores)),
  );
}

function firstOf(outputs: readonly (readonly Tensor[])[] | string): readonly Tensor[] | string {
  return typeof outputs === 'string' ? outputs : outputs[0]!;
}
