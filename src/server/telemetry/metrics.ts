import os from 'node:os';
import type { Clock, Timer } from '../../scheduler/clock/clock.js';
import { WINDOW_MS } from '../../scheduler/domain/core-seconds.js';
import type { ModelStatistics } from '../../protocol/service.js';
import { DELAY_QUANTILES } from '../loop-delays.js';
import type { Attached } from './attached.js';
import { CONTENT_TYPE, Exposition } from './exposition.js';
import { createMetricSet, type MetricSet } from './metric-set.js';
import { ModelMeter, type ModelSource } from './model-meter.js';
import { publishPod, type PodReport } from './pod-metrics.js';
import { StepSeries, type MeteredPipeline } from './step-series.js';

/*
 * The server's metrics: one exposition, one meter per model, one timer that closes the core-seconds windows of all of them.
 * The series are listed in `metric-set.ts`.
 */

export interface TelemetryOptions {
  /** For the 100 ms windows of the core-seconds ledger. Its instants are those of the events. */
  readonly clock: Clock;
  /**
   * Cumulative CPU used outside the resized groups, seconds: this process, and its workers' other threads.
   */
  readonly readRouterCpuSeconds: () => number;
  /** What all models may have together; null where each has a limit of its own. */
  readonly budgetMillicores?: () => number | null;
  /** Of the pod that this process resizes; null without one. */
  readonly pod?: () => PodReport | null;
  /** Of new calls, the part that is turned away now, in [0, 1]. */
  readonly pressure?: () => number;
  /** What the router's event loop was late by since the last call, s, in the order of `DELAY_QUANTILES`. */
  readonly readLoopDelays?: () => readonly number[];
  /** The same of each io thread; none where there are none. */
  readonly readIoThreadDelays?: () => readonly (readonly number[])[];
  /** Wall time, Unix ms; only reported, never reckoned with. */
  readonly readUnixMs?: () => number;
}

export class Telemetry {
  private readonly clock: Clock;
  private readonly readRouterCpuSeconds: () => number;
  private readonly readUnixMs: () => number;
  private readonly budgetMillicores: () => number | null;
  private readonly pod: () => PodReport | null;
  private readonly pressure: () => number;
  private readonly exposition = new Exposition();
  private readonly metrics: MetricSet = createMetricSet(this.exposition);
  private meters: readonly ModelMeter[] = [];
  private readonly pipelines = new Set<StepSeries>();
  private readonly machine = new MachineCpu();
  private readonly readLoopDelays: () => readonly number[];
  private readonly readIoThreadDelays: () => readonly (readonly number[])[];
  private windowTimer: Timer | null = null;

  constructor(options: TelemetryOptions) {
    this.clock = options.clock;
    this.readRouterCpuSeconds = options.readRouterCpuSeconds;
    this.readUnixMs = options.readUnixMs ?? Date.now;
    this.budgetMillicores = options.budgetMillicores ?? (() => null);
    this.pod = options.pod ?? (() => null);
    this.pressure = options.pressure ?? (() => 0);
    this.readLoopDelays = options.readLoopDelays ?? (() => []);
    this.readIoThreadDelays = options.readIoThreadDelays ?? (() => []);
  }

  /**
   * Begins to measure a model. Of two of the same name and version, one of which takes the other's place, the series are the
   * same: counts of both add up, and gauges are the newer one's.
   */
  attachModel(source: ModelSource): Attached {
    const meter = new ModelMeter(this.metrics, source, this.clock.nowMs(), this.readUnixMs);
    this.meters = [...this.meters, meter];
    if (this.windowTimer === null) this.scheduleWindow(this.clock.nowMs() + WINDOW_MS);
    return { observe: (event) => meter.observe(event), detach: () => this.detach(meter) };
  }

  /** Begins to tell of a pipeline's steps. @returns ends that; the pipeline's series go with its meter */
  attachSteps(pipeline: MeteredPipeline): () => void {
    const meter = new StepSeries(this.metrics, pipeline);
    this.pipelines.add(meter);
    return () => {
      meter.publish();
      this.pipelines.delete(meter);
    };
  }

  /** Series end with the last model that has them. */
  private detach(meter: ModelMeter): void {
    meter.closeWindow(this.clock.nowMs());
    meter.publish(this.clock.nowMs());
    this.meters = this.meters.filter((other) => other !== meter);
    const { model, version } = meter.source;
    const isLast = this.meters.every(({ source }) => source.model !== model || source.version !== version);
    if (isLast) this.exposition.remove({ model, version });
  }

