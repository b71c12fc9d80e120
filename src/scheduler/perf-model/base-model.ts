import { cellPoints, type LatencyCurve, type LatencyPoint } from './curve.js';
import { CorrectedFit } from './corrected-fit.js';
import { robustFit, type LatencyCoefficients } from './fit.js';
import type { Profile, ProfileCell } from './profile.js';
import { quantile } from './quantile.js';
import { MonotoneTable } from './table.js';

/*
 * From a profile to the surface that planning starts from: the corrected fit or the table, whichever predicts cells better that it
 * has not seen, and how runs scatter around it. Both say of a measured cell what was measured.
 */

/** Median over the cells of |predicted − p50| / p50, each predicted from all other cells. */
export interface HeldOutErrors {
  readonly fit: number;
  readonly table: number;
}

export interface BaseModel {
  readonly kind: 'fit' | 'table';
  /** Typical (p50) latency. */
  readonly curve: LatencyCurve;
  /** The robust fit, also where the table was better. */
  readonly coefficients: LatencyCoefficients;
  /** Null with too few cells to hold one out; the fit is taken then. */
  readonly heldOut: HeldOutErrors | null;
  /** ln(actual / typical) of every run of every cell, ascending. */
  readonly logResiduals: Float64Array;
}

/** With one cell fewer, the fit's four coefficients still leave one point to be wrong about. */
const LEAST_CELLS_TO_HOLD_OUT = 6;
const LEAST_CELLS_TO_FIT = 3;

/** How many values stand for the distribution of a cell of which only quantiles are known. */
const QUANTILE_POINTS = 100;

/** A simulation asks for the same one in every run, and holding each cell out takes as long as a short run. */
const known = new WeakMap<Profile, BaseModel>();

/** @param profile at least one cell; it never changes */
export function baseModel(profile: Profile): BaseModel {
  const model = known.get(profile) ?? fitted(profile);
  known.set(profile, model);
  return model;
}

function fitted(profile: Profile): BaseModel {
  const points = cellPoints(profile, 'p50Ms');
  const coefficients = robustFit(points);
  const noise = medianNoise(profile.cells);
  const heldOut = points.length < LEAST_CELLS_TO_HOLD_OUT ? null : heldOutErrors(points, coefficients, noise);
  // Of one or two cells the fit's four terms cannot be told: the table believes only what must be so.
  const isTableBetter = heldOut === null ? points.length < LEAST_CELLS_TO_FIT : heldOut.table < heldOut.fit;
  const curve = isTableBetter ? new MonotoneTable(points) : new CorrectedFit(coefficients, points, noise);
  return {
    kind: isTableBetter ? 'table' : 'fit',
    curve,
    coefficients,
    heldOut,
    logResiduals: pooledLogResiduals(profile.cells, curve),
  };
}

/** Variance of ln(median of a cell's runs) by chance: π/2 times that of their mean. 0 where no runs are kept. */
function medianNoise(cells: readonly ProfileCell[]): number {
  let [squares, weights] = [0, 0];
  for (const { samplesMs, p50Ms } of cells) {
    const count = samplesMs.length;
    if (count < 2) continue;
    const variance = samplesMs.reduce((sum, each) => sum + Math.log(each / p50Ms) ** 2, 0) / (count - 1);
    squares += ((Math.PI / 2) * variance) / count;
    weights += 1;
  }
  return weights === 0 ? 0 : squares / weights;
}

function heldOutErrors(
  points: readonly LatencyPoint[],
  coefficients: LatencyCoefficients,
  noise: number,
): HeldOutErrors {
  const errorsOf = (curveOf: (seen: readonly LatencyPoint[]) => LatencyCurve): number => {
    const errors = Float64Array.from(points, (unseen) => {
      const curve = curveOf(points.filter((point) => point !== unseen));
      return Math.abs(curve.latencyMs(unseen.batchSize, unseen.cpuMillicores) / unseen.latencyMs - 1);
    });
    return quantile(errors.sort(), 0.5);
  };
  return {
    fit: errorsOf((seen) => new CorrectedFit(robustFit(seen, coefficients), seen, noise)),
    table: errorsOf((seen) => new MonotoneTable(seen)),
  };
}

/**
 * About 20 runs a cell say little about that cell's own p99; those of all cells together do, once each is taken relative
 * to the curve. Where the curve is wrong about a cell its residuals show that too, and widen the plan.
 */
function pooledLogResiduals(cells: readonly ProfileCell[], curve: LatencyCurve): Float64Array {
  const residuals = cells.flatMap((cell) => {
    const typicalMs = curve.latencyMs(cell.batchSize, cell.cpuMillicores);
    const latenciesMs = cell.samplesMs.length > 0 ? cell.samplesMs : latenciesFromQuantiles(cell);
    return latenciesMs.map((latencyMs) => Math.log(latencyMs / typicalMs));
  });
  return Float64Array.from(residuals).sort();
}

/** Evenly spaced ranks of a cell known by its quantiles: p50 below the median, linear between quantiles, p99 beyond. */
function latenciesFromQuantiles({ p50Ms, p95Ms, p99Ms }: ProfileCell): number[] {
  return Array.from({ length: QUANTILE_POINTS }, (_, i) => {
    const q = (i + 0.5) / QUANTILE_POINTS;
    if (q <= 0.5) return p50Ms;
    if (q <= 0.95) return p50Ms + ((q - 0.5) / (0.95 - 0.5)) * (p95Ms - p50Ms);
    return p95Ms + (Math.min(q - 0.95, 0.04) / 0.04) * (p99Ms - p95Ms);
  });
}
