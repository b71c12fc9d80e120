import { grantedAfter, grantedMillicores, type Granted } from '../scheduler/domain/granted.js';
import { plannedMillicores } from '../scheduler/domain/plan.js';
import type { FeedMessage } from '../scheduler/domain/event-log.js';
import type { ModelRecord, RunHeader, RunModel, ServiceNote } from '../scheduler/domain/event-record.js';
import { PipelineHistory } from '../scheduler/domain/pipeline-history.js';
import type { PipelineSummary } from '../scheduler/domain/pipeline-summary.js';
import type { OutcomeName } from '../scheduler/domain/outcome.js';
import { QueueCount } from '../scheduler/domain/queue-count.js';

/*
 * What `sponge watch` knows of a run: the records of the last minute, folded into one bin a second for each model. Pure; of
 * bounded size whatever is sent.
 *
 * Quantities that are held (allocation, plan) are averaged over the time they were held, depths are the second's highest,
 * everything else is counted in the second in which it happened.
 */

type StartedRecord = Extract<ModelRecord, { kind: 'batch-started' }>;
type FinishedRecord = Extract<ModelRecord, { kind: 'request-finished' }>;

export const WINDOW_SECONDS = 60;

const SECOND_MS = 1000;
/** Requests under way whose arrival is remembered; beyond it the oldest count from their admission. */
const MAX_OPEN = 65_536;
/** Of what is counted at a pipeline's steps: a minute of four a second, and some more. */
const KEPT_COUNTS = 300;

export class WatchedRun {
  readonly header: RunHeader;
  /** By their index in the records. */
  readonly #all: readonly WatchedModel[];
  /** That are served now. */
  readonly models: readonly WatchedModel[];

  constructor(header: RunHeader) {
    this.header = header;
    this.#all = header.models.map((model) => new WatchedModel(model));
    this.models = this.#all.filter(({ model }) => model.isGone !== true);
  }

  /** Messages come in the order of their instants. */
  apply({ atMs, records }: FeedMessage): void {
    for (const record of records) this.#all[record.model]?.apply(record);
    for (const model of this.models) model.advance(atMs);
  }
}

export interface Summary {
  readonly received: number;
  readonly outcomes: Readonly<Record<OutcomeName, number>>;
  /** How long of it the run was watched. */
  readonly watchedSeconds: number;
  /** Last byte received → answered, of those that were completed; null where none was. To 3 %. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly meanBatchSize: number | null;
  readonly actualToPredicted: number | null;
}

/** A value a second; null where nothing is known. */
export interface SecondSeries {
  readonly grantedMillicores: readonly (number | null)[];
  readonly plannedMillicores: readonly (number | null)[];
  readonly queueDepth: readonly (number | null)[];
  /** Requests that a client got no answer in time for: late, refused, expired, failed. */
  readonly missed: readonly (number | null)[];
}

/** One of several that are resized one by one. */
export interface WatchedInstance {
  readonly millicores: number;
  readonly batch: RunningBatch | null;
}

export interface RunningBatch {
  readonly batchId: number;
  readonly size: number;
  readonly startedAtMs: number;
  readonly predictedMs: number;
}

export class WatchedModel {
  readonly model: RunModel;
  lastPlan: Extract<ModelRecord, { kind: 'planned' }> | null = null;
  isWorkerLost = false;
  readonly #bins = Array.from({ length: WINDOW_SECONDS + 1 }, () => new SecondBin());
  readonly #queue = new QueueCount();
  /** Null of a model that is no pipeline. */
  readonly #counts: PipelineHistory | null;
  readonly #receivedAtMs = new Map<number, number>();
  /** By instance, where each has an allocation of its own. */
  readonly #running: (RunningBatch | null)[];
  #granted: Granted;
  /** Until when the bins have been told what was granted and planned; null before anything was heard. */
  #heldUntilMs: number | null = null;

  constructor(model: RunModel) {
    this.model = model;
    this.#granted = model;
    this.#counts = model.pipeline === undefined ? null : new PipelineHistory(model.pipeline, KEPT_COUNTS);
    this.#running = (model.allocations ?? []).map(() => null);
  }

  get instances(): number {
    return this.#granted.instances;
  }