  /** A member of a real batch was run again alone. */
  countAudit(model: string, version: string, result: string): void {
    this.metrics.batchAudits.of({ model, version, result }).value += 1;
  }

  /** A call was answered before it was a request. */
  countEdgeRefusal(protocol: string, reason: string, count = 1): void {
    this.metrics.edgeRefusals.of({ protocol, reason }).value += count;
  }

  /** Of spans that are made for requests; the series are there once there are spans. */
  countSpans(counts: Readonly<Record<'exported' | 'failed' | 'dropped', number>>): void {
    for (const result of ['exported', 'failed', 'dropped'] as const) {
      this.metrics.traceSpans.of({ result }).value += counts[result];
    }
  }

  /** Of all models, of one, or of one version; empty where nothing matches. */
  statistics(model?: string, version?: string): readonly ModelStatistics[] {
    const newest = new Map(this.meters.map((meter) => [`${meter.source.model}\n${meter.source.version}`, meter]));
    return [...newest.values()]
      .filter(
        ({ source }) => (model ?? source.model) === source.model && (version ?? source.version) === source.version,
      )
      .map(({ source, statistics }) => statistics.toModelStatistics(source.model, source.version));
  }

  /** Content-Type of what `render` gives. */
  get contentType(): string {
    return CONTENT_TYPE;
  }

  /** The Prometheus text exposition, as of now. */
  render(): string {
    const nowMs = this.clock.nowMs();
    for (const meter of this.meters) meter.publish(nowMs);
    for (const pipeline of this.pipelines) pipeline.publish();
    const limits = this.meters.reduce((sum, { source }) => sum + source.limitMillicores, 0);
    this.metrics.coreBudget.value = this.budgetMillicores() ?? limits;
    this.metrics.routerCpuSeconds.value = this.readRouterCpuSeconds();
    this.readLoopDelays().forEach((seconds, index) => {
      this.metrics.eventLoopDelay.of({ quantile: String(DELAY_QUANTILES[index]) }).value = seconds;
    });
    for (const [thread, delays] of this.readIoThreadDelays().entries()) {
      delays.forEach((seconds, index) => {
        const quantile = String(DELAY_QUANTILES[index]);
        this.metrics.ioThreadDelay.of({ thread: String(thread), quantile }).value = seconds;
      });
    }
    publishPod(this.metrics, this.pod());
    this.metrics.pressure.value = this.pressure();
    this.metrics.routerMemory.value = process.memoryUsage.rss();
    this.metrics.nvCpuUtilization.value = this.machine.utilizationSinceLast();
    this.metrics.nvCpuMemoryTotal.value = os.totalmem();
    this.metrics.nvCpuMemoryUsed.value = os.totalmem() - os.freemem();
    return this.exposition.render();
  }

  /** Stops the window timer; what was counted can still be rendered. */
  close(): void {
    this.windowTimer?.cancel();
    this.windowTimer = null;
  }

  /** Windows keep their rhythm when a timer is late; those missed altogether become one long one. */
  private scheduleWindow(atMs: number): void {
    this.windowTimer = this.clock.schedule(atMs, () => {
      const nowMs = this.clock.nowMs();
      for (const meter of this.meters) meter.closeWindow(nowMs);
      const isOnTime = atMs + WINDOW_MS > nowMs;
      this.scheduleWindow((isOnTime ? atMs : nowMs) + WINDOW_MS);
    });
  }
}

/** CPU use of the whole machine between two looks. */
class MachineCpu {
  private busyMs = 0;
  private totalMs = 0;

  constructor() {
    this.utilizationSinceLast();
  }

  /** In [0, 1]; 0 where no time was counted since the last look. */
  utilizationSinceLast(): number {
    let busyMs = 0;
    let totalMs = 0;
    for (const { times } of os.cpus()) {
      const cpuBusyMs = times.user + times.nice + times.sys + times.irq;
      busyMs += cpuBusyMs;
      totalMs += cpuBusyMs + times.idle;
    }
    const passedMs = totalMs - this.totalMs;
    const utilization = passedMs > 0 ? (busyMs - this.busyMs) / passedMs : 0;
    this.busyMs = busyMs;
    this.totalMs = totalMs;
    return Math.min(1, Math.max(0, utilization));
  }
}
