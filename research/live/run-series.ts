import { CoreSeconds } from '../../src/scheduler/domain/core-seconds.js';
import type { EventRecord, RunModel } from '../../src/scheduler/domain/event-record.js';
import type { OutcomeName } from '../../src/scheduler/domain/outcome.js';
import { QueueCount } from '../../src/scheduler/domain/queue-count.js';

/*
 * A run over time, from its event log alone; live and simulated runs come out alike. Pure. Instants are ms since the clients
 * began; what was before and after is left out.
 */

export interface RunSeries {
  /** Length of a bin of `grantedCores`, `queueDepth` and `instances`. */
  readonly binMs: number;
  /** Mean of each bin: granted (growth from the request for it), all instances; what was used beyond it is not in. */
  readonly grantedCores: readonly number[];
  /** The most of each bin. */
  readonly queueDepth: readonly number[];
  /** Ready at the end of each bin. */
  readonly instances: readonly number[];
  readonly batches: readonly BatchPoint[];
  readonly arrivals: readonly ArrivalPoint[];
  /** By the second in which they ended, as the server has them. */
  readonly outcomesBySecond: readonly Readonly<Partial<Record<OutcomeName, number>>>[];
  readonly resizes: number;
}

export interface BatchPoint {
  readonly atMs: number;
  readonly size: number;
  readonly cpuMillicores: number;
  readonly predictedMs: number;
  /** p99. */
  readonly plannedMs: number;
  /** Null where it did not complete. */
  readonly actualMs: number | null;
  readonly actualToPredicted: number | null;
}

/** What a request had left when it was there. */
export interface ArrivalPoint {
  readonly atMs: number;
  readonly sloMs: number;
  readonly networkDelayMs: number;
}

const BIN_MS = 100;

export interface RunWindow {
  /** Instant of the records' clock at which the clients began. */
  readonly startAtMs: number;
  readonly durationMs: number;
}

/** @param records of one model, in order */
export function runSeries(model: RunModel, records: readonly EventRecord[], window: RunWindow): RunSeries {
  const binCount = Math.max(1, Math.ceil(window.durationMs / BIN_MS));
  const beganAtMs = Math.min(window.startAtMs, records[0]?.atMs ?? window.startAtMs);
  const fold = new SeriesFold(model, window, binCount, beganAtMs);
  for (const record of records) fold.observe(record);
  return fold.finish();
}

class SeriesFold {
  readonly #window: RunWindow;
  readonly #ledger: CoreSeconds;
  readonly #grantedCores: number[] = [];
  readonly #queueDepth: number[] = [];
  readonly #instancesAtEnd: number[] = [];
  readonly #binCount: number;
  readonly #running = new Map<number, Extract<EventRecord, { kind: 'batch-started' }>>();
  readonly #queue = new QueueCount();
  readonly #batches: BatchPoint[] = [];
  readonly #arrivals: ArrivalPoint[] = [];
  readonly #outcomes: Partial<Record<OutcomeName, number>>[] = [];
  /** By the end of the last bin; null before the first began. */
  #grantedSeconds: number | null = null;
  #deepest = 0;
  #instances: number;
  #resizes = 0;

  constructor(model: RunModel, window: RunWindow, binCount: number, beganAtMs: number) {
    this.#window = window;
    this.#binCount = binCount;
    this.#instances = model.instances;
    this.#ledger = new CoreSeconds(beganAtMs, model.allocations ?? model.cpuMillicores, {
      existing: model.instances,
      ready: model.instances,
      startingMillicores: model.cpuMillicores,
    });
  }

  observe(record: EventRecord): void {
    const atMs = record.atMs - this.#window.startAtMs;
    this.#closeBinsUntil(atMs);
    this.#queue.apply(record);
    const isWithin = atMs >= 0 && atMs < this.#window.durationMs;
    switch (record.kind) {
      case 'request-received': {
        const { sloMs, networkDelayMs } = record;
        if (isWithin) this.#arrivals.push({ atMs, sloMs, networkDelayMs });
        return;
      }
      case 'request-admitted':
        this.#deepest = Math.max(this.#deepest, this.#queue.depth);
        return;
      case 'request-finished':
        if (isWithin) this.#countOutcome(atMs, record.outcome);
        return;
      case 'batch-started':
        this.#running.set(record.batchId, record);
        return;
      case 'batch-ended':
        this.#endBatch(record);
        return;
      case 'resized':
        if (isWithin && record.isWritten) this.#resizes += 1;
        this.#ledger.observe(record);
        return;
      case 'instances-changed':
        this.#instances = record.instances;
        this.#ledger.observe(record);
        return;
      case 'resize-requested':
      case 'resize-refused':
      case 'instances-requested':
        this.#ledger.observe(record);
        return;
      case 'planned':
      case 'worker-lost':
      case 'worker-ready':
      case 'router-standstill':
      case 'steps-counted':
        return;
    }
  }

  finish(): RunSeries {
    this.#closeBinsUntil(this.#binCount * BIN_MS);
    return {
      binMs: BIN_MS,
      grantedCores: this.#grantedCores,
      queueDepth: this.#queueDepth,
      instances: this.#instancesAtEnd,
      batches: this.#batches,
      arrivals: this.#arrivals,
      outcomesBySecond: Array.from(
        { length: Math.ceil(this.#window.durationMs / 1000) },
        (_, second) => this.#outcomes[second] ?? {},
      ),
      resizes: this.#resizes,
    };
  }

  #endBatch({ batchId, result, latencyMs, actualToPredicted }: Extract<EventRecord, { kind: 'batch-ended' }>): void {
    const started = this.#running.get(batchId);
    this.#running.delete(batchId);
    if (started === undefined) return;
    const atMs = started.atMs - this.#window.startAtMs;
    if (atMs < 0 || atMs >= this.#window.durationMs) return;
    this.#batches.push({
      atMs,
      size: started.batchSize,
      cpuMillicores: started.cpuMillicores,
      predictedMs: started.predictedLatencyMs,
      plannedMs: started.plannedLatencyMs,
      actualMs: result === 'completed' ? latencyMs : null,
      actualToPredicted,
    });
  }

  #countOutcome(atMs: number, outcome: OutcomeName): void {
    const second = Math.floor(atMs / 1000);
    const counts = (this.#outcomes[second] ??= {});
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }

  #closeBinsUntil(atMs: number): void {
    if (atMs < 0) return;
    this.#grantedSeconds ??= this.#ledger.totalSeconds(this.#window.startAtMs);
    while (this.#grantedCores.length < this.#binCount) {
      const endMs = (this.#grantedCores.length + 1) * BIN_MS;
      if (endMs > atMs) return;
      const total = this.#ledger.totalSeconds(this.#window.startAtMs + endMs);
      this.#grantedCores.push(((total - this.#grantedSeconds) * 1000) / BIN_MS);
      this.#queueDepth.push(Math.max(this.#deepest, this.#queue.depth));
      this.#instancesAtEnd.push(this.#instances);
      this.#grantedSeconds = total;
      this.#deepest = this.#queue.depth;
    }
  }
}
