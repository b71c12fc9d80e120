/*
 * How much the batches of one decision are slowed down by what is busy beside them (`perf-model/interference.ts`): the one that is
 * started by those that run, and by those that will be started beside it, for requests that wait or on average; those behind it by each other.
 */
import type { LatencyModel } from '../domain/latency.js';
import { slowdownBeside } from '../perf-model/interference.js';

export interface Neighbours {
  /** φ, above 0. */
  readonly interference: number;
  /** Own batches that run, and what they run on. */
  readonly runningCount: number;
  readonly runningMillicores: number;
  /** What other models run on. */
  readonly otherMillicores: number;
  /** So many requests wait. */
  readonly waitingCount: number;
  /** So many instances are used at once. */
  readonly instanceCount: number;
  /** What is busy beside an instance on average, at the rate that is served. */
  readonly typicalMillicores: number;
}

/** Latency of a batch that starts now, over that alone. */
function startSlowdown(neighbours: Neighbours, batchSize: number, cpuMillicores: number): number {
  const { interference, runningCount, runningMillicores, otherMillicores, typicalMillicores } = neighbours;
  const free = Math.max(0, neighbours.instanceCount - runningCount - 1);
  const started = Math.min(free, Math.max(0, neighbours.waitingCount - batchSize));
  const nowMillicores = otherMillicores + runningMillicores + started * cpuMillicores;
  return slowdownBeside(interference, Math.max(nowMillicores, typicalMillicores));
}

/** Of each batch behind it, where all that can run do, on so much. */
export function slowdownBehind(neighbours: Neighbours, cpuMillicores: number): number {
  const { interference, runningCount, otherMillicores, waitingCount, instanceCount, typicalMillicores } = neighbours;
  const beside = Math.max(0, Math.min(instanceCount, runningCount + waitingCount) - 1);
  return slowdownBeside(interference, Math.max(otherMillicores + beside * cpuMillicores, typicalMillicores));
}

/** At any time, at the rate that is served. */
export function typicalSlowdown({ interference, typicalMillicores }: Neighbours): number {
  return slowdownBeside(interference, typicalMillicores);
}

/** The latency of a batch that starts now; the model itself where nothing slows it down. */
export function besideNeighbours(model: LatencyModel, neighbours: Neighbours | null): LatencyModel {
  if (neighbours === null) return model;
  const of =
    (quantile: keyof LatencyModel): LatencyModel['predictedLatencyMs'] =>
    (batchSize, cpuMillicores) =>
      startSlowdown(neighbours, batchSize, cpuMillicores) * model[quantile](batchSize, cpuMillicores);
  return {
    predictedLatencyMs: of('predictedLatencyMs'),
    plannedLatencyMs: of('plannedLatencyMs'),
    leastLatencyMs: of('leastLatencyMs'),
  };
}
