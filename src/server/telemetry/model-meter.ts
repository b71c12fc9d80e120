import type { CpuCounters } from '../../scheduler/controlplane/scaler.js';
import { CoreSeconds, IDLE_WINDOWS } from '../../scheduler/domain/core-seconds.js';
import type { Event } from '../../scheduler/domain/event.js';
import { REASONS, type OutcomeName, type Reason } from '../../scheduler/domain/outcome.js';
import type { NetworkDelaySource } from '../../scheduler/domain/request.js';
import type { Family, Sample } from './exposition.js';
import { InferenceStatistics } from './inference-statistics.js';
import { FollowedTotals } from './followed-totals.js';
import { InstanceMeter, type InstanceSource } from './instance-meter.js';
import type { MetricSet } from './metric-set.js';
import { grantedAfter, grantedMillicores, type Granted } from '../../scheduler/domain/granted.js';
import { plannedMillicores } from '../../scheduler/domain/plan.js';

/*
 * One model's events turned into its metrics.
 *
 * Every label set is resolved when the model is attached, so an event costs a handful of additions and creates no objects; it also makes
 * every counter and histogram exist, at 0, from the first scrape.
 * What has a running total elsewhere (the ledger, the kernel, the statistics) is copied over at a scrape by `publish`.
 */

/** What the meter is told of a model, and may ask of it while it is served. */
export interface ModelSource extends InstanceSource {
  /** What all of its instances may have together. */
  readonly limitMillicores: number;
  /** In force when it is attached, millicores, by instance; of one that they will all have alike, the first's. */
  readonly millicores: readonly number[];
  /** Of each further instance while it starts; by default there is none. */
  readonly startingMillicores?: number;
  /** The kernel's counters of the resized groups of all instances; null where there are none. */
  readCounters(): CpuCounters | null;
  queueDepth(): number;
  /** Whether a spare process stands by. */
  isSpareReady(): boolean;
}

/** A reason belongs to one outcome. */
const OUTCOME_OF_REASON: Readonly<Record<Reason, OutcomeName>> = {
  budget_spent_in_network: 'rejected_infeasible',
  infeasible_at_max_cores: 'rejected_infeasible',
  queue_overload: 'rejected_overload',
  queue_full: 'rejected_overload',
  server_overload: 'rejected_overload',
  client_limit: 'rejected_overload',
  expired: 'expired',
  cancelled: 'cancelled',
  draining: 'failed',
  model_unavailable: 'failed',
  backend: 'failed',
  poison: 'failed',
};

/** Triton's four reasons; its REJECTED is whatever its scheduler gave up. */
const TRITON_REASON: Readonly<Record<Reason, 'REJECTED' | 'CANCELED' | 'BACKEND' | 'OTHER'>> = {
  budget_spent_in_network: 'REJECTED',
  infeasible_at_max_cores: 'REJECTED',
  queue_overload: 'REJECTED',
  queue_full: 'REJECTED',
  server_overload: 'REJECTED',
  client_limit: 'REJECTED',
  expired: 'REJECTED',
  cancelled: 'CANCELED',
  draining: 'OTHER',
  model_unavailable: 'OTHER',
  backend: 'BACKEND',
  poison: 'BACKEND',
};

const NETWORK_DELAY_SOURCES: readonly NetworkDelaySource[] = ['none', 'transfer', 'declared_upload', 'send_stamp'];
const PLAN_TRIGGERS = ['arrival', 'batch-start', 'batch-end', 'tick', 'timer', 'worker', 'start'] as const;

/** CPU used in a window of a model that has nothing to do. */
const IDLE_SECONDS = 0.005;

/** A record with one entry a key. */
function forEach<K extends string, V>(keys: readonly K[], make: (key: K) => V): Readonly<Record<K, V>> {
  return Object.fromEntries(keys.map((key) => [key, make(key)])) as Record<K, V>;
}

