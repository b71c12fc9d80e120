import type { Profile } from '../../scheduler/perf-model/profile.js';
import type { System } from '../../scheduler/system.js';
import { LeasedTarget } from '../profiler/leased-profiler.js';
import type { ProfileRun } from '../profiler/profile-runner.js';
import { oneLine } from '../workers/load-failure.js';
import { WorkerLostError } from '../workers/synthetic-load.js';
import type { Sample } from '../workers/samples.js';
import type { OpenWorker } from './open-worker.js';
import { Sequence } from '../models/sequence.js';
import { shapeClassOf } from './shape-class.js';

/*
 * Profiles a model while it is served: refines a quick profile when nobody sends anything, and makes the first one of a
 * model whose shapes only a request could tell.
 */

/**
 * Models of one server are measured one after another: two at a time would measure each other. One that is started goes ahead of those
 * that are refined, which may wait for a quiet moment for ever: they pause.
 */
export class Turns {
  readonly #ahead = new Sequence();
  readonly #others = new Sequence();

  take<Result>(task: () => Promise<Result>): Promise<Result> {
    return this.#others.take(task);
  }

  takeAhead<Result>(task: () => Promise<Result>): Promise<Result> {
    return this.#ahead.take(task);
  }

  /** Whether whoever has a turn is to pause. */
  get isPaused(): boolean {
    return !this.#ahead.isIdle;
  }

  /** The same; one that is given up before its turn has come is over at once, whoever's turn it is. */
  takeUnlessAborted(task: () => Promise<void>, signal: AbortSignal): Promise<void> {
    return new Promise((fulfil, reject) => {
      const giveUp = (): void => fulfil();
      signal.addEventListener('abort', giveUp, { once: true });
      this.take(async () => {
        signal.removeEventListener('abort', giveUp);
        if (!signal.aborted) await task();
      }).then(fulfil, reject);
    });
  }
}

export interface BackgroundProfilingOptions {
  readonly system: System;
  readonly worker: OpenWorker;
  readonly maxMillicores: number;
  readonly turns: Turns;
  readonly isRefining: boolean;
  /** What one request takes alone, on all CPU. */
  readonly aloneMs: () => number;
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

/**
 * A live request waits no longer than this for the end of a run that only refines. Ending one early is no promise: it ends with
 * the operator that runs, which may be most of the model.
 */
const LONGEST_HOLD_MS = 50;
/** A run for the first profile, without which nothing can be planned, may keep a request waiting for this share of the default budget. */
const BLOCKING_FRACTION = 0.5;
/** Refining waits for this much quiet before each step. */
const REFINING_QUIET_MS = 1000;
/** The first profile waits this long for a moment without requests, and is then made between batches. */
const FIRST_PROFILE_PATIENCE_MS = 2000;
/** Requests from which shapes are learned before the model is left as it is: alone on all CPU. */
const MOST_LESSONS = 3;
/** Lost workers that end a profile: a lesson by the first one; what is only refined, by a second sign. */
const MOST_LOSSES = { quick: 1, full: 2 } as const;

/** How long runs of a profile may keep the worker from requests. */
export function holdingOf(
  quality: 'quick' | 'full',
  defaultSloMs: number,
): { readonly maxRunMs: number; readonly maxStepRunMs: number } {
  const firstRunMs = BLOCKING_FRACTION * defaultSloMs;
  return quality === 'quick'
    ? { maxRunMs: firstRunMs, maxStepRunMs: firstRunMs }
    : { maxRunMs: LONGEST_HOLD_MS, maxStepRunMs: Infinity };
}

export class BackgroundProfiling {
  readonly #options: BackgroundProfilingOptions;
  readonly #abort = new AbortController();
  #work: Promise<void> = Promise.resolve();
  #lessonCount = 0;
  /** Shape classes of lessons that killed the worker. */
  readonly #deadly = new Set<string>();
  #isLearning = false;
  /** The first profile kept a request waiting, and said so. */
  #hasHeld = false;

  constructor(options: BackgroundProfilingOptions) {
    this.#options = options;
  }

  /** Begins to refine, when it is this model's turn. */
  refine(): void {
    const { turns, isRefining, aloneMs, onLog, onNotice } = this.#options;
    if (!isRefining) return;
    if (aloneMs() > LONGEST_HOLD_MS) {
      onNotice(
        `the quick profile is not refined: a run takes ${aloneMs().toFixed(0)} ms, and a request might wait for its end; ` +
          'real batches teach the rest',
      );
      return;
    }
    this.#work = turns
      .takeUnlessAborted(() => {
        onNotice('the quick profile is refined while nothing is to do');
        return this.#profile('full');
      }, this.#abort.signal)
      .catch((error: unknown) => onLog(`refining the profile stopped, the quick one stays: ${oneLine(error)}`));
  }

  /**
   * A request like this was answered by a model of which nobody knew what it takes: with it it is tried and profiled. One that
   * the model cannot be profiled with teaches nothing; another one may. One that its worker dies of is not tried again, nor
   * another of its shapes.
   */
  learn(sample: Sample): void {
    const { key } = shapeClassOf(sample, false);
    if (this.#isLearning || this.#lessonCount === MOST_LESSONS || this.#deadly.has(key)) return;
    this.#isLearning = true;
    this.#lessonCount += 1;
    this.#work = this.#learn(sample).catch((error: unknown) => {
      this.#options.worker.forgetSamples();
      if (error instanceof WorkerLostError) this.#deadly.add(key);
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

  async #learn(sample: Sample): Promise<void> {
    const { worker } = this.#options;
    worker.useSamples([sample]);
    let isProbed = false;
    await this.#target('quick').repeat(
      () => isProbed,
      async () => {
        await worker.decideBatching();
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

  /** A machine that has become slower holds longer than was planned. Where that is seen, real batches have to teach the rest. */
  #onHeld(quality: 'quick' | 'full', heldMs: number): void {
    if (heldMs <= LONGEST_HOLD_MS) return;
    const held = `held the worker for ${heldMs.toFixed(0)} ms while a request waited`;
    if (quality === 'full') {
      this.#options.onLog(`refining ${held}, more than ${LONGEST_HOLD_MS}: it is not refined any more`);
      this.#abort.abort();
    } else if (!this.#hasHeld) {
      this.#hasHeld = true;
      this.#options.onLog(
        `a step of the first profile ${held}: without it nobody knows what requests take; more may follow`,
      );
    }
  }

  #target(quality: 'quick' | 'full'): LeasedTarget {
    const { system, worker, maxMillicores, turns, nowMs, lastRequestAtMs } = this.#options;
    const isFirst = quality === 'quick';
    return new LeasedTarget({
      system,
      maxMillicores,
      run: (batchSize, threadCount) => worker.runSynthetic(batchSize, threadCount),
      abort: () => worker.pool.abortSynthetic(),
      onHeld: (heldMs) => this.#onHeld(quality, heldMs),
      nowMs,
      lastRequestAtMs,
      isPaused: () => turns.isPaused,
      quietMs: isFirst ? 0 : REFINING_QUIET_MS,
      patienceMs: isFirst ? FIRST_PROFILE_PATIENCE_MS : Infinity,
      mostLosses: MOST_LOSSES[quality],
      signal: this.#abort.signal,
    });
  }
}
