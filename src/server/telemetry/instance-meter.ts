import type { Event } from '../../scheduler/domain/event.js';
import type { Sample } from './exposition.js';
import { FollowedTotals } from './followed-totals.js';
import type { MetricSet } from './metric-set.js';

/*
 * What each of several instances that are resized one by one has done: batches, time spent on them, cores, readiness. As many label
 * values as the model has instances, which does not change while it is served.
 */

export interface InstanceSource {
  readonly model: string;
  readonly version: string;
  /** Whether it can run batches now. */
  isReady(instance: number): boolean;
}

interface Running {
  readonly instance: number;
  readonly startedAtMs: number;
}

/** The series of one instance. */
interface InstanceSeries {
  readonly allocation: Sample;
  readonly batches: Sample;
  readonly busySeconds: Sample;
  readonly ready: Sample;
}

export class InstanceMeter {
  readonly #source: InstanceSource;
  readonly #series: readonly InstanceSeries[];
  readonly #totals = new FollowedTotals();
  /** By instance, of batches that have ended. */
  readonly #busyMs: number[];
  /** By batch; at most one an instance. */
  readonly #running = new Map<number, Running>();

  constructor(metrics: MetricSet, source: InstanceSource, allocations: readonly number[]) {
    const { model, version } = source;
    this.#source = source;
    this.#busyMs = allocations.map(() => 0);
    this.#series = allocations.map((_, index) => {
      const labels = { model, version, instance: String(index) };
      return {
        allocation: metrics.instanceAllocation.of(labels),
        batches: metrics.instanceBatches.of(labels),
        busySeconds: metrics.instanceBusySeconds.of(labels),
        ready: metrics.instanceReady.of(labels),
      };
    });
    allocations.forEach((millicores, instance) => this.setAllocation(instance, millicores));
  }

  setAllocation(instance: number, millicores: number): void {
    this.#series[instance]!.allocation.value = millicores;
  }

  start({ batchId, instance, atMs }: Extract<Event, { kind: 'batch-started' }>): void {
    if (instance !== undefined) this.#running.set(batchId, { instance, startedAtMs: atMs });
  }

  end({ batchId, atMs }: Extract<Event, { kind: 'batch-ended' }>): void {
    const running = this.#running.get(batchId);
    if (running === undefined) return;
    this.#running.delete(batchId);
    this.#busyMs[running.instance]! += atMs - running.startedAtMs;
    this.#series[running.instance]!.batches.value += 1;
  }

  /** A batch that runs counts for as long as it has: a scrape in the middle of a long one sees a busy instance. */
  publish(nowMs: number): void {
    const busyMs = [...this.#busyMs];
    for (const { instance, startedAtMs } of this.#running.values())
      busyMs[instance]! += Math.max(0, nowMs - startedAtMs);
    this.#series.forEach(({ busySeconds, ready }, instance) => {
      this.#totals.follow(busySeconds, busyMs[instance]! / 1000);
      ready.value = Number(this.#source.isReady(instance));
    });
  }
}
