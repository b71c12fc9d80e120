/*
 * Notices runs that hang. How long a run takes cannot be predicted: a loop count may be an input, and on the smallest
 * allocation a run may rightly take minutes. So it is asked whether the threads of its instance compute at all, and beyond
 * that there is a limit that the operator sets. Rejected: a multiple of the prediction, which killed runs that were right.
 */

/** Looks at a standstill before it counts: if the router itself stood still for a while, that is one look. */
const LOOKS = 5;
/** Below a thousandth of a core nothing computes; the clock of CPU time ticks every 10 ms. */
const LEAST_USE_CORES = 0.001;
/** From asking a run to end to replacing its process: an operator may take long, and what does not end at all does not matter more. */
const GRACE_MS = 5000;

export interface RunLimits {
  /** A run without any CPU use for this long hangs, and its process is replaced. The smallest allocation, 100 millicores, gives a tenth. */
  readonly standstillMs: number;
  /** A run that takes longer is ended, and its request told. */
  readonly maxRunMs: number;
}

export const DEFAULT_RUN_LIMITS: RunLimits = { standstillMs: 5000, maxRunMs: 60_000 };

export interface RunWatchOptions extends RunLimits {
  /** CPU time of an instance's threads so far; null where the platform does not tell. */
  usedSeconds(instance: number): number | null;
  readonly nowMs: () => number;
  /** Asks a run that took too long to end. */
  onOverrun(batchId: number, message: string): void;
  /** The process is to be replaced. */
  onHang(message: string): void;
}

interface WatchedRun {
  readonly instance: number;
  readonly startedAtMs: number;
  isOverrun: boolean;
  /** By its instance, at the last look; a standstill begins with the next one. */
  usedSeconds: number;
  stillCount: number;
}

/** One timer for all runs, which outlives short ones: it is armed when a run begins, and rests when it finds none. */
export class RunWatch {
  readonly #options: RunWatchOptions;
  readonly #lookMs: number;
  readonly #runs = new Map<number, WatchedRun>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RunWatchOptions) {
    this.#options = options;
    this.#lookMs = Math.min(options.standstillMs, options.maxRunMs) / LOOKS;
  }

  begin(batchId: number, instance: number): void {
    const startedAtMs = this.#options.nowMs();
    this.#runs.set(batchId, { instance, startedAtMs, isOverrun: false, usedSeconds: -Infinity, stillCount: 0 });
    this.#arm();
  }

  end(batchId: number): void {
    this.#runs.delete(batchId);
  }

  /** Whatever ran is gone, with its process. */
  reset(): void {
    this.#runs.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    this.#timer ??= setTimeout(() => {
      // If it was the router that stood still, runs have ended meanwhile: that is read first.
      setImmediate(() => {
        this.#timer = undefined;
        if (this.#runs.size > 0) this.#look();
      });
    }, this.#lookMs).unref();
  }

  #look(): void {
    const { nowMs, maxRunMs, standstillMs } = this.#options;
    // Each is looked at, whatever the others do.
    const stillRuns = [...this.#runs.values()].filter((run) => this.#standsStill(run));
    if (stillRuns.length > 0) {
      this.#options.onHang(`the run hung: it used no CPU for ${standstillMs} ms`);
      return;
    }
    for (const [batchId, run] of this.#runs) {
      const elapsedMs = nowMs() - run.startedAtMs;
      if (elapsedMs >= maxRunMs + GRACE_MS) {
        this.#options.onHang(`the run hung: it did not end ${GRACE_MS} ms after it was stopped at ${maxRunMs} ms`);
        return;
      }
      if (elapsedMs < maxRunMs || run.isOverrun) continue;
      run.isOverrun = true;
      this.#options.onOverrun(batchId, `the run took longer than ${maxRunMs} ms and was stopped; see --max-run-ms`);
    }
    this.#arm();
  }

  #standsStill(run: WatchedRun): boolean {
    const used = this.#options.usedSeconds(run.instance);
    if (used === null) return false;
    const isStill = used - run.usedSeconds < (LEAST_USE_CORES * this.#lookMs) / 1000;
    run.usedSeconds = used;
    run.stillCount = isStill ? run.stillCount + 1 : 0;
    return run.stillCount * this.#lookMs >= this.#options.standstillMs;
  }
}
