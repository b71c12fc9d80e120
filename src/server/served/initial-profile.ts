import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import { cellsToCheck, checkProfile, type RerunCell } from '../../scheduler/perf-model/profile-check.js';
import type {
  MeasuredInterference,
  Profile,
  ProfileCell,
  ProfileFingerprint,
} from '../../scheduler/perf-model/profile.js';
import { interferenceText, measureInterference, type SideBySideTarget } from '../profiler/interference-runner.js';
import { ProfileRun, type ProfilingPlan, type ProfilingTarget } from '../profiler/profile-runner.js';
import { findProfile, keepProfile, type ProfilePlaces } from '../profiler/profile-places.js';
import { fingerprintOf } from '../profiler/profile-store.js';
import { oneLine } from '../workers/load-failure.js';
import type { ModelSource } from '../models/model-repository.js';
import type { OpenWorker } from './open-worker.js';
import type { ServedModelOptions } from './served-model-options.js';

/*
 * What a model is planned with when it begins to be served: a stored profile that still holds, else a quick one made now, else
 * none.
 */

/** Null also where the model does not run on what nobody sent: it is served all the same, and learns from a real request. */
export async function initialProfileOrNone(
  source: ModelSource,
  worker: OpenWorker,
  options: ServedModelOptions,
): Promise<Profile | null> {
  try {
    return await initialProfile(source, worker, options);
  } catch (error) {
    options.interruption?.throwIfAborted();
    const isSampleGiven = (options.samplePaths ?? source.settings.samplePaths).length > 0;
    const cause = isSampleGiven
      ? `the sample given fails: ${oneLine(error)}`
      : `made-up inputs fail: ${oneLine(error)}`;
    const remedy = isSampleGiven ? 'give another --sample' : 'give one with --sample';
    if (options.policy.scaling.kind === 'replicas') {
      throw new Error(`model ${source.name} has no profile, which replicas are planned by; ${remedy}; ${cause}`, {
        cause: error,
      });
    }
    options.onLog(
      `served without a profile, on all CPU, until a real request shows what it takes (or ${remedy}): ${cause}`,
    );
    worker.forgetSamples();
    return null;
  }
}

async function initialProfile(
  source: ModelSource,
  worker: OpenWorker,
  options: ServedModelOptions,
): Promise<Profile | null> {
  if (worker.shapes === null) return null;
  const fingerprint = fingerprintFor(worker);
  const stored = await findProfile(placesOf(source, options), fingerprint);
  if (stored.kind === 'fresh') {
    const checked = await worker.preemptible(() =>
      checkedProfile(withAxes(stored.profile, worker), directTarget(worker), options.onLog),
    );
    if (checked !== null) {
      const whole = await withInterference(checked, worker, options);
      return whole === checked ? checked : storeProfile(source, fingerprint, whole, options);
    }
  }
  if (stored.kind === 'stale') options.onLog(`${stored.reason}; profiling again`);
  const limits = measurableLimits(worker, options.minMillicores);
  const run = new ProfileRun(directTarget(worker), profilingPlan(worker, limits, 'quick', options.quickBudgetMs));
  while (!run.isDone) {
    await worker.preemptible(() => run.step());
    const { done, total } = run.progress;
    options.onProgress(`quick profile: ${done} of ${total}`);
  }
  const profile = profileOf(source, worker, fingerprint, run.cells(), 'quick');
  const whole = await withInterference(profile, worker, options);
  worker.pool.releaseSynthetic();
  return storeProfile(source, fingerprint, whole, options);
}

/** What the first start with several instances spends on it. */
const INTERFERENCE_BUDGET_MS = 1000;

/**
 * The same profile where it says already how much instances slow each other down, or there are not several in the process. Beside a model
 * that is called it is left to serving: all cores for a second are not to be had.
 */
async function withInterference(profile: Profile, worker: OpenWorker, options: ServedModelOptions): Promise<Profile> {
  if (profile.interference !== undefined || worker.scalings.length === 1) return profile;
  const plan = { ...options, budgetMs: INTERFERENCE_BUDGET_MS };
  try {
    return { ...profile, interference: await worker.preemptible(() => interferenceOf(worker, plan), 'give-up') };
  } catch (error) {
    options.interruption?.throwIfAborted();
    options.onLog(`how much instances slow each other down is not known yet: ${oneLine(error)}`);
    return profile;
  }
}

/**
 * Between the instances of the worker's process, of one request on a core each, or on an equal share of what there is. Undefined where there
 * is one instance, or it could not be measured: serving learns it then.
 */
export async function interferenceOf(
  worker: OpenWorker,
  { minMillicores, budgetMs, nowMs, onNotice }: InterferenceOptions,
): Promise<MeasuredInterference | undefined> {
  const [threadCount] = worker.pool.threadCounts;
  const target: SideBySideTarget = {
    instanceCount: worker.scalings.length,
    millicoresOfEach: (instances) => worker.millicoresOfEach(instances),
    sideBySide: (instances, cpuMillicores, step) => worker.sideBySide(instances, cpuMillicores, step),
    run: (instance, batchSize) => worker.runSynthetic(batchSize, threadCount!, instance),
  };
  const measured = await measureInterference(target, { batchSize: 1, minMillicores, budgetMs, nowMs });
  if (measured === null) return undefined;
  onNotice(`instances slow each other down: ${interferenceText(measured)}`);
  return measured;
}

interface InterferenceOptions extends Pick<ServedModelOptions, 'minMillicores' | 'nowMs' | 'onNotice'> {
  readonly budgetMs: number;
}

/** Runs again in all; where they take long, one of each cell. */
const CHECK_RUNS = 4;
const CHECK_BUDGET_MS = 250;

/**
 * A stored profile after a few runs, as it is or scaled; null where it has to be made anew. The log says by how much it was off.
 */
