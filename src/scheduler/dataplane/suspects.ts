/*
 * When a request that a worker may die of is tried again: once a spare process stands by, so that its crash is no restart. Of two that ran in a
 * process that crashed each is tried alone, and the first crash has used up the spare; so the second one would be the model's load,
 * for all who wait, a moment later. Where none is coming it is tried at once.
 *
 * It waits unstaged, which keeps it out of decisions, and no longer than it can be in time.
 */
import type { Clock } from '../clock/clock.js';
import { EarliestTimer } from '../clock/earliest-timer.js';
import { mayBeLate, type QueueEntry } from './queue-entry.js';
import type { WorkerPool } from './worker-pool.js';

/** A spare that takes longer is loaded on what busy models leave of the cores. */
const MOST_WAIT_MS = 5000;
/** What it takes is kept free for so many runs of the same length: others may be before it. */
const RUNS_KEPT = 2;

export interface SuspectsOptions {
  readonly clock: Clock;
  readonly workers: WorkerPool;
  readonly maxMillicores: number;
  /** Sends the inputs of one that has waited. */
  readonly stage: (entry: QueueEntry) => void;
}

export class Suspects {
  readonly #options: SuspectsOptions;
  readonly #untilMs = new Map<QueueEntry, number>();
  readonly #timer: EarliestTimer;

  constructor(options: SuspectsOptions) {
    this.#options = options;
    this.#timer = new EarliestTimer(options.clock, () => this.release());
  }

  /** Whether it is not to be staged now; then it is as soon as it may be. */
  mustWait(entry: QueueEntry): boolean {
    const { clock, workers } = this.#options;
    if (!entry.isSuspect) return false;
    const untilMs = this.#untilMs.get(entry) ?? this.#latestMs(entry);
    if (workers.spare?.isComing !== true || clock.nowMs() >= untilMs) {
      this.#untilMs.delete(entry);
      return false;
    }
    this.#untilMs.set(entry, untilMs);
    this.#timer.armBy(untilMs);
    return true;
  }

  /** A spare stands by, or none is coming any more, or one has waited long enough. */
  release(): void {
    for (const entry of [...this.#untilMs.keys()]) {
      if (entry.state === 'queued') this.#options.stage(entry);
      else this.#untilMs.delete(entry);
    }
  }

  stop(): void {
    this.#timer.cancel();
    this.#untilMs.clear();
  }

  #latestMs({ request, model }: QueueEntry): number {
    const mostMs = this.#options.clock.nowMs() + MOST_WAIT_MS;
    if (mayBeLate(request)) return mostMs;
    const runMs = model.plannedLatencyMs(1, this.#options.maxMillicores);
    return Math.min(mostMs, request.dueAtMs - RUNS_KEPT * runMs);
  }
}