/** Every series that an event can touch. */
function resolveSeries(metrics: MetricSet, model: string, version: string) {
  const ofModel = { model, version };
  return {
    completedOnTime: metrics.outcomes.of({ ...ofModel, outcome: 'completed_on_time', reason: '' }),
    completedLate: metrics.outcomes.of({ ...ofModel, outcome: 'completed_late', reason: '' }),
    refused: forEach(REASONS, (reason) =>
      metrics.outcomes.of({ ...ofModel, outcome: OUTCOME_OF_REASON[reason], reason }),
    ),
    nvFailure: forEach(REASONS, (reason) => metrics.nvRequestFailure.of({ ...ofModel, reason: TRITON_REASON[reason] })),
    misses: forEach(['stated', 'default'], (deadline) => metrics.deadlineMisses.of({ ...ofModel, deadline })),
    budget: forEach(['stated', 'default'], (deadline) => metrics.budget.of({ ...ofModel, deadline })),
    networkDelay: forEach(NETWORK_DELAY_SOURCES, (source) => metrics.networkDelay.of({ ...ofModel, source })),
    slack: metrics.slack.of(ofModel),
    latency: forEach(['queue', 'worker', 'compute', 'total'], (stage) => metrics.latency.of({ ...ofModel, stage })),
    batchSize: metrics.batchSize.of(ofModel),
    batches: forEach(['completed', 'backend-error', 'aborted', 'worker-lost'], (result) =>
      metrics.batches.of({ ...ofModel, result }),
    ),
    explorations: metrics.explorations.of(ofModel),
    latencyRatio: metrics.latencyRatio.of(ofModel),
    workerTakeovers: metrics.workerTakeovers.of(ofModel),
    workerLosses: metrics.workerLosses.of(ofModel),
    plans: forEach(PLAN_TRIGGERS, (trigger) => metrics.plans.of({ ...ofModel, trigger })),
    planMillicores: metrics.planMillicores.of(ofModel),
    planBatchSize: metrics.planBatchSize.of(ofModel),
    planInfeasible: metrics.planInfeasible.of(ofModel),
    allocation: metrics.allocation.of(ofModel),
    granted: metrics.granted.of(ofModel),
    instances: metrics.instances.of(ofModel),
    resizes: forEach(['written', 'unchanged', 'refused'], (result) => metrics.resizes.of({ ...ofModel, result })),
    resizeSeconds: metrics.resizeSeconds.of(ofModel),
  };
}

export class ModelMeter {
  readonly source: ModelSource;
  readonly statistics: InferenceStatistics;
  private readonly metrics: MetricSet;
  private readonly series: ReturnType<typeof resolveSeries>;
  private readonly coreSeconds: CoreSeconds;
  private readonly totals = new FollowedTotals();
  private granted: Granted;
  private runningCount = 0;
  /** Nothing has happened since the last window was closed, and so many were left out. */
  private isIdle = false;
  private idleWindows = 0;
  /** Where each has an allocation of its own. */
  private readonly instances: InstanceMeter | null;

  constructor(metrics: MetricSet, source: ModelSource, nowMs: number, readUnixMs: () => number) {
    this.source = source;
    this.metrics = metrics;
    this.statistics = new InferenceStatistics(readUnixMs);
    this.series = resolveSeries(metrics, source.model, source.version);
    const { millicores } = source;
    const areApart = millicores.length > 1;
    this.granted = {
      cpuMillicores: millicores[0]!,
      instances: millicores.length,
      ...(areApart ? { allocations: millicores } : {}),
    };
    this.instances = areApart ? new InstanceMeter(metrics, source, millicores) : null;
    this.setAllocation();
    this.series.instances.value = millicores.length;
    metrics.limit.of({ model: source.model, version: source.version }).value = source.limitMillicores;
    this.coreSeconds = new CoreSeconds(nowMs, millicores, {
      existing: millicores.length,
      ready: millicores.length,
      startingMillicores: source.startingMillicores ?? 0,
    });
    this.closeWindow(nowMs);
    this.isIdle = false;
  }

  observe(event: Event): void {
    this.noteActivity(event);
    this.statistics.observe(event);
    this.coreSeconds.observe(event);
    const { series } = this;
    switch (event.kind) {
      case 'request-received': {
        const { request } = event;
        const budgetMs = request.sloMs - request.networkDelayMs;
        series.budget[request.isDeadlineDefaulted ? 'default' : 'stated'].observe(budgetMs / 1000);
        series.networkDelay[request.networkDelaySource].observe(request.networkDelayMs / 1000);
        return;
      }
      case 'request-finished':
        this.observeOutcome(event);
        return;
      case 'batch-started':
        series.batchSize.observe(event.batchSize);
        if (event.isExploring) series.explorations.value += 1;
        this.instances?.start(event);
        return;
      case 'batch-ended':
        series.batches[event.result].value += 1;
        this.instances?.end(event);
        if (event.result === 'completed') series.latency.compute.observe(event.computeMs / 1000);
        if (event.actualToPredicted !== null) series.latencyRatio.observe(event.actualToPredicted);
        return;
      case 'planned':
        series.plans[event.trigger].value += 1;
        series.planMillicores.value =
          event.plan.allocations === undefined ? event.plan.cpuMillicores : plannedMillicores(event.plan);
        series.planBatchSize.value = event.plan.batchSize;
        series.planInfeasible.value = event.plan.kind === 'infeasible' ? 1 : 0;
        return;
      case 'resized':
        this.granted = grantedAfter(this.granted, event);
        this.setAllocation();
        this.instances?.setAllocation(event.instance ?? 0, event.cpuMillicores);
        series.resizes[event.isWritten ? 'written' : 'unchanged'].value += 1;
        if (event.isWritten) series.resizeSeconds.observe(event.tookMs / 1000);
        return;
      case 'resize-refused':
        series.resizes.refused.value += 1;
        return;
      case 'worker-lost':
        series.workerLosses.value += 1;
        series.instances.value = 0;
        return;
      case 'router-standstill':
        return;
      case 'worker-ready':
        if (event.isTakeover === true) series.workerTakeovers.value += 1;
        if (this.granted.allocations === undefined) series.instances.value = 1;
        return;
      case 'instances-changed':
        series.instances.value = event.instances;
        this.granted = grantedAfter(this.granted, event);
        this.setAllocation();
        return;
      case 'request-admitted':
      case 'resize-requested':
      case 'instances-requested':
        return;
    }
  }

