import type { Clock } from '../../clock/clock.js';
import type { Event } from '../../domain/event.js';
import type { CpuCounters, Scaler } from '../../controlplane/scaler.js';
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
import type { ReplicatedPool } from '../workers/replicated-pool.js';
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
import { instanceCount, type InstanceCount } from './instance-count.js';
import { groupKindOf } from './replica-process.js';
import { openReplicas, type Replicas, type Replication } from './replicas.js';
import { sampleOfRequest, SampleReservoir } from './request-sample.js';
import { shapeClassOf } from './shape-class.js';
import { idleRulesOf, openInstances, type WarmInstances } from './warm-instances.js';

/*
 * One model being served: its worker process, its CPU group, its profile and its system. Start-up and model loading run at
 * the largest allocation. Without a stored profile a quick one is taken first (or, where the shape is not known, from the
 * first request), and refined in the background while nothing else is to do.
 */

export interface ServedModelOptions extends Omit<WorkerOptions, 'onScaling'> {
  readonly clock: Clock;
  readonly policyFor: (served: PolicyContext) => Policy;
  /** Scales horizontally, by replicas of a unit (null: one core, if there is as much); null: one worker, resized in place. */
  readonly replicas: { readonly unitMillicores: number | null } | null;
  /** Warm instances, each resized by itself; 1 for one worker. Not with replicas. */
  readonly instances: InstanceCount;
  /** Served by this server. */
  readonly modelCount: number;
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
  /** The CPU group stands, and so it is known how many instances there will be; the worker process starts next. */
  readonly onScaling: (scaling: DetectedScaler, instances: number) => void;
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
  /** Replicas there may be; of warm instances there are as many as `instances` says. */
  readonly maxInstances: number;
  readonly instances: number;
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
  readonly #instances: WarmInstances | null;
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
    instances: WarmInstances | null,
  ) {
    this.source = source;
    this.#options = options;
    this.#worker = worker;
    this.#replicas = replicas;
    this.#instances = instances;
    this.#profile = profile;
    this.models = new OnlineLatencyModels(profile, options.targetMissRate);
    this.limits = replicas?.limits ?? runnableLimits(worker, options.minMillicores);
    this.#defaultSloMs = this.#chooseDefaultSloMs();
    this.system = createSystem({
      clock: options.clock,
      workers: this.#workers,
      scalers: instances?.scalers ?? [this.#scaler],
      policy: options.policyFor({
        limits: this.limits,
        maxInstances: replicas?.maxInstances ?? 1,
        instances: this.#instanceCount,
        defaultSloMs: this.#defaultSloMs,
      }),
      models: this.models,
      config: {
        queueLimits: options.queueLimits,
        maxBatchBytes: options.maxBatchBytes,
        ...idleRulesOf(worker, options, this.#instanceCount),
        limits: this.limits,
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
    let instances = 1;
    const worker = await openWorker(source, {
      ...options,
      get isReplicated() {
        return options.replicas !== null || instances > 1;
      },
      onScaling: (scaling) => {
        if (options.replicas !== null) groupKindOf(scaling, '--policy fa2');
        else
          instances = instanceCount(options.instances, scaling.scaler, { ...source, modelCount: options.modelCount });
        if (instances > 1) groupKindOf(scaling, '--instances');
        options.onScaling(scaling, instances);
      },
    });
    try {
      if (options.replicas !== null) assertShapesKnown(source, worker);
      // One at a time: two would measure each other.
      const profile = await options.turns.take(() => initialProfileOrNone(source, worker, options));
      const replicas = await openReplicas(source, worker, options);
      const warm = await openInstances(source, worker, options, instances);
      return new ServedModel(source, options, worker, profile, replicas, warm);
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

  /** The kernel's counters of all instances; null where there are none. */
  readCounters(): CpuCounters | null {
    return this.#instances === null ? this.#scaler.readCounters() : this.#instances.readCounters();
  }

  /** Of all that are alike. */
  get #scaler(): Scaler {
    return this.#replicas?.scaler ?? this.#worker.scaling.scaler;
  }

  get #workers(): ReplicatedPool | ProcessPool {
    return this.#instances?.pool ?? this.#replicas?.pool ?? this.#worker.pool;
  }

  /** Of each instance there can be, those that are not there now included; 0 while there is none. */
  get pids(): readonly number[] {
    return (this.#instances ?? this.#replicas)?.pool.pids ?? [this.#worker.pool.pid];
  }

  /** Null where one worker is resized in place. */
  get replication(): Replication | null {
    return this.#replicas;
  }

  get #instanceCount(): number {
    return this.#instances?.scalers.length ?? 1;
  }

  /** That can run batches now. */
  get instanceCount(): number {
    return this.#workers.instanceCount;
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
    await this.#instances?.close();
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
