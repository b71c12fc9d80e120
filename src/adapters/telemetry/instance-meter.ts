import type { Event } from '../../domain/event.js';
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

export class InstanceMeter {
  readonly #metrics: MetricSet;
  readonly #source: InstanceSource;
  readonly #totals = new FollowedTotals();
  /** By instance, of batches that have ended. */
  readonly #busyMs: number[];
  /** By batch; at most one an instance. */
  readonly #running = new Map<number, Running>();

  constructor(metrics: MetricSet, source: InstanceSource, allocations: readonly number[]) {
    this.#metrics = metrics;
    this.#source = source;
    this.#busyMs = allocations.map(() => 0);
    allocations.forEach((millicores, instance) => {
      metrics.instanceBatches.inc(this.#labels(instance), 0);
      this.setAllocation(instance, millicores);
    });
  }

  setAllocation(instance: number, millicores: number): void {
    this.#metrics.instanceAllocation.set(this.#labels(instance), millicores);
  }

  start({ batchId, instance, atMs }: Extract<Event, { kind: 'batch-started' }>): void {
    if (instance !== undefined) this.#running.set(batchId, { instance, startedAtMs: atMs });
  }

  end({ batchId, atMs }: Extract<Event, { kind: 'batch-ended' }>): void {
    const running = this.#running.get(batchId);
    if (running === undefined) return;
    this.#running.delete(batchId);
    this.#busyMs[running.instance]! += atMs - running.startedAtMs;
    this.#metrics.instanceBatches.inc(this.#labels(running.instance));
  }

  /** A batch that runs counts for as long as it has: a scrape in the middle of a long one sees a busy instance. */
  publish(nowMs: number): void {
    const busyMs = [...this.#busyMs];
    for (const { instance, startedAtMs } of this.#running.values())
      busyMs[instance]! += Math.max(0, nowMs - startedAtMs);
    busyMs.forEach((ms, instance) => {
      this.#totals.follow(this.#metrics.instanceBusySeconds, this.#labels(instance), ms / 1000);
      this.#metrics.instanceReady.set(this.#labels(instance), Number(this.#source.isReady(instance)));
    });
  }

  #labels(instance: number): Record<'model' | 'version' | 'instance', string> {
    const { model, version } = this.#source;
    return { model, version, instance: String(instance) };
  }
}