  /** Empty where all are alike, or there is one. */
  get instancesApart(): readonly WatchedInstance[] {
    const { allocations = [] } = this.#granted;
    return allocations.map((millicores, instance) => ({ millicores, batch: this.#running[instance]! }));
  }

  get grantedMillicores(): number {
    return grantedMillicores(this.#granted);
  }

  get plannedMillicores(): number | null {
    const plan = this.lastPlan?.plan;
    return plan === undefined ? null : plannedMillicores(plan);
  }

  get queueDepth(): number {
    return this.#queue.depth;
  }

  apply(record: ModelRecord): void {
    this.advance(record.atMs);
    const bin = this.#binOf(record.atMs);
    this.#queue.apply(record);
    bin.mostQueued = Math.max(bin.mostQueued, this.#queue.depth);
    switch (record.kind) {
      case 'request-received':
        bin.received += 1;
        this.#remember(record.sequence, record.receivedAtMs);
        return;
      case 'request-finished':
        bin.outcomes[record.outcome] += 1;
        if (record.service !== null) bin.latencies.add(this.#latencyMs(record, record.service));
        this.#receivedAtMs.delete(record.sequence);
        return;
      case 'batch-started':
        bin.batches += 1;
        bin.batchedRequests += record.batchSize;
        this.#start(record);
        return;
      case 'batch-ended':
        this.#end(record.batchId);
        // Before there is a profile nothing is predicted: there is nothing to compare with.
        if (!isRatio(record.actualToPredicted)) return;
        bin.ratioSum += record.actualToPredicted;
        bin.ratioCount += 1;
        return;
      case 'planned':
        this.lastPlan = record;
        return;
      case 'resized':
      case 'instances-changed':
        this.#granted = grantedAfter(this.#granted, record);
        return;
      case 'steps-counted':
        this.#counts?.apply(record);
        return;
      case 'worker-lost':
      case 'worker-ready':
        this.isWorkerLost = record.kind === 'worker-lost';
        return;
      case 'request-admitted':
      case 'resize-requested':
      case 'resize-refused':
      case 'instances-requested':
      case 'router-standstill':
        return;
    }
  }

  /** What is held was held until then. Going back changes nothing. */
  advance(untilMs: number): void {
    const fromMs = Math.max(this.#heldUntilMs ?? untilMs, untilMs - WINDOW_SECONDS * SECOND_MS);
    if (this.#heldUntilMs !== null && untilMs <= this.#heldUntilMs) return;
    this.#heldUntilMs = untilMs;
    for (let atMs = fromMs; atMs < untilMs;) {
      const endMs = Math.min(untilMs, (Math.floor(atMs / SECOND_MS) + 1) * SECOND_MS);
      this.#binOf(atMs).hold(endMs - atMs, this.grantedMillicores, this.plannedMillicores, this.queueDepth);
      atMs = endMs;
    }
    this.#binOf(untilMs);
  }

  /** Seconds are those of the run's clock, both ends included. */
  summary(fromSecond: number, toSecond: number): Summary {
    const sum = new SecondBin();
    for (const bin of this.#binsOf(fromSecond, toSecond)) if (bin !== null) sum.add(bin);
    const { received, outcomes, heldMs, latencies, batches, batchedRequests, ratioSum, ratioCount } = sum;
    return {
      received,
      outcomes,
      watchedSeconds: heldMs / SECOND_MS,
      p50Ms: latencies.quantile(0.5),
      p99Ms: latencies.quantile(0.99),
      meanBatchSize: batches === 0 ? null : batchedRequests / batches,
      actualToPredicted: ratioCount === 0 ? null : ratioSum / ratioCount,
    };
  }

  /** Of a pipeline: from the first of these seconds on until then. Null of one that is none. */
  stepsSince(fromSecond: number, untilMs: number): PipelineSummary | null {
    const watched = this.#binsOf(fromSecond, Math.floor(untilMs / SECOND_MS)).reduce(
      (sum, bin) => sum + (bin?.heldMs ?? 0),
      0,
    );
    // What was before it was watched is not of that time.
    return this.#counts?.summary(Math.max(fromSecond * SECOND_MS, untilMs - watched), untilMs) ?? null;
  }

  series(fromSecond: number, toSecond: number): SecondSeries {
    const bins = this.#binsOf(fromSecond, toSecond);
    const values = (read: (bin: SecondBin) => number | null): (number | null)[] =>
      bins.map((bin) => (bin === null || bin.heldMs === 0 ? null : read(bin)));
    return {
      grantedMillicores: values((bin) => bin.grantedMillicoreMs / bin.heldMs),
      plannedMillicores: values((bin) => (bin.plannedMs === 0 ? null : bin.plannedMillicoreMs / bin.plannedMs)),
      queueDepth: values((bin) => bin.mostQueued),
      missed: values((bin) => missedOf(bin.outcomes)),
    };
  }

  #start({ atMs, instance, batchId, batchSize, predictedLatencyMs }: StartedRecord): void {
    if (instance === undefined || this.#running[instance] === undefined) return;
    this.#running[instance] = { batchId, size: batchSize, startedAtMs: atMs, predictedMs: predictedLatencyMs };
  }

  #end(batchId: number): void {
    const instance = this.#running.findIndex((batch) => batch?.batchId === batchId);
    if (instance !== -1) this.#running[instance] = null;
  }

  #remember(sequence: number, receivedAtMs: number): void {
    this.#receivedAtMs.set(sequence, receivedAtMs);
    if (this.#receivedAtMs.size <= MAX_OPEN) return;
    const [oldest] = this.#receivedAtMs.keys();
    this.#receivedAtMs.delete(oldest!);
  }

  /** Of one that was received before this watched, the time from admission to answer is as good as that. */
  #latencyMs({ atMs, sequence }: FinishedRecord, service: ServiceNote): number {
    const receivedAtMs = this.#receivedAtMs.get(sequence);
    return receivedAtMs === undefined ? service.queuedMs + service.latencyMs : atMs - receivedAtMs;
  }

  #binsOf(fromSecond: number, toSecond: number): readonly (SecondBin | null)[] {
    return Array.from({ length: toSecond - fromSecond + 1 }, (_, index) => {
      const bin = this.#slot(fromSecond + index);
      return bin.second === fromSecond + index ? bin : null;
    });
  }

  #binOf(atMs: number): SecondBin {
    const second = Math.floor(atMs / SECOND_MS);
    const bin = this.#slot(second);
    if (bin.second !== second) bin.reset(second);
    return bin;
  }

  #slot(second: number): SecondBin {
    const length = this.#bins.length;
    return this.#bins[((second % length) + length) % length]!;
  }
}

function isRatio(value: number | null): value is number {
  return value !== null && value > 0 && value < Infinity;
}

/** Not those who left before their deadline. */
export function missedOf(outcomes: Readonly<Record<OutcomeName, number>>): number {
  const { completed_late, rejected_infeasible, rejected_overload, expired, failed } = outcomes;
  return completed_late + rejected_infeasible + rejected_overload + expired + failed;
}

function noOutcomes(): Record<OutcomeName, number> {
  return {
    completed_on_time: 0,
    completed_late: 0,
    rejected_infeasible: 0,
    rejected_overload: 0,
    expired: 0,
    cancelled: 0,
    failed: 0,
  };
}

class SecondBin {
  second = NaN;
  received = 0;
  outcomes = noOutcomes();
  mostQueued = 0;
  batches = 0;
  batchedRequests = 0;
  ratioSum = 0;
  ratioCount = 0;
  heldMs = 0;
  grantedMillicoreMs = 0;
  /** Of `heldMs`, how long a plan was known. */
  plannedMs = 0;
  plannedMillicoreMs = 0;
  readonly latencies = new LatencyHistogram();

  reset(second: number): void {
    this.second = second;
    this.received = this.mostQueued = this.batches = this.batchedRequests = 0;
    this.ratioSum = this.ratioCount = 0;
    this.heldMs = this.grantedMillicoreMs = this.plannedMs = this.plannedMillicoreMs = 0;
    this.outcomes = noOutcomes();
    this.latencies.clear();
  }

  hold(durationMs: number, grantedMillicores: number, plannedMillicores: number | null, queued: number): void {
    this.heldMs += durationMs;
    this.grantedMillicoreMs += durationMs * grantedMillicores;
    this.mostQueued = Math.max(this.mostQueued, queued);
    if (plannedMillicores === null) return;
    this.plannedMs += durationMs;
    this.plannedMillicoreMs += durationMs * plannedMillicores;
  }

  add(other: SecondBin): void {
    this.received += other.received;
    for (const name of Object.keys(this.outcomes) as OutcomeName[]) this.outcomes[name] += other.outcomes[name];
    this.batches += other.batches;
    this.batchedRequests += other.batchedRequests;
    this.ratioSum += other.ratioSum;
    this.ratioCount += other.ratioCount;
    this.heldMs += other.heldMs;
    this.latencies.merge(other.latencies);
  }
}

/** Quantiles of any number of latencies: buckets of equal ratio, from 0.1 ms to more than a quarter of an hour. */
class LatencyHistogram {
  static readonly #LEAST_MS = 0.1;
  static readonly #RATIO = 1.06;
  static readonly #SIZE = 280;
  readonly #counts = new Uint32Array(LatencyHistogram.#SIZE);
  #total = 0;

  add(latencyMs: number): void {
    const index = Math.floor(Math.log(latencyMs / LatencyHistogram.#LEAST_MS) / Math.log(LatencyHistogram.#RATIO));
    // Also where the latency is 0: its logarithm is −∞.
    this.#counts[Math.max(0, Math.min(LatencyHistogram.#SIZE - 1, index))]! += 1;
    this.#total += 1;
  }

  merge(other: LatencyHistogram): void {
    for (let index = 0; index < this.#counts.length; index++) this.#counts[index]! += other.#counts[index]!;
    this.#total += other.#total;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
  }

  /** The middle of its bucket; null of nothing. */
  quantile(fraction: number): number | null {
    if (this.#total === 0) return null;
    const rank = Math.max(1, Math.ceil(fraction * this.#total));
    let index = 0;
    for (let seen = this.#counts[0]!; seen < rank; seen += this.#counts[index]!) index += 1;
    return LatencyHistogram.#LEAST_MS * LatencyHistogram.#RATIO ** (index + 0.5);
  }
}
