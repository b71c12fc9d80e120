import type { Clock } from '../../clock/clock.js';
import type { Event } from '../../domain/event.js';
import type { Scaler } from '../../controlplane/scaler.js';
import type { LatencyModel } from '../../domain/latency.js';
import type { AllocationLimits } from '../../domain/plan.js';
import type { ModelSignature, Tensor } from '../../domain/tensor.js';
import { OnlineLatencyModels } from '../../perf-model/latency-model.js';
import type { Profile } from '../../perf-model/profile.js';
import { createSystem, type Policy, type System } from '../../system.js';
import { ProfileRun, type ProfilingTarget } from '../profiler/profile-runner.js';
import { readStoredProfile } from '../profiler/profile-store.js';
import type { DetectedScaler } from '../scalers/detect.js';
import type { ModelState } from '../oip/service.js';
import type { ProcessPool } from '../workers/process-pool.js';
import { BackgroundAudit } from './background-audit.js';
import { BackgroundProfiling, LONGEST_HOLD_MS, type Turns } from './background-profiling.js';
import type { AuditResult } from './batch-audit.js';
import type { BatchingDecision } from './batching-decision.js';
import {
  fingerprintFor,
  initialProfileOrNone,
  profilingPlan,
  runnableLimits,
  storeProfile,
  withAxes,
} from './initial-profile.js';
import type { ModelSource } from './model-repository.js';
import { assertShapesKnown, openWorker, type OpenWorker, type WorkerOptions } from './open-worker.js';
import { groupKindOf, Replicas, replicationOf, type Replication } from './replicas.js';
import { sampleOfRequest, SampleReservoir } from './request-sample.js';
import { shapeClassOf } from './shape-class.js';

/*
 * One model being served: its worker process, its CPU group, its profile and its system. Start-up and model loading run at
 * the largest allocation. Without a stored profile a quick one is taken first (or, where the shape is not known, from the
 * first request), and refined in the background while nothing else is to do.
 */

export interface ServedModelOptions extends WorkerOptions {
  readonly clock: Clock;
  readonly policyFor: (served: PolicyContext) => Policy;
  /** Scales horizontally, by replicas of a unit (null: one core, if there is as much); null: one worker, resized in place. */
  readonly replicas: { readonly unitMillicores: number | null } | null;
  readonly minMillicores: number;
  readonly idleReleaseMs: number | null;
  readonly queueLimits: { readonly maxRequests: number; readonly maxBytes: number };
  readonly maxBatchBytes: number;
  /** Whether `maxBatchSize` was stated, rather than ours; the model's own settings may state one too. */
  readonly isMaxBatchStated: boolean;
  /** Of batches that were started early enough by the plan, the share that may miss deadlines. */
  readonly targetMissRate: number;
  /** Null: from the profile, max(1 s, 10 × l(1, 1 core)). */
  readonly defaultSloMs: number | null;
  readonly quickBudgetMs: number;
  readonly fullBudgetMs: number;
  /** Whether a quick profile is refined in the background. */
  readonly isRefining: boolean;
  /** Shared by the models of one server. */
  readonly turns: Turns;
  readonly onEvent: (event: Event) => void;
  /** A member of a real batch was run again alone. */
  readonly onAudit: (result: AuditResult) => void;
  /** Good news, one line. */
  readonly onNotice: (line: string) => void;
  /** What start-up is at; each message replaces the one before. */
  readonly onProgress: (message: string) => void;
}

/** What a policy may depend on. */
export interface PolicyContext {
  /** Of one instance. */
  readonly limits: AllocationLimits;
  readonly maxInstances: number;
  readonly defaultSloMs: number;
}

/** A run for the first profile, without which nothing can be planned, may keep a request waiting for this share of the default budget. */
const BLOCKING_FRACTION = 0.5;

/** Of a request whose model has no profile yet. */
const PROVISIONAL_SLO_MS = 1000;

export class ServedModel {
  readonly source: ModelSource;
  readonly system: System;
  readonly models: OnlineLatencyModels;
  readonly limits: AllocationLimits;
  readonly #options: ServedModelOptions;
  readonly #worker: OpenWorker;
  readonly #replicas: Replicas | null;
  readonly #background: BackgroundProfiling;
  readonly #audit: BackgroundAudit;
  readonly #reservoir = new SampleReservoir();
  #profile: Profile | null;
  #defaultSloMs: number;
  #lastRequestAtMs = -Infinity;

