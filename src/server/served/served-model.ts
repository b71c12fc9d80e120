import { restingMillicores } from '../../scheduler/controlplane/allocations.js';
import { FewerInstancesNotice } from './fewer-instances-notice.js';
import type { CpuCounters, Scaler } from '../../scheduler/controlplane/scaler.js';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import type { ShapeClass } from '../../scheduler/domain/request.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { OnlineLatencyModels } from '../../scheduler/perf-model/latency-model.js';
import type { Profile } from '../../scheduler/perf-model/profile.js';
import type { Node } from '../../scheduler/node.js';
import { startMillicores, type System } from '../../scheduler/system.js';
import { ProfileRun, type ProfilingTarget } from '../profiler/profile-runner.js';
import { findProfile } from '../profiler/profile-places.js';
import type { DetectedScaler } from '../scalers/detect.js';
import type { ModelState } from '../../protocol/service.js';
import type { TensorContract } from '../triton-config/tensor-contract.js';
import type { ProcessPool } from '../workers/process-pool.js';
import type { ReplicatedPool } from '../workers/replicated-pool.js';
import { instancesAsked, queueLimitsOf } from '../models/as-configured.js';
import { BackgroundAudit } from './background-audit.js';
import { BackgroundProfiling, holdingOf } from './background-profiling.js';
import type { BatchingDecision } from './batching-decision.js';
import { defaultSloOf } from '../models/default-slo.js';
import {
  fingerprintFor,
  initialProfileOrNone,
  profilingPlan,
  runnableLimits,
  profileOf,
  placesOf,
  storeProfile,
  withAxes,
} from './initial-profile.js';
import type { ModelSource } from '../models/model-repository.js';
import { assertShapesKnown, openWorker, type OpenWorker } from './open-worker.js';
import { instanceCount } from './instance-count.js';
import { groupKindOf } from './instance-groups.js';
import { ModelSpare } from './model-spare.js';
import { PoisonMemory } from './poison-memory.js';
import { flagOf, openReplicas, type Replicas, type Replication } from './replicas.js';
import { sampleOfRequest, SampleReservoir } from './request-sample.js';
import { shapeClassOf } from './shape-class.js';
import type { ServedModelOptions } from './served-model-options.js';
import { servedPolicy } from './served-policy.js';
import type { SpareKeeper } from './spares.js';
import { StartingCores } from './starting-cores.js';
import { allResting, idleRulesOf, openInstances, type WarmInstances } from './warm-instances.js';
import { WorkerHealth } from './worker-health.js';

/*
 * One model being served: its worker process, its CPU group, its profile and its system. Start-up and model loading run at
 * the largest allocation. Without a stored profile a quick one is taken first (or, where the shape is not known, from the
 * first request), and refined in the background while nothing else is to do.
 */

/** An audit is as quick on a core as it need be. */
const AUDIT_MILLICORES = 1000;

export class ServedModel {
  readonly source: ModelSource;
  readonly system: System;
  readonly models: OnlineLatencyModels;
  readonly limits: AllocationLimits;
  readonly poison = new PoisonMemory();
  readonly spare: ModelSpare;
  readonly #options: ServedModelOptions;
  readonly #worker: OpenWorker;
  readonly #replicas: Replicas | null;
  readonly #instances: WarmInstances | null;
  readonly #spareKeeper: SpareKeeper | null;
  readonly #background: BackgroundProfiling;
  readonly #audit: BackgroundAudit;
  readonly #reservoir = new SampleReservoir();
  readonly #health = new WorkerHealth();
  #profile: Profile | null;
  #defaultSloMs: number;
  #lastRequestAtMs = -Infinity;

