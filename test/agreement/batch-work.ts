import type { LatencyCoefficients } from '../../src/scheduler/perf-model/fit.js';

/** What one batch costs, core-ms: work that its threads share, and then work that only one of them can do. */
export interface BatchWork {
  readonly sharedMs: number;
  readonly singleMs: number;
}

export function workOf({ gamma, epsilon, delta, eta }: LatencyCoefficients, batchSize: number): BatchWork {
  return { sharedMs: gamma * batchSize + epsilon, singleMs: delta * batchSize + eta };
}

/** How long it takes where nothing else disturbs. Below one core the part of one thread is slowed down too. */
export function idealLatencyMs({ sharedMs, singleMs }: BatchWork, threadCount: number, cpuMillicores: number): number {
  const cores = Math.min(cpuMillicores / 1000, threadCount);
  return sharedMs / cores + singleMs / Math.min(1, cores);
}
