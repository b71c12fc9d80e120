import type { ResizeResult } from '../../scheduler/controlplane/scaler.js';
import type { Lease, System } from '../../scheduler/system.js';
import { WorkerLostError } from '../workers/synthetic-load.js';
import type { ProfileRun, ProfilingTarget } from './profile-runner.js';

/*
 * Profiles a model that is being served: each step borrows the worker while nothing else needs it. When a request comes
 * meanwhile, the run in progress is ended and the allocation grows to the largest at once, so that it ends as soon as it can;
 * the step is discarded and repeated later.
 */

/** How often an unavailable worker is asked for again. */
const RETRY_MS = 20;
/** Between steps, so that refinement leaves an idle machine mostly idle. */
const PAUSE_MS = 50;
/** After a step that failed, or that others left no cores for: the worker may be restarting, the others be busy for a while. */
const RECOVERY_MS = 1000;
/** Failures in a row after which it is not the worker's bad luck. */
const MOST_FAILURES = 5;

/** The allocation was taken back in the middle of a step. */
class Preempted extends Error {}

/** Others hold some of what a step needs. */
class TooFewCores extends Error {}

/** An allocation is as good as what was asked for: no more than this is lost to rounding. */
const AS_GOOD_FRACTION = 0.98;

export interface LeasedProfilerOptions {
  readonly system: System;
  readonly maxMillicores: number;
  run(batchSize: number, threadCount: number): Promise<{ readonly latencyMs: number }>;
  /** Ends the run that goes on, at the model's next operator. */
  readonly abort: () => void;
  /** A request waited for so long until the run had ended. */
  readonly onHeld: (heldMs: number) => void;
  readonly nowMs: () => number;
  /** When the last request came. */
  readonly lastRequestAtMs: () => number;
  /** While something else is measured no step begins. */
  readonly isPaused: () => boolean;
  /** A step begins only this long after the last request: one that comes during a step has to wait for its end. */
  readonly quietMs: number;
  /** A step that found no quiet for so long is done between two batches; queued requests wait then. */
  readonly patienceMs: number;
  /** Workers lost in the middle of a step after which it is what kills them; integer ≥ 1. */
  readonly mostLosses: number;
  readonly signal: AbortSignal;
}

/** The worker and its allocation, borrowed for one step at a time. */
export class LeasedTarget implements ProfilingTarget {
  readonly #options: LeasedProfilerOptions;
  #lease: Lease | null = null;
  #isWanted = false;
  /** Since when a request has been waiting for the end of this step; null while none is. */
  #wantedAtMs: number | null = null;

  constructor(options: LeasedProfilerOptions) {
    this.#options = options;
  }

  /** Resolves when the run is done; or, quietly, when the signal is aborted. @throws when step after step fails, or kills the worker */
  finish(run: ProfileRun): Promise<void> {
    return this.repeat(
      () => run.isDone,
      () => run.step(),
    );
  }

  /** Borrows the worker for one step after another until it is done. */
  async repeat(isDone: () => boolean, step: () => Promise<void>): Promise<void> {
    const { signal, nowMs, mostLosses } = this.#options;
    let failureCount = 0;
    let lossCount = 0;
    let waitingSinceMs = nowMs();
    while (!isDone() && !signal.aborted) {
      if (!this.#borrow(waitingSinceMs)) {
        await pause(RETRY_MS, signal);
        continue;
      }
      let isShort = false;
      try {
        await step();
        failureCount = 0;
        waitingSinceMs = nowMs();
      } catch (error) {
        isShort = error instanceof TooFewCores;
        if (error instanceof WorkerLostError && ++lossCount === mostLosses) throw error;
        // What was ended for a request is no failure, nor what there were no cores for.
        if (!(this.#isWanted || isShort) && ++failureCount === MOST_FAILURES) throw error;
      } finally {
        if (this.#wantedAtMs !== null) this.#options.onHeld(nowMs() - this.#wantedAtMs);
        this.#lease?.release();
        this.#lease = null;
      }
      await pause(failureCount > 0 || isShort ? RECOVERY_MS : PAUSE_MS, signal);
    }
  }

  resize(cpuMillicores: number): Promise<void> {
    return new Promise((fulfil, reject) => {
      this.#lease!.resize(cpuMillicores, (result: ResizeResult) => {
        if (result.kind !== 'applied') reject(new Error(result.message));
        else if (result.cpuMillicores < AS_GOOD_FRACTION * cpuMillicores) reject(new TooFewCores());
        else fulfil();
      });
    });
  }

  async run(batchSize: number, threadCount: number): Promise<{ readonly latencyMs: number }> {
    this.#assertUnwanted(); // It may have been while the allocation was on its way.
    const timing = await this.#options.run(batchSize, threadCount);
    this.#assertUnwanted();
    return timing;
  }

  #assertUnwanted(): void {
    if (this.#isWanted) throw new Preempted();
  }

  #borrow(waitingSinceMs: number): boolean {
    const { system, maxMillicores, nowMs, isPaused, lastRequestAtMs, quietMs, patienceMs, abort } = this.#options;
    this.#isWanted = false;
    this.#wantedAtMs = null;
    if (isPaused()) return false;
    if (nowMs() - waitingSinceMs >= patienceMs) {
      const isAwaited = system.status().queueDepth > 0;
      this.#lease = system.lease('free', () => (this.#wantedAtMs ??= nowMs()));
      if (this.#lease !== null && isAwaited) this.#wantedAtMs = nowMs();
      return this.#lease !== null;
    }
    if (nowMs() - lastRequestAtMs() < quietMs) return false;
    this.#lease = system.lease('idle', () => {
      this.#isWanted = true;
      abort();
      // Another model may lack the cores.
      if (system.status().queueDepth === 0) return;
      this.#wantedAtMs = nowMs();
      this.#lease?.resize(maxMillicores, () => undefined);
    });
    return this.#lease !== null;
  }
}

function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((fulfil) => {
    const timer = setTimeout(end, durationMs);
    signal.addEventListener('abort', end, { once: true });
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      fulfil();
    }
  });
}
