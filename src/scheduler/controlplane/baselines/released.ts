/*
 * The rule that the Sponge authors' released controller follows (github.com/saeid93/sponge at aa00b56), kept as a baseline.
 *
 * Once a second it treats one second of arrivals as queued at once and takes the least whole number of cores, then the
 * least batch size, that serves them one batch after another within a fraction of the SLO, less the network delay that
 * the last request reported:
 *
 *     ceil(rate / b) · trunc(l(b, c)) + network delay ≤ fraction · SLO
 *
 * Where nothing fits it keeps the plan in force; it neither sheds nor falls back to all cores. Latencies are truncated to
 * whole milliseconds as its integers are. Unlike our own planner it knows no queue, no deadline per request and no batch
 * in flight.
 */
import type { LatencyCoefficients } from '../../perf-model/fit.js';

/** Replayed from the authors' data: unweighted least squares on latencies truncated to whole ms, any sign. */
export const RELEASED_FITS = {
  /** P99, series 1: the table behind the paper's evaluation. ε < 0, so l(1, 1) = 136 ms where 152 were measured. */
  yolov5s: { gamma: 140.435157, delta: 25.238768, epsilon: -50.841515, eta: 22.13587 },
  /** Series 72. */
  yolov5n: { gamma: 75.086079, delta: 14.501456, epsilon: -62.234767, eta: 7.732639 },
  /** P95 as listed in the authors' worked example, which has 169.030 ms at b = 16 on 4 cores (the profile: 189.030). */
  resnet18: { gamma: 18.290086, delta: 4.488037, epsilon: 45.468846, eta: 1.045813 },
} as const satisfies Readonly<Record<string, LatencyCoefficients>>;

/** Share of the SLO that may be used, since commit c48a2dd. */
export const RELEASED_SLO_FRACTION = 0.9;
/** Before that commit, and in the worked example. */
export const WORKED_EXAMPLE_SLO_FRACTION = 1;

/** Whole cores: it knows no other. */
export interface ReleasedPlan {
  readonly cores: number;
  readonly batchSize: number;
}

export interface ReleasedQuestion {
  readonly coefficients: LatencyCoefficients;
  /** A constant of its configuration; it has no predictor. */
  readonly arrivalRatePerSec: number;
  readonly sloMs: number;
  /** SLO less the budget of the last request seen; the whole SLO before any traffic. */
  readonly networkDelayMs: number;
  readonly sloFraction: number;
  readonly maxCores: number;
  readonly maxBatchSize: number;
  /** In force now. */
  readonly current: ReleasedPlan;
}

export interface ReleasedAnswer {
  readonly isFeasible: boolean;
  /** `current` where nothing fits. */
  readonly plan: ReleasedPlan;
}

export function releasedPlan(question: ReleasedQuestion): ReleasedAnswer {
  const budgetMs = question.sloFraction * question.sloMs;
  for (let cores = 1; cores <= question.maxCores; cores++) {
    for (let batchSize = 1; batchSize <= question.maxBatchSize; batchSize++) {
      const batchCount = Math.ceil(question.arrivalRatePerSec / batchSize);
      const latencyMs = releasedLatencyMs(question.coefficients, batchSize, cores);
      if (batchCount * latencyMs + question.networkDelayMs <= budgetMs) {
        return { isFeasible: true, plan: { cores, batchSize } };
      }
    }
  }
  return { isFeasible: false, plan: question.current };
}

/** l(b, c) = γ·b/c + δ·b + ε/c + η, whole milliseconds. */
export function releasedLatencyMs(coefficients: LatencyCoefficients, batchSize: number, cores: number): number {
  const { gamma, delta, epsilon, eta } = coefficients;
  return Math.trunc((gamma * batchSize) / cores + delta * batchSize + epsilon / cores + eta);
}
