/*
 * How many instances, of which allocation and with which batch size, sustain a rate within a budget: the two conditions that
 * FA2 (RTAS 2022) and Themis (arXiv 2407.14843) put into their dynamic programs, for a single model:
 *
 *     (b − 1)/λ + l(b, c) ≤ budget      the first request of a batch waits for the others to arrive
 *     n·b/l(b, c) ≥ λ
 *
 * With one model there is nothing left to divide a budget among, so plain enumeration is the whole program. Throughput is that
 * of the paper; the code at github.com/mehransi/Themis (`adapter/optimizer.py`) also counts the forming wait into it, as if an
 * instance could not run one batch while the next one forms. A rate of 0 needs one instance.
 */
import type { LatencyModel } from '../../domain/latency.js';

export interface ReplicaDemand {
  readonly model: LatencyModel;
  readonly arrivalRatePerSec: number;
  readonly budgetMs: number;
  readonly maxBatchSize: number;
}

export interface Replicas {
  readonly instances: number;
  readonly batchSize: number;
}

/** The fewest instances, then the least batch size. Null where not even a batch of one fits into the budget. */
export function fewestReplicas(demand: ReplicaDemand, cpuMillicores: number): Replicas | null {
  let best: Replicas | null = null;
  for (let batchSize = 1; batchSize <= demand.maxBatchSize; batchSize++) {
    if (!isInBudget(demand, cpuMillicores, batchSize)) break;
    const instances = neededInstances(demand, cpuMillicores, batchSize);
    if (best === null || instances < best.instances) best = { instances, batchSize };
  }
  return best;
}

/** The least batch size with which so many instances do. Null where none is. */
export function leastBatchSize(demand: ReplicaDemand, cpuMillicores: number, instances: number): number | null {
  for (let batchSize = 1; batchSize <= demand.maxBatchSize; batchSize++) {
    if (!isInBudget(demand, cpuMillicores, batchSize)) return null;
    if (neededInstances(demand, cpuMillicores, batchSize) <= instances) return batchSize;
  }
  return null;
}

/** The batch size within the budget with which an instance falls behind least; 1 where none is within it. */
export function fastestBatchSize(demand: ReplicaDemand, cpuMillicores: number): number {
  let fastest = 1;
  let leastPerRequestMs = Infinity;
  for (let batchSize = 1; batchSize <= demand.maxBatchSize; batchSize++) {
    if (!isInBudget(demand, cpuMillicores, batchSize)) break;
    const perRequestMs = demand.model.plannedLatencyMs(batchSize, cpuMillicores) / batchSize;
    if (perRequestMs >= leastPerRequestMs) continue;
    leastPerRequestMs = perRequestMs;
    fastest = batchSize;
  }
  return fastest;
}

/** Instances that keep up, whatever the budget. */
export function neededInstances(demand: ReplicaDemand, cpuMillicores: number, batchSize: number): number {
  const latencyMs = demand.model.plannedLatencyMs(batchSize, cpuMillicores);
  return Math.max(1, Math.ceil((demand.arrivalRatePerSec * latencyMs) / (1000 * batchSize)));
}

/** Both terms grow with the batch size: once false, it stays so. */
function isInBudget(
  { model, arrivalRatePerSec, budgetMs }: ReplicaDemand,
  cpuMillicores: number,
  batchSize: number,
): boolean {
  const formingMs = batchSize === 1 ? 0 : ((batchSize - 1) * 1000) / arrivalRatePerSec;
  return formingMs + model.plannedLatencyMs(batchSize, cpuMillicores) <= budgetMs;
}
