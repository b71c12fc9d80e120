import type { ResizeResult } from '../../controlplane/scaler.js';
import type { Lease, System } from '../../system.js';
import type { ProfileRun, ProfilingTarget } from './profile-runner.js';

/*
 * Profiles a model that is being served: each step borrows the worker while nothing else needs it. When a request comes
 * meanwhile, the allocation grows to the largest at once, so that the run in progress ends as soon as it can; what was
 * measured of it is discarded with the step.
 */

/** How often an unavailable worker is asked for again. */
const RETRY_MS = 20;
/** In the background, a step follows this long without any request: one that comes during a step has to wait for it. */
const QUIET_MS = 1000;
/** Between steps of the background, so that refinement leaves an idle machine mostly idle. */
const PAUSE_MS = 50;

/** The allocation was taken back in the middle of a step. */
class Preempted extends Error {}

export interface LeasedProfilerOptions {
  readonly system: System;
  readonly maxMillicores: number;
  run(batchSize: number, threadCount: number): Promise<{ readonly latencyMs: number }>;
  /** `idle`: only while nothing is held. `free`: between batches, queued requests wait. */
  readonly when: 'idle' | 'free';
  readonly signal: AbortSignal;
}

/** The worker and its allocation, borrowed for one step at a time. */
export class LeasedTarget implements ProfilingTarget {
  readonly #options: LeasedProfilerOptions;
  #lease: Lease | null = null;
  #isWanted = false;

  constructor(options: LeasedProfilerOptions) {
    this.#options = options;
  }

  /** Resolves when the run is done; or, quietly, when the signal is aborted. @throws when the worker refuses a batch */
  async finish(run: ProfileRun): Promise<void> {
    const { signal, when } = this.#options;
    while (!run.isDone && !signal.aborted) {
      if (!this.#borrow()) {
        await pause(when === 'idle' ? QUIET_MS : RETRY_MS, signal);
        continue;
      }
      try {
        await run.step();
      } catch (error) {
        if (!(error instanceof Preempted)) throw error;
      } finally {
        this.#lease?.release();
        this.#lease = null;
      }
      if (when === 'idle') await pause(this.#isWanted ? QUIET_MS : PAUSE_MS, signal);
    }
  }

  resize(cpuMillicores: number): Promise<void> {
    return new Promise((fulfil, reject) => {
      this.#lease!.resize(cpuMillicores, (result: ResizeResult) => {
        if (result.kind === 'applied') fulfil();
        else reject(new Error(result.message));
      });
    });
  }

  async run(batchSize: number, threadCount: number): Promise<{ readonly latencyMs: number }> {
    const timing = await this.#options.run(batchSize, threadCount);
    if (this.#isWanted) throw new Preempted();
    return timing;
  }

  #borrow(): boolean {
    this.#isWanted = false;
    const { system, when, maxMillicores } = this.#options;
    this.#lease = system.lease(when, () => {
      if (when === 'free') return; // Requests wait for the first profile; there is no serving without it.
      this.#isWanted = true;
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
