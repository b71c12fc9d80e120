/*
 * Notices runs that hang. How long a run takes cannot be foretold: a loop count may be an input, and on the smallest
 * allocation a run may rightly take minutes. So it is asked whether the inference threads compute at all, and beyond that
 * there is a limit that the operator sets. Rejected: a multiple of the prediction, which killed runs that were right.
 */

/** Looks at a standstill before it counts: if the router itself stood still for a while, that is one look. */
const LOOKS = 5;
/** Below a thousandth of a core nothing computes; the clock of CPU time ticks every 10 ms. */
const LEAST_USE_CORES = 0.001;
/** From asking a run to end to replacing its process: an operator may take long, and what does not end at all does not matter more. */
const GRACE_MS = 5000;

export interface RunWatchOptions {
  /** CPU time of the inference threads so far; null where the platform does not tell. */
  usedSeconds(): number | null;
  readonly nowMs: () => number;
  /** Without any CPU use for this long a run hangs. Even the smallest allocation, 100 millicores, would have given a tenth of it. */
  readonly standstillMs: number;
  /** Longer than this no run may take. */
  readonly maxRunMs: number;
  /** Asks a run that took too long to end. */
  onOverrun(batchId: number, message: string): void;
  /** The process is to be replaced. */
  onHang(message: string): void;
}

interface WatchedRun {
  readonly startedAtMs: number;
  isOverrun: boolean;
}

/** One timer for all runs, which outlives short ones: it is armed when a run begins, and rests when it finds none. */
export class RunWatch {
  readonly #options: RunWatchOptions;
  readonly #lookMs: number;
  readonly #runs = new Map<number, WatchedRun>();
  #timer: NodeJS.Timeout | undefined;
  #usedSeconds = -Infinity;
  #stillCount = 0;

  constructor(options: RunWatchOptions) {
    this.#options = options;
    this.#lookMs = Math.min(options.standstillMs, options.maxRunMs) / LOOKS;
  }

  begin(batchId: number): void {
    if (this.#runs.size === 0) this.#restart();
    this.#runs.set(batchId, { startedAtMs: this.#options.nowMs(), isOverrun: false });
    this.#arm();
  }

  end(batchId: number): void {
    this.#runs.delete(batchId);
    this.#restart();
  }

  /** Whatever ran is gone, with its process. */
  reset(): void {
    this.#runs.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** A standstill begins with the next look. */
  #restart(): void {
    this.#usedSeconds = -Infinity;
    this.#stillCount = 0;
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
    if (this.#stoodStill()) {
      this.#options.onHang(`the run hung: it used no CPU for ${this.#options.standstillMs} ms`);
      return;
    }
    const { nowMs, maxRunMs } = this.#options;
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

  #stoodStill(): boolean {
    const used = this.#options.usedSeconds();
    if (used === null) return false;
    const isStill = used - this.#usedSeconds < (LEAST_USE_CORES * this.#lookMs) / 1000;
    this.#usedSeconds = used;
    this.#stillCount = isStill ? this.#stillCount + 1 : 0;
    return this.#stillCount * this.#lookMs >= this.#options.standstillMs;
  }
}
