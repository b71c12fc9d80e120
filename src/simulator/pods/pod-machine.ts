import type { LatencyModel } from '../../scheduler/domain/latency.js';
import { fittedLatencyMs, type LatencyCoefficients } from '../../scheduler/perf-model/fit.js';

/*
 * What batches take on a pod. Pods are taken to know it: how a latency is learnt is another matter, and the same before every balancer.
 */

export interface PodMachine {
  /** l(b, c) = γ·b/c + ε/c + δ·b + η: the typical latency, ms. */
  readonly coefficients: LatencyCoefficients;
  readonly maxBatchSize: number;
  /** Standard deviation of the logarithm of what a batch takes. */
  readonly logDeviation: number;
}

/** A small text recogniser: on half a core 59 ms for one and 42 ms each for eight. */
export const SMALL_MODEL: PodMachine = {
  coefficients: { gamma: 18, epsilon: 8, delta: 1, eta: 6 },
  maxBatchSize: 8,
  logDeviation: 0.07,
};

/** What one batch in a hundred exceeds, of the typical latency: e^(2.33 σ). */
function plannedFactor({ logDeviation }: PodMachine): number {
  return Math.exp(2.33 * logDeviation);
}

export function typicalMs({ coefficients }: PodMachine, batchSize: number, cpuMillicores: number): number {
  return fittedLatencyMs(coefficients, batchSize, cpuMillicores);
}

export function latencyModelOf(machine: PodMachine): LatencyModel {
  const factor = plannedFactor(machine);
  const plannedMs = (batchSize: number, cpuMillicores: number): number =>
    factor * typicalMs(machine, batchSize, cpuMillicores);
  return {
    predictedLatencyMs: (batchSize, cpuMillicores) => typicalMs(machine, batchSize, cpuMillicores),
    plannedLatencyMs: plannedMs,
    leastLatencyMs: plannedMs,
  };
}

/** The least of a pod's time that a request can cost, in the batches that do most. */
export function leastMsEach(machine: PodMachine, cpuMillicores: number): number {
  let least = Infinity;
  for (let size = 1; size <= machine.maxBatchSize; size++)
    least = Math.min(least, typicalMs(machine, size, cpuMillicores) / size);
  return least;
}

/** Requests per second that a pod does in the batches that do most: its capacity. */
export function capacityPerSec(machine: PodMachine, cpuMillicores: number): number {
  return 1000 / leastMsEach(machine, cpuMillicores);
}

/** Latencies on one allocation, by batch size: what a schedule looks at thousands of times. */
export interface LatencyRow {
  /** Index 0 is unused. */
  readonly typicalMs: Float64Array;
  readonly plannedMs: Float64Array;
  /** Of the batch that does most. */
  readonly bestSize: number;
}

export function latencyRow(machine: PodMachine, cpuMillicores: number): LatencyRow {
  const { maxBatchSize } = machine;
  const factor = plannedFactor(machine);
  const typical = new Float64Array(maxBatchSize + 1);
  for (let size = 1; size <= maxBatchSize; size++) typical[size] = typicalMs(machine, size, cpuMillicores);
  let bestSize = 1;
  for (let size = 2; size <= maxBatchSize; size++)
    if (size / typical[size]! > (bestSize / typical[bestSize]!) * (1 + 1e-9)) bestSize = size;
  return { typicalMs: typical, plannedMs: typical.map((ms) => factor * ms), bestSize };
}
