import type { LatencyModel } from '../domain/latency.js';
import type { ServiceRecord } from '../domain/outcome.js';
import type { RunningInstance } from '../domain/queue-snapshot.js';
import type { ShapeClass } from '../domain/request.js';
import type { QueueEntry } from './queue-entry.js';

/** What is busy beside a batch. */
export interface Neighbours {
  /** Share of the interfering cores (`perf-model/interference.ts`). */
  readonly busyFraction: number;
  /** Latency beside them over latency alone. */
  readonly slowdown: number;
}

const ALONE: Neighbours = { busyFraction: 0, slowdown: 1 };

/**
 * A batch that a worker is running, and how far it should be. Progress is predicted work done: the sum of
 * (time at an allocation, beside what is busy) / (predicted latency at it), so a batch that was resized on its way, or whose neighbours came
 * and went, is still comparable.
 * CPU beyond the threads that it started with speeds nothing up.
 */
export class RunningBatch {
  readonly batchId: number;
  readonly instance: number;
  /** EDF order, one shape class. */
  readonly members: readonly QueueEntry[];
  readonly threadCount: number;
  readonly startedAtMs: number;
  readonly startMillicores: number;
  /** Dispatch to reply, at the allocation of the dispatch and beside what was busy then. */
  readonly predictedLatencyMs: number;
  readonly plannedLatencyMs: number;
  readonly #model: LatencyModel;
  #cpuMillicores: number;
  #progress = 0;
  #progressAtMs: number;
  #neighbours: Neighbours;
  /** ∫ of the busy fraction until `#neighboursAtMs`. */
  #busyMs = 0;
  #neighboursAtMs: number;

  constructor(
    batchId: number,
    instance: number,
    members: readonly QueueEntry[],
    threadCount: number,
    cpuMillicores: number,
    nowMs: number,
    neighbours: Neighbours = ALONE,
  ) {
    this.batchId = batchId;
    this.instance = instance;
    this.members = members;
    this.threadCount = threadCount;
    this.startedAtMs = nowMs;
    this.startMillicores = cpuMillicores;
    this.#model = members[0]!.model;
    this.predictedLatencyMs = neighbours.slowdown * this.#model.predictedLatencyMs(members.length, cpuMillicores);
    this.plannedLatencyMs = neighbours.slowdown * this.#model.plannedLatencyMs(members.length, cpuMillicores);
    this.#neighbours = neighbours;
    this.#neighboursAtMs = nowMs;
    this.#cpuMillicores = cpuMillicores;
    this.#progressAtMs = nowMs;
  }

  get size(): number {
    return this.members.length;
  }

  get rowCount(): number {
    return this.size * this.shapeClass.rowCount;
  }

  /** Of the allocation that it started on, what its threads can use: predictions, and so what they are corrected by, are at this. */
  get usableStartMillicores(): number {
    return Math.min(this.startMillicores, this.threadCount * 1000);
  }

  get shapeClass(): ShapeClass {
    return this.members[0]!.request.shapeClass;
  }

  /** It tests what is believed of its class: it runs to its end though nobody waits for it any more. */
  get isExploring(): boolean {
    return this.members[0]!.isExploring;
  }

  /** Its members wait behind all others. */
  get isSetAside(): boolean {
    return this.members[0]!.isSetAside;
  }

  resize(nowMs: number, cpuMillicores: number): void {
    this.#settle(nowMs);
    this.#cpuMillicores = cpuMillicores;
  }

  /** Others were started beside it, have ended, or were resized. */
  besideNow(nowMs: number, neighbours: Neighbours = ALONE): void {
    this.#busyMs = this.#busyUntil(nowMs);
    this.#neighboursAtMs = nowMs;
    if (neighbours.slowdown !== this.slowdown) this.#settle(nowMs);
    this.#neighbours = neighbours;
  }

  /** What is busy beside it slows it down by. */
  get slowdown(): number {
    return this.#neighbours.slowdown;
  }

  /** Of the interfering cores, the share that was busy beside it, mean over its run. */
  busyFraction(nowMs: number): number {
    const elapsedMs = nowMs - this.startedAtMs;
    return elapsedMs > 0 ? this.#busyUntil(nowMs) / elapsedMs : this.#neighbours.busyFraction;
  }

  #busyUntil(nowMs: number): number {
    return this.#busyMs + this.#neighbours.busyFraction * (nowMs - this.#neighboursAtMs);
  }

  /** 1 when it takes exactly as long as predicted, more when longer. */
  progress(nowMs: number): number {
    // What ended before it was last settled was read late.
    const elapsedMs = Math.max(0, nowMs - this.#progressAtMs);
    const predictedMs = this.#predictedMs();
    return predictedMs > 0 ? this.#progress + elapsedMs / predictedMs : this.#progress;
  }

  /** When it has ended: of the members that the plan expected to be in time, those that were not; null without such. */
  missedFraction(nowMs: number): number | null {
    const plannedAtMs = this.startedAtMs + this.plannedLatencyMs;
    let expected = 0;
    let missed = 0;
    for (const { request } of this.members) {
      if (plannedAtMs > request.dueAtMs) continue;
      expected += 1;
      if (nowMs > request.dueAtMs) missed += 1;
    }
    return expected === 0 ? null : missed / expected;
  }

  snapshot(nowMs: number): RunningInstance {
    return {
      instance: this.instance,
      shapeClass: this.shapeClass,
      batchSize: this.size,
      threadCount: this.threadCount,
      progress: this.expectedProgress(nowMs),
    };
  }

  /**
   * As those behind it should reckon with. What is being tested is not believed meanwhile: such a batch is expected to need as
   * long again as it has run, at most what is believed.
   */
  expectedProgress(nowMs: number): number {
    const progress = this.progress(nowMs);
    if (!this.isExploring) return progress;
    const predictedMs = this.#predictedMs();
    return predictedMs > 0 ? Math.max(progress, 1 - (nowMs - this.startedAtMs) / predictedMs) : progress;
  }

  /** What a member's client can be told when the batch has ended. */
  serviceRecord(nowMs: number, member: QueueEntry): ServiceRecord {
    return {
      queuedMs: this.startedAtMs - member.admittedAtMs,
      slackAtDispatchMs: member.request.dueAtMs - this.startedAtMs - this.plannedLatencyMs,
      batchId: this.batchId,
      batchSize: this.size,
      cpuMillicores: this.startMillicores,
      threadCount: this.threadCount,
      plannedLatencyMs: this.plannedLatencyMs,
      latencyMs: nowMs - this.startedAtMs,
    };
  }

  /** What was done until now, at what was in force until now. */
  #settle(nowMs: number): void {
    this.#progress = this.progress(nowMs);
    this.#progressAtMs = nowMs;
  }

  /** Of all of it, as things are now. */
  #predictedMs(): number {
    return this.slowdown * this.#model.predictedLatencyMs(this.size, this.usableMillicores);
  }

  /** Of its allocation, what its threads can use. */
  get usableMillicores(): number {
    return Math.min(this.#cpuMillicores, this.threadCount * 1000);
  }
}
