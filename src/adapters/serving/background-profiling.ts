import type { Profile } from '../../perf-model/profile.js';
import type { System } from '../../system.js';
import { LeasedTarget } from '../profiler/leased-profiler.js';
import type { ProfileRun } from '../profiler/profile-runner.js';
import { oneLine } from '../workers/load-failure.js';
import type { InputShapes } from '../workers/synthetic-load.js';
import type { OpenWorker } from './open-worker.js';

/*
 * Profiles a model while it is served: refines a quick profile when nobody sends anything, and makes the first one of a
 * model whose shapes only a request could tell.
 */

/** Models of one server are refined one after another: two at a time would measure each other. */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  take(task: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(task, task);
    return this.#last;
  }
}

export interface BackgroundProfilingOptions {
  readonly system: System;
  readonly worker: OpenWorker;
  readonly maxMillicores: number;
  readonly turns: Turns;
  readonly isRefining: boolean;
  readonly nowMs: () => number;
  readonly lastRequestAtMs: () => number;
  makeRun(target: LeasedTarget, quality: 'quick' | 'full'): ProfileRun;
  /** Takes a profile of an earlier server into use; false where there is none that fits. */
  adoptStored(): Promise<boolean>;
  /** Takes a finished run into use and stores it. */
  adopt(run: ProfileRun, quality: 'quick' | 'full'): Promise<Profile>;
  /** Good news, one line. */
  readonly onNotice: (line: string) => void;
  /** Bad news, one line. */
  readonly onLog: (line: string) => void;
}

/** Refining waits for this much quiet before each step. */
const REFINING_QUIET_MS = 1000;
/** The first profile waits this long for a moment without requests, and is then made between batches. */
const FIRST_PROFILE_PATIENCE_MS = 2000;
/** Requests from which shapes are learned before the model is left as it is: alone on all CPU. */
const MOST_LESSONS = 3;

export class BackgroundProfiling {
  readonly #options: BackgroundProfilingOptions;
  readonly #abort = new AbortController();
  #work: Promise<void> = Promise.resolve();
  #lessonCount = 0;
  #isLearning = false;

  constructor(options: BackgroundProfilingOptions) {
    this.#options = options;
  }

  /** Begins to refine, when it is this model's turn. */
  refine(): void {
    const { turns, isRefining, onLog } = this.#options;
    if (!isRefining) return;
    this.#work = turns
      .take(() => this.#profile('full'))
      .catch((error: unknown) => onLog(`refining the profile stopped, the quick one stays: ${oneLine(error)}`));
  }

  /**
   * A request with these inputs was answered by a model whose shapes were not known: with them it is probed and profiled.
   * A request that the model cannot be profiled with (too large, say; null: empty) teaches nothing; another one may.
   */
  learn(shapes: InputShapes | null): void {
    if (shapes === null || this.#isLearning || this.#lessonCount === MOST_LESSONS) return;
    this.#isLearning = true;
    this.#lessonCount += 1;
    this.#work = this.#learn(shapes).catch((error: unknown) => {
      this.#options.worker.setShapes(null);
      this.#options.onLog(`no profile, every request runs alone on all CPU: ${oneLine(error)}`);
      this.#isLearning = false;
    });
  }

  /** Stops at the next step; call it when the worker is closed, which ends a step that runs. */
  abort(): void {
    this.#abort.abort();
  }

  /** Resolves when nothing goes on any more. */
  async settled(): Promise<void> {
    await this.#work;
  }

  async #learn(shapes: InputShapes): Promise<void> {
    const { worker } = this.#options;
    worker.setShapes(shapes);
    let isProbed = false;
    await this.#target('quick').repeat(
      () => isProbed,
      async () => {
        await worker.probe();
        isProbed = true;
      },
    );
    if (await this.#options.adoptStored()) return;
    await this.#profile('quick');
    this.refine();
  }

  async #profile(quality: 'quick' | 'full'): Promise<void> {
    const target = this.#target(quality);
    const run = this.#options.makeRun(target, quality);
    await target.finish(run);
    if (this.#abort.signal.aborted) return;
    this.#options.worker.pool.releaseSynthetic();
    const { cells } = await this.#options.adopt(run, quality);
    this.#options.onNotice(`${quality} profile of ${cells.length} cells is in use`);
  }

  #target(quality: 'quick' | 'full'): LeasedTarget {
    const { system, worker, maxMillicores, nowMs, lastRequestAtMs } = this.#options;
    const isFirst = quality === 'quick';
    return new LeasedTarget({
      system,
      maxMillicores,
      run: (batchSize, threadCount) => worker.runSynthetic(batchSize, threadCount),
      nowMs,
      lastRequestAtMs,
      quietMs: isFirst ? 0 : REFINING_QUIET_MS,
      patienceMs: isFirst ? FIRST_PROFILE_PATIENCE_MS : Infinity,
      signal: this.#abort.signal,
    });
  }
}
