import type { LatencyModel } from '../domain/latency.js';
import type { AllocationLimits } from '../domain/plan.js';
import type { VariantPrices } from './release.js';

/*
 * What one request of a variant costs in cores, by the time that it has: of all batches and allocations that are in time the least
 * core-ms for each member, which is what the node's planner looks for as well, and comes within a per cent of with as many instances as
 * cores. Less time makes it dearer, as it takes smaller batches on more cores.
 */

/** What a batch costs least on, as a rule: more cores are shared worse than one is used. */
const LANE_MILLICORES = 1000;

/** A batch that takes so long at most costs so much for each of its requests. */
interface Point {
  readonly latencyMs: number;
  readonly coreMs: number;
  readonly batchSize: number;
  readonly cpuMillicores: number;
}

export class WorkPrices implements VariantPrices {
  readonly accuracy: number;
  readonly maxBatchSize: number;
  readonly runMs: number;
  readonly #latency: LatencyModel;
  readonly #laneMillicores: number;
  /** By ascending latency, each cheaper than those before it. */
  readonly #points: readonly Point[];

  constructor(accuracy: number, latency: LatencyModel, limits: AllocationLimits, maxBatchSize: number) {
    this.accuracy = accuracy;
    this.maxBatchSize = maxBatchSize;
    this.#latency = latency;
    this.#laneMillicores = Math.min(limits.maxMillicores, Math.max(limits.minMillicores, LANE_MILLICORES));
    // Between alone and the largest batch: what comes with little time comes in smaller ones.
    this.runMs = this.batchMs(Math.ceil(Math.sqrt(maxBatchSize)));
    const points: Point[] = [];
    for (const batchSize of doublings(1, maxBatchSize)) {
      for (const cpuMillicores of doublings(limits.minMillicores, limits.maxMillicores)) {
        const latencyMs = latency.plannedLatencyMs(batchSize, cpuMillicores);
        const coreMs = (latency.predictedLatencyMs(batchSize, cpuMillicores) * cpuMillicores) / 1000 / batchSize;
        points.push({ latencyMs, coreMs, batchSize, cpuMillicores });
      }
    }
    points.sort((a, b) => a.latencyMs - b.latencyMs || a.coreMs - b.coreMs);
    const cheaper: Point[] = [];
    for (const point of points) if (cheaper.length === 0 || point.coreMs < cheaper.at(-1)!.coreMs) cheaper.push(point);
    this.#points = cheaper;
  }

  batchMs(batchSize: number): number {
    return this.#latency.plannedLatencyMs(batchSize, this.#laneMillicores);
  }

  coreMs(leftMs: number): number {
    return this.cheapest(leftMs)?.coreMs ?? Infinity;
  }

  /** The batch and the cores that it is reckoned with; null where nothing is in time. */
  cheapest(leftMs: number): Point | null {
    const points = this.#points;
    let found: Point | null = null;
    for (const point of points) {
      if (point.latencyMs > leftMs) break;
      found = point;
    }
    return found;
  }
}

/** From, twice that and so on, and the last. */
function doublings(from: number, to: number): number[] {
  const values: number[] = [];
  for (let value = from; value < to; value *= 2) values.push(value);
  return [...values, to];
}
