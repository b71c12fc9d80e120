import { cellPoints, type LatencyPoint } from '../../src/scheduler/perf-model/curve.js';
import {
  fittedLatencyMs,
  ordinaryLeastSquares,
  robustFit,
  type LatencyCoefficients,
} from '../../src/scheduler/perf-model/fit.js';
import { publishedProfile } from '../../src/scheduler/perf-model/published.js';
import { FITS, type PublishedFit } from './published.js';
import { meanOf } from './spread.js';

/* l(b, c) = γ·b/c + δ·b + ε/c + η fitted to the authors' profiles as they fit it, beside the coefficients that are known. */

export interface FitQuality {
  readonly r2: number;
  /** |fitted / measured − 1|, mean and largest. */
  readonly meanErrorPercent: number;
  readonly maxErrorPercent: number;
}

export interface LatencyFit extends FitQuality {
  readonly published: PublishedFit;
  /** Whole ms, as they were fitted. */
  readonly points: readonly LatencyPoint[];
  readonly coefficients: LatencyCoefficients;
  /** Of the fit that our server plans with: relative errors, coefficients ≥ 0. */
  readonly robust: FitQuality & { readonly coefficients: LatencyCoefficients };
}

export function latencyFits(): LatencyFit[] {
  return FITS.map((published) => {
    const points = fittedPoints(published);
    const coefficients = ordinaryLeastSquares(points);
    if (coefficients === null) throw new Error(`${published.title}: its points do not determine a fit`);
    const robust = robustFit(points);
    return {
      published,
      points,
      coefficients,
      ...qualityOf(coefficients, points),
      robust: { coefficients: robust, ...qualityOf(robust, points) },
    };
  });
}

/** The table's cells, corrected where the authors' list is otherwise, cut to whole ms. */
function fittedPoints({ profile, quantile, corrections }: PublishedFit): LatencyPoint[] {
  return cellPoints(publishedProfile(profile), quantile).map((point) => {
    const correction = corrections.find(
      ({ batchSize, cores }) => batchSize === point.batchSize && cores * 1000 === point.cpuMillicores,
    );
    return { ...point, latencyMs: Math.trunc(correction?.latencyMs ?? point.latencyMs) };
  });
}

function qualityOf(coefficients: LatencyCoefficients, points: readonly LatencyPoint[]): FitQuality {
  const mean = meanOf(points.map(({ latencyMs }) => latencyMs));
  let unexplained = 0;
  let total = 0;
  const errors = points.map(({ batchSize, cpuMillicores, latencyMs }) => {
    const fittedMs = fittedLatencyMs(coefficients, batchSize, cpuMillicores);
    unexplained += (latencyMs - fittedMs) ** 2;
    total += (latencyMs - mean) ** 2;
    return 100 * Math.abs(fittedMs / latencyMs - 1);
  });
  return { r2: 1 - unexplained / total, meanErrorPercent: meanOf(errors), maxErrorPercent: Math.max(...errors) };
}

export const TERMS = ['gamma', 'delta', 'epsilon', 'eta'] as const;

/** The largest difference between our coefficients and the known ones, in units of the last digit that is known. */
export function lastDigitsOff({ published, coefficients }: LatencyFit): number {
  const unit = 10 ** -published.decimals;
  return Math.max(...TERMS.map((term) => Math.abs(coefficients[term] - published.coefficients[term]) / unit));
}