export async function checkedProfile(
  profile: Profile,
  target: ProfilingTarget,
  onLog: (line: string) => void,
): Promise<Profile | null> {
  const cells = cellsToCheck(profile);
  const reruns: RerunCell[] = [];
  for (const cell of cells) {
    await target.resize(cell.cpuMillicores);
    // A session's first run allocates, and faults pages in; the first after a quota write has what the kernel's bucket holds.
    await target.run(cell.batchSize, cell.threadCount);
    const samplesMs: number[] = [];
    let spentMs = 0;
    while (samplesMs.length < CHECK_RUNS && spentMs < CHECK_BUDGET_MS) {
      const { latencyMs } = await target.run(cell.batchSize, cell.threadCount);
      samplesMs.push(latencyMs);
      spentMs += latencyMs;
    }
    reruns.push({ cell, samplesMs });
  }
  // Serving starts on all CPU.
  await target.resize(cells[0]!.cpuMillicores);
  const check = checkProfile(profile, reruns);
  switch (check.kind) {
    case 'holds':
      return profile;
    case 'scaled':
      onLog(
        `the stored profile was off: runs take ${check.ratio.toPrecision(2)} times what it says; it is scaled, and refined`,
      );
      return check.profile;
    case 'broken': {
      const between = `${check.leastRatio.toPrecision(2)} to ${check.greatestRatio.toPrecision(2)}`;
      onLog(`the stored profile was off: runs take ${between} times what it says; profiling again`);
      return null;
    }
  }
}

/** The whole worker, before it is served. */
export function directTarget(worker: OpenWorker): ProfilingTarget {
  return {
    resize: (cpuMillicores) => worker.resize(cpuMillicores),
    run: (batchSize, threadCount) => worker.runSynthetic(batchSize, threadCount),
  };
}

export function profilingPlan(
  worker: OpenWorker,
  limits: AllocationLimits,
  quality: 'quick' | 'full',
  budgetMs: number,
  /** Absent where nobody can be kept waiting. */
  holding: Pick<ProfilingPlan, 'maxRunMs' | 'maxStepRunMs'> = { maxRunMs: Infinity, maxStepRunMs: Infinity },
): ProfilingPlan {
  const { maxBatchSize, threadCounts } = worker.pool;
  // Where nothing is limited, a run has the CPU its threads take: whole cores. Less of it is left to the curve to extend.
  const minMillicores = worker.scaling.scaler.isActuating
    ? limits.minMillicores
    : Math.min(Math.max(limits.minMillicores, 1000), limits.maxMillicores);
  const measurable = { ...limits, minMillicores };
  return { quality, maxBatchSize, limits: measurable, threadCounts, budgetMs, ...holding, seed: 1 };
}

/** Allocations on which batches may run: the scaler's, from the configured floor on its grid. */
export function runnableLimits(worker: Pick<OpenWorker, 'scaling'>, minMillicores: number): AllocationLimits {
  const limits = worker.scaling.scaler.limits;
  const steps = Math.ceil(Math.max(0, minMillicores - limits.minMillicores) / limits.stepMillicores);
  const floor = limits.minMillicores + steps * limits.stepMillicores;
  return { ...limits, minMillicores: Math.min(floor, limits.maxMillicores) };
}

/** The same, as far as others leave room for it now. */
function measurableLimits(worker: OpenWorker, minMillicores: number): AllocationLimits {
  const limits = runnableLimits(worker, minMillicores);
  return {
    ...limits,
    maxMillicores: Math.max(limits.minMillicores, Math.min(limits.maxMillicores, worker.mostMillicores)),
  };
}

/** Of what the worker loaded, whatever lies at the model's path by now. */
export function fingerprintFor(worker: OpenWorker): ProfileFingerprint {
  return fingerprintOf(worker.pool.facts.files, {
    scaler: worker.scaling.scaler.kind,
    quotaPeriodUs: worker.quotaPeriodUs,
    threadCounts: worker.pool.threadCounts,
    onnxRuntimeVersion: worker.pool.facts.onnxRuntimeVersion,
    shapeClassKey: worker.shapeClass.key,
  });
}

export function profileOf(
  source: ModelSource,
  worker: OpenWorker,
  fingerprint: ProfileFingerprint,
  cells: readonly ProfileCell[],
  quality: 'quick' | 'full',
  interference?: MeasuredInterference,
): Profile {
  return {
    schemaVersion: 1,
    name: source.name,
    fingerprint,
    elementCount: worker.shapeClass.elementCount,
    axisSizes: worker.shapeClass.axisSizes,
    quality,
    measuredAt: new Date().toISOString(),
    cells,
    interference,
  };
}

/** A profile of the shapes that the worker has, stored when profiles did not say the sizes of axes. */
export function withAxes(profile: Profile, worker: OpenWorker): Profile {
  return { ...profile, axisSizes: profile.axisSizes ?? worker.shapeClass.axisSizes };
}

type Keeping = Pick<ServedModelOptions, 'profileFolder' | 'onLog'>;

export function placesOf(source: ModelSource, { profileFolder }: Keeping): ProfilePlaces {
  return { besideModel: source.profilePath, folder: profileFolder };
}

/** A place that cannot be written to costs a warning, not the server. */
export async function storeProfile(
  source: ModelSource,
  fingerprint: ProfileFingerprint,
  profile: Profile,
  options: Keeping,
): Promise<Profile> {
  try {
    await keepProfile(placesOf(source, options), fingerprint, profile);
  } catch (error) {
    const remedy = options.profileFolder === null ? '; name a folder for profiles with --profile-dir' : '';
    options.onLog(`the profile could not be stored, so the next start profiles again: ${oneLine(error)}${remedy}`);
  }
  return profile;
}
