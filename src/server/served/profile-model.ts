import { rm } from 'node:fs/promises';
import type { GridCell } from '../../scheduler/perf-model/profile-cell.js';
import type { MeasuredInterference, Profile, ProfileFingerprint } from '../../scheduler/perf-model/profile.js';
import { ProfileRun } from '../profiler/profile-runner.js';
import { assertStorable, describeWriteFailure, readStoredProfile, writeProfile } from '../profiler/profile-store.js';
import type { ModelSource } from '../models/model-repository.js';
import { assertShapesKnown, openWorker, type OpenWorker, type WorkerOptions } from './open-worker.js';
import { instanceCount } from './instance-count.js';
import {
  directTarget,
  fingerprintFor,
  interferenceOf,
  profileOf,
  profilingPlan,
  runnableLimits,
} from './initial-profile.js';

/*
 * Profiles one model from the command line, with nothing else to serve: the same worker, group, threads and fingerprint
 * as serving, so that serving reuses the result. What has been measured is kept in a file beside the profile every few
 * seconds; a run that was broken off, by a signal or by the machine, goes on from there.
 */

export interface ProfileModelOptions extends WorkerOptions {
  readonly quality: 'quick' | 'full';
  /** Roughly; ends early, with fewer runs a cell, where the machine turns out slower than it was at first. */
  readonly budgetMs: number;
  readonly minMillicores: number;
  /** Where the profile will be stored. */
  readonly profilePath: string;
  /** Forgets what an unfinished run has measured. */
  readonly isFresh: boolean;
  /** After each step. */
  readonly onProgress: (progress: ProfilingProgress) => void;
  /** Ends the run; what was measured is kept. */
  readonly signal: AbortSignal;
}

export interface ProfilingProgress {
  /** In [0, 1], of this run's visits. */
  readonly fraction: number;
  readonly elapsedMs: number;
  readonly remainingMs: number;
  /** What is measured next; null while warming up and at the end. */
  readonly cell: GridCell | null;
}

export type ProfilingResult =
  | {
      readonly kind: 'measured';
      readonly profile: Profile;
      /** Share of the quota periods in which the model was throttled; null where the scaler does not count them. */
      readonly throttledFraction: number | null;
      readonly elapsedMs: number;
      readonly scalerDescription: string;
      /** Why requests cannot be batched; empty when they can. */
      readonly notBatchableReason: string;
    }
  | { readonly kind: 'interrupted'; readonly runCount: number; readonly partialPath: string };

/** How long instances are run beside each other. */
const INTERFERENCE_BUDGET_MS = { quick: 1000, full: 8000 } as const;

/** How much work a crash may cost. */
const KEEP_EVERY_MS = 5000;
/** With fewer runs a single bad one moves a cell's median. */
const FEWEST_RUNS = 3;

/** Where a run keeps what it has measured until it is done: `m.profile.json` → `m.profile.partial.json`. */
export function partialPathOf(profilePath: string): string {
  return `${profilePath.replace(/\.json$/, '')}.partial.json`;
}

/**
 * Measures; storing the profile is left to the caller, and removing the partial one after that.
 * @throws Error, in one line with its remedy: model, scaler, shape, a place that cannot be written to, a lost worker
 */
export async function profileModel(source: ModelSource, options: ProfileModelOptions): Promise<ProfilingResult> {
  const { profilePath } = options;
  await assertStorable(profilePath).catch((error: unknown) => {
    throw new Error(describeWriteFailure(profilePath, error, '--output'));
  });
  let instances = 1;
  const worker = await openWorker(source, {
    ...options,
    // As many as would be served, so that it is known how they slow each other down.
    onScaling: ({ scaler }) =>
      (instances = instanceCount('auto', scaler, { ...source, modelCount: 1, areThreads: true })),
    instancesInProcess: () => instances,
  });
  try {
    assertShapesKnown(source, worker);
    return await new Profiling(source, worker, fingerprintFor(worker), options).measure();
  } finally {
    await worker.close();
  }
}

class Profiling {
  readonly #source: ModelSource;
  readonly #worker: OpenWorker;
  readonly #fingerprint: ProfileFingerprint;
  readonly #options: ProfileModelOptions;
  readonly #partialPath: string;