  private constructor(
    source: ModelSource,
    options: ServedModelOptions,
    worker: OpenWorker,
    profile: Profile | null,
    replicas: Replicas | null,
  ) {
    this.source = source;
    this.#options = options;
    this.#worker = worker;
    this.#replicas = replicas;
    this.#profile = profile;
    this.models = new OnlineLatencyModels(profile, options.targetMissRate);
    this.limits = replicas?.limits ?? runnableLimits(worker, options.minMillicores);
    this.#defaultSloMs = this.#chooseDefaultSloMs();
    this.system = createSystem({
      clock: options.clock,
      workers: replicas?.pool ?? worker.pool,
      scalers: [this.scaler],
      policy: options.policyFor({
        limits: this.limits,
        maxInstances: replicas?.maxInstances ?? 1,
        defaultSloMs: this.#defaultSloMs,
      }),
      models: this.models,
      config: {
        queueLimits: options.queueLimits,
        maxBatchBytes: options.maxBatchBytes,
        limits: this.limits,
        idleMillicores: worker.scaling.scaler.limits.minMillicores,
        idleReleaseMs: options.idleReleaseMs,
      },
      onEvent: (event) => {
        if (event.kind === 'request-received') this.#lastRequestAtMs = event.atMs;
        options.onEvent(event);
      },
    });
    this.#background = new BackgroundProfiling({
      system: this.system,
      worker,
      maxMillicores: this.limits.maxMillicores,
      turns: options.turns,
      isRefining: this.isRefining,
      aloneMs: () => this.#profiledModel().predictedLatencyMs(1, this.limits.maxMillicores),
      nowMs: options.nowMs,
      lastRequestAtMs: () => this.#lastRequestAtMs,
      makeRun: (target, quality) => this.#makeRun(target, quality),
      adoptStored: () => this.#adoptStored(),
      adopt: (run, quality) => this.#adopt(run, quality),
      onNotice: options.onNotice,
      onLog: options.onLog,
    });
    this.#audit = new BackgroundAudit({
      system: this.system,
      nowMs: options.nowMs,
      run: (batch) => worker.pool.runBatch(batch),
      abort: () => worker.pool.abortSynthetic(),
      onResult: options.onAudit,
      onDifference: (difference) => {
        worker.refuteBatching(`an audit found that ${difference}`);
        options.onLog(
          `BATCHING TURNED OFF: in a real batch ${difference}; answers in batches may have been wrong until now`,
        );
      },
      onLog: options.onLog,
    });
  }

  /**
   * Resolves when the model can be served.
   * @throws Error, in one line, when it cannot: not loadable, no rights for the scaler, a shape that does not fit
   */
  static async start(source: ModelSource, options: ServedModelOptions): Promise<ServedModel> {
    const worker = await openWorker(source, {
      ...options,
      isReplicated: options.replicas !== null,
      onScaling: (scaling) => {
        if (options.replicas !== null) groupKindOf(scaling);
        options.onScaling?.(scaling);
      },
    });
    try {
      if (options.replicas !== null) assertShapesKnown(source, worker);
      // One at a time: two would measure each other.
      const profile = await options.turns.take(() => initialProfileOrNone(source, worker, options));
      const replicas = await openReplicas(source, worker, options);
      return new ServedModel(source, options, worker, profile, replicas);
    } catch (error) {
      await worker.close();
      throw error;
    }
  }

  get pool(): ProcessPool {
    return this.#worker.pool;
  }

  get scaling(): DetectedScaler {
    return this.#worker.scaling;
  }

  /** Of all instances. */
  get scaler(): Scaler {
    return this.#replicas?.scaler ?? this.#worker.scaling.scaler;
  }

  /** Of each instance there can be, those that are not there now included; 0 while there is none. */
  get pids(): readonly number[] {
    return this.#replicas?.pool.pids ?? [this.#worker.pool.pid];
  }

  /** Null where one worker is resized in place. */
  get replication(): Replication | null {
    return this.#replicas;
  }

  /** That can run batches now. */
  get instanceCount(): number {
    return (this.#replicas?.pool ?? this.#worker.pool).instanceCount;
  }

  get signature(): ModelSignature {
    return this.#worker.pool.signature;
  }

  /** A request of more rows than a batch may have runs alone: where that limit is only our own. */
  get takesLargerRequests(): boolean {
    return !this.#options.isMaxBatchStated && this.source.settings.maxBatchSize === null;
  }

  get isBatchable(): boolean {
    return this.#worker.pool.maxBatchSize > 1;
  }

  /** Whether requests share batches, and why. */
  get batching(): BatchingDecision {
    return this.#worker.batching;
  }

  /** Whether a quick profile is refined in the background; not where the allocation is fixed for good. */
  get isRefining(): boolean {
    return this.#options.isRefining && this.#replicas === null;
  }

  get profile(): Profile | null {
    return this.#profile;
  }

  get state(): ModelState {
    return this.system.status().isWorkerReady ? 'READY' : 'UNAVAILABLE';
  }

  /** Why it is not ready; '' while it is. */
  get stateReason(): string {
    return this.state === 'READY' ? '' : `the worker is restarting: ${this.system.status().workerLoss}`;
  }

  /** The budget of requests that state none, ms. */
  get defaultSloMs(): number {
    return this.#defaultSloMs;
  }

  /** Nobody said so far what a request of this model looks like. */
  get needsShapes(): boolean {
    return this.#worker.shapes === null;
  }

  /** A request was answered: what it looked like, and what came of it, is worth knowing. */
  learnFrom(inputs: readonly Tensor[], outputs: readonly Tensor[], batchSize: number): void {
    if (this.needsShapes) {
      const sample = sampleOfRequest(this.signature, inputs);
      if (sample !== null) this.#background.learn(sample);
      return;
    }
    if (this.#profile?.quality === 'quick' && !this.#reservoir.isFull) this.#keepSample(inputs);
    if (batchSize > 1 && this.batching.isAudited) this.#audit.offer({ inputs, outputs });
  }

  /** Refines a quick profile from now on, while nothing is to do. Call it once every model is up. */
  beginRefining(): void {
    if (this.#profile?.quality === 'quick') this.#background.refine();
  }

  async close(): Promise<void> {
    this.#background.abort();
    this.#audit.stop();
    this.system.stop();
    await this.#replicas?.pool.close();
    await this.#worker.close();
    await this.#background.settled();
  }

  /** Only of the class that is profiled. */
  #keepSample(inputs: readonly Tensor[]): void {
    const sample = sampleOfRequest(this.signature, inputs);
    if (sample === null || shapeClassOf(sample, this.isBatchable).key !== this.#worker.shapeClass.key) return;
    this.#reservoir.add(sample);
  }

  #makeRun(target: ProfilingTarget, quality: 'quick' | 'full'): ProfileRun {
    const { samples } = this.#reservoir;
    if (quality === 'full' && samples.length > 0) this.#worker.useSamples(samples);
    const { quickBudgetMs, fullBudgetMs } = this.#options;
    const budgetMs = quality === 'quick' ? quickBudgetMs : fullBudgetMs;
    const firstRunMs = BLOCKING_FRACTION * this.#defaultSloMs;
    const holding =
      quality === 'quick'
        ? { maxRunMs: firstRunMs, maxStepRunMs: firstRunMs }
        : { maxRunMs: LONGEST_HOLD_MS, maxStepRunMs: Infinity };
    return new ProfileRun(
      target,
      profilingPlan(this.#worker, this.limits, quality, budgetMs, holding),
      this.#profile?.cells,
    );
  }

  async #adoptStored(): Promise<boolean> {
    const stored = await readStoredProfile(this.source.profilePath, fingerprintFor(this.#worker));
    if (stored.kind === 'fresh') this.#use(withAxes(stored.profile, this.#worker));
    return stored.kind === 'fresh';
  }

  async #adopt(run: ProfileRun, quality: 'quick' | 'full'): Promise<Profile> {
    const profile = await storeProfile(this.source, this.#worker, run, quality, this.#options.onLog);
    this.#use(profile);
    return profile;
  }

  #use(profile: Profile): void {
    this.#profile = profile;
    this.models.replaceProfile(profile);
    this.#defaultSloMs = this.#chooseDefaultSloMs();
  }

  #chooseDefaultSloMs(): number {
    const stated = this.#options.defaultSloMs ?? this.source.settings.defaultSloMs;
    if (stated !== null) return stated;
    if (this.models.isProvisional || this.#worker.shapes === null) return PROVISIONAL_SLO_MS;
    const aloneMs = this.#profiledModel().predictedLatencyMs(1, Math.min(1000, this.limits.maxMillicores));
    return Math.max(1000, 10 * aloneMs);
  }

  /** Of the shapes that are profiled. */
  #profiledModel(): LatencyModel {
    return this.models.forClass(this.#worker.shapeClass);
  }
}

/** The worker becomes the first replica, on the allocation of one. Null where it is the only one. */
async function openReplicas(
  source: ModelSource,
  worker: OpenWorker,
  options: ServedModelOptions,
): Promise<Replicas | null> {
  if (options.replicas === null) return null;
  const replication = replicationOf(options.replicas.unitMillicores, worker.scaling.scaler.limits);
  await worker.resize(replication.unitMillicores);
  return new Replicas({ ...replication, source, worker, workerOptions: options, clock: options.clock });
}