  private constructor(
    source: ModelSource,
    options: ServedModelOptions,
    worker: OpenWorker,
    node: Node,
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
    const idleRules = idleRulesOf(worker, options, this.#instanceCount);
    worker.handOver();
    const notice = new FewerInstancesNotice(options.onLog);
    const policy = servedPolicy(options.policy, {
      ...{ limits: this.limits, maxBatchSize: options.maxBatchSize, sloMs: this.#defaultSloMs },
      ...{ instances: this.#instanceCount, sharesCores: this.sharesCores, replication: replicas },
    });
    this.system = node.add({
      name: source.name,
      workers: this.#workers,
      scalers: instances?.scalers ?? [this.#scaler],
      policy,
      models: this.models,
      config: {
        queueLimits: queueLimitsOf(source, options.queueLimits),
        maxBatchBytes: options.maxBatchBytes,
        ...idleRules,
        limits: this.limits,
      },
      startMillicores: this.sharesCores
        ? allResting(this.#instanceCount, idleRules)
        : startMillicores(this.#instanceCount, { ...idleRules, limits: this.limits }),
      floorFraction: options.floorFraction,
      onPoison: ({ inputs }) => this.poison.remember(options.nowMs(), inputs),
      onEvent: (event) => {
        if (event.kind === 'request-received') this.#lastRequestAtMs = event.atMs;
        notice.observe(event);
        this.#health.observe(event);
        this.#spareKeeper?.observe(event);
        options.onEvent(event);
      },
    });
    this.spare = new ModelSpare({ ...options, worker, node, canBorrow: policy.planner.plansInstances });
    // Of several processes the others go on.
    this.#spareKeeper = this.#workers === worker.pool ? options.spares.add(this.spare) : null;
    this.#background = new BackgroundProfiling({
      system: this.system,
      worker,
      maxMillicores: this.limits.maxMillicores,
      turns: options.turns,
      isRefining: this.isRefining,
      aloneMs: () => this.models.forClass(this.likelyClass).predictedLatencyMs(1, this.limits.maxMillicores),
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
      cpuMillicores: Math.max(this.limits.minMillicores, Math.min(AUDIT_MILLICORES, this.limits.maxMillicores)),
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
    let node!: Node;
    const areThreads = options.instancesPerProcess === 'all';
    const isReplicated = options.policy.scaling.kind === 'replicas';
    const worker = await openWorker(source, {
      ...options,
      get isReplicated() {
        return isReplicated || (instances > 1 && !areThreads);
      },
      instancesInProcess: () => (areThreads ? instances : 1),
      startingCores: (scaling) => {
        const { scaler } = scaling;
        const counted = { ...source, modelCount: options.modelCount, areThreads };
        if (isReplicated) groupKindOf(scaling, flagOf(options.policy));
        else if (options.policy.scaling.kind === 'instances')
          instances = instanceCount(instancesAsked(source, options.instances, scaler), scaler, counted);
        if (instances > 1) groupKindOf(scaling, '--instances');
        node = options.nodes.of(scaler);
        return new StartingCores({
          node,
          isShared: options.nodes.isShared(scaler),
          idleMillicores: restingMillicores(idleRulesOf({ scaling }, options, instances)),
          instances,
          nowMs: options.nowMs,
        });
      },
      onScaling: (scaling, cpuMillicores) => options.onScaling(scaling, instances, cpuMillicores),
    });
    try {
      if (isReplicated) assertShapesKnown(source, worker);
      const { scaler } = worker.scaling;
      const isShared = options.nodes.isShared(scaler);
      const readyMillicores = isShared
        ? restingMillicores(idleRulesOf(worker, options, instances))
        : scaler.limits.maxMillicores;
      // While it waits for its turn it needs no more.
      if (isShared) await worker.resize(readyMillicores);
      // One at a time: two would measure each other.
      const profile = await options.turns.takeAhead(async () => {
        const made = await initialProfileOrNone(source, worker, options);
        await worker.resize(readyMillicores);
        return made;
      });
      const replicas = await openReplicas(source, worker, options);
      const warm = await openInstances(source, worker, options, instances);
      return new ServedModel(source, options, worker, node, profile, replicas, warm);
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
    return this.spare.withSpare((this.#instances ?? this.#scaler).readCounters());
  }

  /** Of all that are alike. */
  get #scaler(): Scaler {
    return this.#replicas?.scaler ?? this.#worker.scaling.scaler;
  }

  get #workers(): ReplicatedPool | ProcessPool {
    return this.#instances?.pool ?? this.#replicas?.pool ?? this.#worker.pool;
  }

  /** Of each process there can be, those that are not there now included; 0 while there is none. */
  get pids(): readonly number[] {
    return this.#instances?.pids ?? this.#replicas?.pool.pids ?? [this.#worker.pool.pid];
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

  isInstanceReady(instance: number): boolean {
    return this.#workers.isReady?.(instance) ?? this.system.status().isWorkerReady;
  }

  /** Its inputs and outputs. */
  get contract(): TensorContract {
    return this.#worker.contract;
  }

  /** A request of more rows than a batch may have runs alone: where that limit is only our own. */
  get takesLargerRequests(): boolean {
    return !this.#options.isMaxBatchStated && this.source.settings.maxBatchSize === null;
  }

  get isBatchable(): boolean {
    return this.#worker.pool.maxBatchSize > 1;
  }

  get batching(): BatchingDecision {
    return this.#worker.batching;
  }

  /** Whether any core that others do not need is for this model too. */
  get sharesCores(): boolean {
    return this.#options.nodes.isShared(this.#worker.scaling.scaler);
  }

  /** Whether a quick profile is refined in the background; not where the allocation is fixed for good. */
  get isRefining(): boolean {
    return this.#options.isRefining && this.#replicas === null;
  }

  get profile(): Profile | null {
    return this.#profile;
  }

  get state(): ModelState {
    return this.stateReason === '' ? 'READY' : 'UNAVAILABLE';
  }

  /** Why it is not ready; '' while it is. */
  get stateReason(): string {
    return this.#health.reasonNotReady(this.#options.nowMs());
  }

  /** The budget of requests that state none, ms. */
  get defaultSloMs(): number {
    return this.#defaultSloMs;
  }

  /** Whether such a request is refused, or expires, by that budget. */
  get isDefaultSloBinding(): boolean {
    return this.#options.defaultSloMs === null && this.source.settings.config?.isDefaultSloBinding === true;
  }

  /** Nobody said so far what a request of this model looks like. */
  get needsShapes(): boolean {
    return this.#worker.shapes === null;
  }

  /** A request was answered: what it looked like, and what came of it, is worth knowing. */
  learnFrom(inputs: readonly Tensor[], outputs: readonly Tensor[], batchSize: number): void {
    const isKept = !this.needsShapes && this.#profile?.quality === 'quick' && !this.#reservoir.isFull;
    const sample = this.needsShapes || isKept ? sampleOfRequest(this.contract.model, inputs) : null;
    if (this.needsShapes) {
      if (sample !== null) this.#background.learn(sample);
      return;
    }
    // Only of the class that is profiled.
    const isAlike = sample !== null && shapeClassOf(sample, this.isBatchable).key === this.#worker.shapeClass.key;
    if (isAlike) this.#reservoir.add(sample);
    if (batchSize > 1 && this.batching.isAudited) this.#audit.offer({ inputs, outputs });
  }

  /** Refines a quick profile from now on, while nothing is to do. Call it once every model is up. */
  beginRefining(): void {
    if (this.#profile?.quality === 'quick') this.#background.refine();
  }

  /** Nothing is refined, audited or held ready any more: what there is of cores and time is for requests. */
  endBackground(): void {
    this.#background.abort();
    this.#audit.stop();
    this.#spareKeeper?.stop();
  }

  async close(): Promise<void> {
    this.endBackground();
    this.system.stop();
    await this.#replicas?.pool.close();
    await this.#instances?.close();
    await this.#worker.close();
    await this.#background.settled();
  }

  #makeRun(target: ProfilingTarget, quality: 'quick' | 'full'): ProfileRun {
    const { samples } = this.#reservoir;
    if (quality === 'full' && samples.length > 0) this.#worker.useSamples(samples);
    const { quickBudgetMs, fullBudgetMs } = this.#options;
    const budgetMs = quality === 'quick' ? quickBudgetMs : fullBudgetMs;
    const plan = profilingPlan(this.#worker, this.limits, quality, budgetMs, holdingOf(quality, this.#defaultSloMs));
    return new ProfileRun(target, plan, this.#profile?.cells);
  }

  async #adoptStored(): Promise<boolean> {
    const stored = await findProfile(placesOf(this.source, this.#options), fingerprintFor(this.#worker));
    if (stored.kind === 'fresh') this.#use(withAxes(stored.profile, this.#worker));
    return stored.kind === 'fresh';
  }

  async #adopt(run: ProfileRun, quality: 'quick' | 'full'): Promise<Profile> {
    const [worker, interference] = [this.#worker, this.#profile?.interference];
    const fingerprint = fingerprintFor(worker);
    const made = profileOf(this.source, worker, fingerprint, run.cells(), quality, interference);
    const profile = await storeProfile(this.source, fingerprint, made, this.#options);
    this.#use(profile);
    return profile;
  }

  #use(profile: Profile): void {
    this.#profile = profile;
    this.models.replaceProfile(profile);
    this.#defaultSloMs = this.#chooseDefaultSloMs();
  }

  #chooseDefaultSloMs(): number {
    return defaultSloOf({
      statedMs: this.#options.defaultSloMs ?? this.source.settings.defaultSloMs,
      isProfiled: !this.models.isProvisional && this.#worker.shapes !== null,
      aloneMs: () =>
        this.models.forClass(this.likelyClass).predictedLatencyMs(1, Math.min(1000, this.limits.maxMillicores)),
    });
  }

  /** That is profiled: of a request, while none has come. */
  get likelyClass(): ShapeClass {
    return this.#worker.shapeClass;
  }
}