  constructor(source: ModelSource, worker: OpenWorker, fingerprint: ProfileFingerprint, options: ProfileModelOptions) {
    this.#source = source;
    this.#worker = worker;
    this.#fingerprint = fingerprint;
    this.#options = options;
    this.#partialPath = partialPathOf(options.profilePath);
  }

  async measure(): Promise<ProfilingResult> {
    const { quality, budgetMs, minMillicores, nowMs, onProgress, signal } = this.#options;
    const worker = this.#worker;
    const plan = profilingPlan(worker, runnableLimits(worker, minMillicores), quality, budgetMs);
    const run = new ProfileRun(directTarget(worker), plan, await this.#earlierCells());
    const before = worker.scaling.scaler.readCounters();
    const startedAtMs = nowMs();
    let keptAtMs = startedAtMs;
    const isLate = (): boolean => nowMs() - startedAtMs > budgetMs && run.fewestRuns >= FEWEST_RUNS;
    while (!run.isDone && !isLate() && !signal.aborted) {
      await unlessAborted(run.step(), signal);
      const { done, total } = run.progress;
      onProgress({
        fraction: total === 0 ? 1 : done / total,
        elapsedMs: nowMs() - startedAtMs,
        remainingMs: run.remainingMs,
        cell: run.nextCell,
      });
      if (nowMs() - keptAtMs < KEEP_EVERY_MS) continue;
      await this.#keep(run.cells());
      keptAtMs = nowMs();
    }
    const interference = signal.aborted ? undefined : await this.#interference();
    if (signal.aborted) return this.#interrupted(run);
    const after = worker.scaling.scaler.readCounters();
    const periods = (after?.periods ?? 0) - (before?.periods ?? 0);
    const throttled = (after?.throttledPeriods ?? 0) - (before?.throttledPeriods ?? 0);
    return {
      kind: 'measured',
      profile: profileOf(this.#source, worker, this.#fingerprint, run.cells(), quality, interference),
      throttledFraction: periods > 0 ? throttled / periods : null,
      elapsedMs: nowMs() - startedAtMs,
      scalerDescription: worker.scaling.description,
      notBatchableReason: worker.batching.isBatchable ? '' : worker.batching.reason,
    };
  }

  /** Ended with the worker where the run is. */
  async #interference(): Promise<MeasuredInterference | undefined> {
    const { quality, signal, minMillicores, nowMs } = this.#options;
    let measured: MeasuredInterference | undefined;
    const plan = { minMillicores, nowMs, budgetMs: INTERFERENCE_BUDGET_MS[quality], onNotice: () => undefined };
    await unlessAborted(
      interferenceOf(this.#worker, plan).then((found) => {
        measured = found;
      }),
      signal,
    );
    return measured;
  }

  async #earlierCells(): Promise<Profile['cells']> {
    if (this.#options.isFresh) {
      await rm(this.#partialPath, { force: true });
      return [];
    }
    const stored = await readStoredProfile(this.#partialPath, this.#fingerprint);
    if (stored.kind === 'stale') this.#options.onLog(`${stored.reason}; starting over`);
    if (stored.kind !== 'fresh') return [];
    const { cells, measuredAt } = stored.profile;
    this.#options.onLog(`going on from ${runCount(cells)} runs of ${measuredAt.slice(0, 16).replace('T', ' ')}`);
    return cells;
  }

  async #interrupted(run: ProfileRun): Promise<ProfilingResult> {
    const cells = run.cells(); // Once: the step that was left alone may end while they are written.
    await this.#keep(cells);
    return { kind: 'interrupted', runCount: runCount(cells), partialPath: this.#partialPath };
  }

  async #keep(cells: Profile['cells']): Promise<void> {
    if (cells.length === 0) return;
    const profile = profileOf(this.#source, this.#worker, this.#fingerprint, cells, this.#options.quality);
    await writeProfile(this.#partialPath, profile).catch((error: unknown) => {
      throw new Error(describeWriteFailure(this.#partialPath, error, '--output'));
    });
  }
}

function runCount(cells: Profile['cells']): number {
  return cells.reduce((sum, { samplesMs }) => sum + samplesMs.length, 0);
}

/** An aborted step is left alone: it ends with the worker, and whether it succeeds no longer matters. */
async function unlessAborted(step: Promise<void>, signal: AbortSignal): Promise<void> {
  let abort: () => void = () => undefined;
  const aborted = new Promise<void>((resolve) => (abort = resolve));
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([step, aborted]);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
