import { cellPoints, type LatencyCurve } from '../../scheduler/perf-model/curve.js';
import { baseModel } from '../../scheduler/perf-model/base-model.js';
import {
  fittedLatencyMs,
  ordinaryLeastSquares,
  robustFit,
  type LatencyCoefficients,
} from '../../scheduler/perf-model/fit.js';
import { MonotoneTable } from '../../scheduler/perf-model/table.js';
import type { Profile, ProfileCell } from '../../scheduler/perf-model/profile.js';

/*
 * The machine that a simulation runs on: what a batch really takes there, and the profile that `sponge profile` would have
 * measured, which is all that planners are given.
 *
 * Published tables have one number a cell and no samples. By default the p99 surface is the authors' own fit of the
 * published P99 (unweighted least squares on whole milliseconds), the typical latency is 0.88 of it, and runs scatter
 * log-normally with σ = 0.07: then 3.4 % of batches exceed the fit (ln(1/0.88)/0.07 = 1.83 σ) and the machine's own p99 is
 * 1.04 × it. The other choices go cell by cell: the published P99 × 0.88, which differs most where the fit is bad (a single request
 * on one core: 152 ms measured, 136 ms fitted), or the published typical latencies as they are, of which some large batches were
 * smaller than the table says (eight requests on one core: half of what eight take one by one).
 */

/** Of a published table: its P99 fit × 0.88, its P99 cell by cell × 0.88, or its typical latencies. */
export type PublishedService = 'fit' | 'p99-table' | 'table';

/** Typical latency / fitted p99, and the scatter of runs around it. */
const TYPICAL_FRACTION = 0.88;
const LOG_DEVIATION = 0.07;
/** Standard normal quantiles. */
const Z95 = 1.6449;
const Z99 = 2.3263;

export interface Machine {
  readonly name: string;
  /** Typical (median) latency of a batch. */
  readonly curve: LatencyCurve;
  /** σ of ln(actual / typical) of a batch. */
  readonly logDeviation: number;
  /** What was measured on it. */
  readonly profile: Profile;
  /** Least squares on P99, whole milliseconds, any sign: what the authors' controllers plan with. Null where undetermined. */
  readonly releasedFit: LatencyCoefficients | null;
  /** Non-negative; splits a batch's time into what cores share and what runs on one. */
  readonly coefficients: LatencyCoefficients;
}

/** A published table. @param profile its cells, `quality: 'published'` */
export function publishedMachine(profile: Profile, service: PublishedService = 'fit'): Machine {
  const releasedFit = leastSquaresOfP99(profile);
  const coefficients = robustFit(cellPoints(profile, 'p99Ms'));
  if (service !== 'fit') {
    const points =
      service === 'table'
        ? cellPoints(profile, 'p50Ms')
        : cellPoints(profile, 'p99Ms').map((point) => ({ ...point, latencyMs: TYPICAL_FRACTION * point.latencyMs }));
    const curve = new MonotoneTable(points);
    return { ...machineOf(profile, curve), releasedFit, coefficients: robustFit(points) };
  }
  const p99Ms = isMonotone(releasedFit, profile)
    ? (batchSize: number, cpuMillicores: number): number => fittedLatencyMs(releasedFit, batchSize, cpuMillicores)
    : (batchSize: number, cpuMillicores: number): number => fittedLatencyMs(coefficients, batchSize, cpuMillicores);
  const curve: LatencyCurve = {
    latencyMs: (batchSize, cpuMillicores) => TYPICAL_FRACTION * p99Ms(batchSize, cpuMillicores),
  };
  return { ...machineOf(profile, curve), releasedFit, coefficients };
}

/** The profile that a long run of `sponge profile` would measure where runs scatter around a curve. */
function machineOf(
  profile: Profile,
  curve: LatencyCurve,
): Pick<Machine, 'name' | 'curve' | 'logDeviation' | 'profile'> {
  const measured = (cell: ProfileCell): ProfileCell => {
    const p50Ms = curve.latencyMs(cell.batchSize, cell.cpuMillicores);
    const quantileMs = (z: number): number => p50Ms * Math.exp(z * LOG_DEVIATION);
    return { ...cell, p50Ms, p95Ms: quantileMs(Z95), p99Ms: quantileMs(Z99) };
  };
  return {
    name: profile.name,
    curve,
    logDeviation: LOG_DEVIATION,
    profile: { ...profile, cells: profile.cells.map(measured) },
  };
}

/** A profile measured with `sponge profile`: its own typical surface, and a scatter as wide as that of its runs. */
export function measuredMachine(profile: Profile): Machine {
  const { curve, coefficients, logResiduals } = baseModel(profile);
  const squares = logResiduals.reduce((sum, residual) => sum + residual * residual, 0);
  return {
    name: profile.name,
    curve,
    logDeviation: Math.sqrt(squares / logResiduals.length),
    profile,
    releasedFit: leastSquaresOfP99(profile),
    coefficients,
  };
}

/**
 * CPU that a running batch uses on average: its shared work on all cores, the rest on one (Amdahl). Less than the allocation
 * where cores wait for the part that only one of them can do.
 */
export function usedMillicores({ coefficients }: Machine): (batchSize: number, cpuMillicores: number) => number {
  const { gamma, epsilon, delta, eta } = coefficients;
  return (batchSize, cpuMillicores) => {
    const cores = cpuMillicores / 1000;
    const sharedMs = (gamma * batchSize + epsilon) / cores;
    const singleMs = delta * batchSize + eta;
    return (1000 * (sharedMs * cores + singleMs * Math.min(1, cores))) / (sharedMs + singleMs);
  };
}

function leastSquaresOfP99(profile: Profile): LatencyCoefficients | null {
  return ordinaryLeastSquares(
    cellPoints(profile, 'p99Ms').map((point) => ({ ...point, latencyMs: Math.trunc(point.latencyMs) })),
  );
}

/** Non-increasing in c and non-decreasing in b over everything that was measured, as a latency curve has to be. */
function isMonotone(fit: LatencyCoefficients | null, { cells }: Profile): fit is LatencyCoefficients {
  if (fit === null) return false;
  const mostCores = Math.max(...cells.map((cell) => cell.cpuMillicores)) / 1000;
  const isFallingInCores = fit.gamma + fit.epsilon >= 0;
  const isRisingInBatch = fit.gamma >= 0 && fit.gamma / mostCores + fit.delta >= 0;
  return isFallingInCores && isRisingInBatch;
}