  /** Of each where they are alike, and of all together. */
  private setAllocation(): void {
    const { cpuMillicores, allocations } = this.granted;
    const all = grantedMillicores(this.granted);
    this.series.granted.value = all;
    this.series.allocation.value = allocations === undefined ? cpuMillicores : all;
  }

  /** A model that has nothing to do plans all the same, twice a second. */
  private noteActivity({ kind, atMs }: Event): void {
    if (kind === 'planned') return;
    if (this.idleWindows > 0) this.coreSeconds.endIdleTime(atMs);
    this.isIdle = false;
    this.idleWindows = 0;
    if (kind === 'batch-started') this.runningCount += 1;
    if (kind === 'batch-ended') this.runningCount -= 1;
  }

  /** Ends a window of the core-seconds ledger; due every `WINDOW_MS`. Reading the counters costs more than all else that is done while idle. */
  closeWindow(nowMs: number): void {
    if (this.isIdle && this.runningCount === 0 && ++this.idleWindows < IDLE_WINDOWS) return;
    const usedSeconds = this.coreSeconds.closeWindow(nowMs, this.source.readCounters()?.usedSeconds ?? null);
    // Of what is measured in a worker nobody tells us.
    this.isIdle = usedSeconds < IDLE_SECONDS;
    this.idleWindows = 0;
  }

  /** Copies what is kept elsewhere into its series, for a scrape. */
  publish(nowMs: number): void {
    const { metrics, source, statistics } = this;
    const labels = { model: source.model, version: source.version };
    metrics.spareReady.of(labels).value = Number(source.isSpareReady());
    const depth = source.queueDepth();
    metrics.queueDepth.of(labels).value = depth;
    metrics.nvPending.of(labels).value = depth;
    this.instances?.publish(nowMs);

    this.follow(metrics.allocatedCpuSeconds, this.coreSeconds.totalSeconds(nowMs));
    const counters = source.readCounters();
    if (counters !== null) {
      this.follow(metrics.cpuSeconds, counters.usedSeconds);
      this.follow(metrics.cpuPeriods, counters.periods);
      this.follow(metrics.cpuThrottledPeriods, counters.throttledPeriods);
      this.follow(metrics.cpuThrottledSeconds, counters.throttledSeconds);
    }

    this.follow(metrics.nvRequestSuccess, statistics.success.count);
    this.follow(metrics.nvInferenceCount, statistics.inferenceCount);
    this.follow(metrics.nvExecutionCount, statistics.executionCount);
    this.follow(metrics.nvRequestDuration, wholeUs(statistics.success.totalMs));
    this.follow(metrics.nvQueueDuration, wholeUs(statistics.queue.totalMs));
    this.follow(metrics.nvComputeInputDuration, 0);
    this.follow(metrics.nvComputeInferDuration, wholeUs(statistics.computeInfer.totalMs));
    this.follow(metrics.nvComputeOutputDuration, wholeUs(statistics.computeOutput.totalMs));
  }

  private observeOutcome(event: Extract<Event, { kind: 'request-finished' }>): void {
    const { series } = this;
    const { outcome, request } = event;
    if (outcome.kind === 'completed') {
      (outcome.isLate ? series.completedLate : series.completedOnTime).value += 1;
      series.slack.observe(outcome.service.slackAtDispatchMs / 1000);
      series.latency.queue.observe(outcome.service.queuedMs / 1000);
      series.latency.worker.observe(outcome.service.latencyMs / 1000);
      series.latency.total.observe((event.atMs - request.receivedAtMs) / 1000);
      const { variant } = outcome.service;
      if (variant !== undefined) {
        const { model, version } = this.source;
        this.metrics.variantAnswers.of({ model, version, variant }).value += 1;
      }
    } else {
      series.refused[outcome.reason].value += 1;
      series.nvFailure[outcome.reason].value += 1;
    }
    const isMiss = outcome.kind === 'completed' ? outcome.isLate : outcome.kind !== 'cancelled';
    if (isMiss) series.misses[request.isDeadlineDefaulted ? 'default' : 'stated'].value += 1;
  }

  private follow(counters: Family<'model' | 'version', Sample>, total: number): void {
    const { model, version } = this.source;
    this.totals.follow(counters.of({ model, version }), total);
  }
}

function wholeUs(totalMs: number): number {
  return Math.round(totalMs * 1000);
}
