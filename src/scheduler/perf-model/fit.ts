import type { LatencyCurve, LatencyPoint } from './curve.js';
import { leastSquares, nonNegativeLeastSquares, TERM_COUNT, type DesignMatrix } from './least-squares.js';

/*
 * Fits l(b, c) = γ·b/c + ε/c + δ·b + η (Sponge, EuroMLSys '24, latency model) to measured points.
 *
 * `robustFit` is ours. Latencies span 1–1000 ms, so errors are relative: the residual of a point is ln(actual/fitted),
 * which takes twice as slow and twice as fast for equally wrong. Coefficients are ≥ 0, so the fit is monotone in b and c
 * and no extrapolation is negative. Up to a quarter of the points may be wrong (a neighbour's burst while a cell was
 * measured): a least-trimmed-squares start, searched over elemental subsets with concentration steps (Rousseeuw and
 * Van Driessen, "Computing LTS regression for large data sets", 2006), ignores them; Tukey's biweight from there gives
 * the efficiency back. Everything is deterministic.
 *
 * `ordinaryLeastSquares` is the authors' way (unweighted, any sign), kept for the `released` baseline: on YOLOv5s it gives
 * ε < 0, less latency from less CPU when extrapolated, which is why we do not plan with it.
 */

/** In ms, with c in cores. */
export interface LatencyCoefficients {
  /** Work per request that cores share: ms · cores. */
  readonly gamma: number;
  /** Work per batch that cores share: ms · cores. */
  readonly epsilon: number;
  /** Time per request that cores do not shorten: ms. */
  readonly delta: number;
  /** Time per batch that cores do not shorten: ms. */
  readonly eta: number;
}

const MILLICORES_PER_CORE = 1000;

/** The fraction of points that the start must explain; the rest may be anything. Above 1 − 0.2, so that 20 % may be wrong. */
const TRUSTED_FRACTION = 0.75;
/** Fewer points than this leave nothing to outvote a wrong one with: four of them only determine the coefficients. */
const LEAST_TRUSTED_POINTS = 5;
/**
 * Starting subsets. Four points of which 20 % are wrong are all sound with probability 0.8⁴ = 0.41; that none of 30 is
 * has probability 0.59³⁰ < 2e-7.
 */
const START_COUNT = 30;
/** Concentration steps on each start; two tell good starts from bad ones (Rousseeuw and Van Driessen, 2006). */
const STEPS_PER_START = 2;
/** Tukey's biweight: residuals beyond 4.685 deviations do not count; 95 % efficient on clean normal data. */
const BIWEIGHT_CUTOFF = 4.685;
/** Median absolute deviation → standard deviation of a normal distribution. */
const MAD_TO_DEVIATION = 1.4826;
/** No measurement is trusted to be better than this; keeps noise-free input from rejecting its own rounding. */
const LEAST_DEVIATION = 1e-3;
/** Both refinements converge in a few rounds; this bounds them. */
const MOST_ROUNDS = 30;
/** Relative change of the coefficients below which a refinement has converged. */
const CONVERGED = 1e-9;

/**
 * Predicted time to run one batch, in ms. With γ=40 ε=10 δ=2 η=5: b=4 on 2000 millicores → 80 + 5 + 8 + 5 = 98 ms.
 * @param batchSize integer ≥ 1
 * @param cpuMillicores > 0
 */
export function fittedLatencyMs(coefficients: LatencyCoefficients, batchSize: number, cpuMillicores: number): number {
  const cores = cpuMillicores / MILLICORES_PER_CORE;
  const { gamma, epsilon, delta, eta } = coefficients;
  return (gamma * batchSize + epsilon) / cores + delta * batchSize + eta;
}

/** Coefficients as a curve, with the conversion to cores done once: this is on the planner's hot path. */
export class FittedCurve implements LatencyCurve {
  readonly #gammaMillicores: number;
  readonly #epsilonMillicores: number;
  readonly #delta: number;
  readonly #eta: number;

  /** @param coefficients all ≥ 0, or the curve is not monotone */
  constructor(coefficients: LatencyCoefficients) {
    this.#gammaMillicores = coefficients.gamma * MILLICORES_PER_CORE;
    this.#epsilonMillicores = coefficients.epsilon * MILLICORES_PER_CORE;
    this.#delta = coefficients.delta;
    this.#eta = coefficients.eta;
  }

  latencyMs(batchSize: number, cpuMillicores: number): number {
    return (
      (this.#gammaMillicores * batchSize + this.#epsilonMillicores) / cpuMillicores +
      this.#delta * batchSize +
      this.#eta
    );
  }
}

/**
 * Non-negative and robust; see the header. Points that do not determine all coefficients (one batch size, say) are still
 * fitted: terms that they cannot tell apart are left out.
 * @param points at least one, latencies > 0
 * @param known a fit of nearly the same points; starting from it saves the search, and most of the time
 */
export function robustFit(points: readonly LatencyPoint[], known?: LatencyCoefficients): LatencyCoefficients {
  const problem = new RelativeProblem(points);
  const start = known === undefined ? trimmedStart(problem) : concentrated(problem, fromCoefficients(known));
  const deviation = Math.max(MAD_TO_DEVIATION * medianAbsolute(problem.logResiduals(start)), LEAST_DEVIATION);
  return toCoefficients(
    refine(problem, start, (residuals) =>
      residuals.map((residual) => biweight(residual / (BIWEIGHT_CUTOFF * deviation))),
    ),
  );
}

/**
 * Unweighted least squares with coefficients of any sign, as the authors fit (`scipy.optimize.curve_fit` on P99 latencies
 * truncated to whole milliseconds).
 * @returns null when the points do not determine all four coefficients
 */
export function ordinaryLeastSquares(points: readonly LatencyPoint[]): LatencyCoefficients | null {
  const solution = leastSquares(designMatrix(points), latencies(points));
  return solution === null ? null : toCoefficients(solution);
}

/** Least squares on relative errors over one set of points. */
class RelativeProblem {
  readonly size: number;
  readonly #design: DesignMatrix;
  readonly #latencyMs: Float64Array;

  constructor(points: readonly LatencyPoint[]) {
    this.size = points.length;
    this.#design = designMatrix(points);
    this.#latencyMs = latencies(points);
  }

  /**
   * Non-negative least squares of (actual − fitted)/scale.
   * @param importance ≥ 0, one a point
   * @param around coefficients whose predictions are the scale; null: the latencies themselves. Dividing by the
   *   prediction keeps noise from pulling the fit towards the points that happened to be fast.
   */
  solve(importance: Float64Array, around: Float64Array | null): Float64Array {
    const weights = importance.map((value, point) => {
      const scaleMs = around === null ? this.#latencyMs[point]! : this.#fittedMs(around, point);
      return value / (scaleMs * scaleMs);
    });
    return nonNegativeLeastSquares(this.#design, this.#latencyMs, weights);
  }

  /** ln(actual/fitted) of every point; ∞ where the fit is 0. */
  logResiduals(coefficients: Float64Array): Float64Array {
    return this.#latencyMs.map((latencyMs, point) => Math.log(latencyMs / this.#fittedMs(coefficients, point)));
  }

  #fittedMs(coefficients: Float64Array, point: number): number {
    let sum = 0;
    for (let term = 0; term < TERM_COUNT; term++) {
      sum += coefficients[term]! * this.#design[point * TERM_COUNT + term]!;
    }
    return sum;
  }
}

/** Least trimmed squares: the fit whose best `TRUSTED_FRACTION` of points it explains best. */
function trimmedStart(problem: RelativeProblem): Float64Array {
  const trusted = trustedCount(problem);
  const everything = new Float64Array(problem.size).fill(1);
  let best = problem.solve(everything, null);
  if (trusted === problem.size) return best;

  let bestLoss = Infinity;
  const nextIndex = indexSequence(problem.size);
  for (let start = 0; start <= START_COUNT; start++) {
    let coefficients = start === 0 ? best : problem.solve(elementalSubset(problem.size, nextIndex), null);
    let residuals = problem.logResiduals(coefficients);
    for (let step = 0; step < STEPS_PER_START && residuals.every(Number.isFinite); step++) {
      coefficients = problem.solve(closest(residuals, trusted), coefficients);
      residuals = problem.logResiduals(coefficients);
    }
    const loss = trimmedLoss(residuals, trusted);
    if (loss < bestLoss) {
      best = coefficients;
      bestLoss = loss;
    }
  }
  return concentrated(problem, best);
}

/** Refits to the points that are explained best until they stay the same. */
function concentrated(problem: RelativeProblem, start: Float64Array): Float64Array {
  const trusted = trustedCount(problem);
  return refine(problem, start, (residuals) => closest(residuals, trusted));
}

function trustedCount({ size }: RelativeProblem): number {
  return Math.min(size, Math.max(Math.ceil(TRUSTED_FRACTION * size), LEAST_TRUSTED_POINTS));
}

/** Solves again and again with the importance that the last residuals give each point, until the fit stays. */
function refine(
  problem: RelativeProblem,
  start: Float64Array,
  importanceOf: (residuals: Float64Array) => Float64Array,
): Float64Array {
  let coefficients = start;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const next = problem.solve(importanceOf(problem.logResiduals(coefficients)), coefficients);
    const hasConverged = next.every((value, term) => Math.abs(value - coefficients[term]!) <= CONVERGED * value);
    coefficients = next;
    if (hasConverged) break;
  }
  return coefficients;
}

/** Importance 1 for as many distinct points as there are terms, 0 for the others. */
function elementalSubset(size: number, nextIndex: () => number): Float64Array {
  const importance = new Float64Array(size);
  for (let chosen = 0; chosen < TERM_COUNT;) {
    const index = nextIndex();
    if (importance[index] === 1) continue;
    importance[index] = 1;
    chosen++;
  }
  return importance;
}

/** A fixed, even-handed sequence of indices: the linear congruential generator of Numerical Recipes, high bits. */
function indexSequence(size: number): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * size);
  };
}

/** Importance 1 for the `count` points of least |residual| (and any that tie with the last of them). */
function closest(residuals: Float64Array, count: number): Float64Array {
  const limit = residuals.map(Math.abs).sort()[count - 1]!;
  return residuals.map((residual) => (Math.abs(residual) <= limit ? 1 : 0));
}

function trimmedLoss(residuals: Float64Array, count: number): number {
  const squares = residuals.map((residual) => residual * residual).sort();
  let sum = 0;
  for (let rank = 0; rank < count; rank++) sum += squares[rank]!;
  return sum;
}

function biweight(fractionOfCutoff: number): number {
  const rest = 1 - fractionOfCutoff * fractionOfCutoff;
  return rest > 0 ? rest * rest : 0;
}

function medianAbsolute(values: Float64Array): number {
  const sorted = values.map(Math.abs).sort();
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

function designMatrix(points: readonly LatencyPoint[]): DesignMatrix {
  const design = new Float64Array(points.length * TERM_COUNT);
  points.forEach(({ batchSize, cpuMillicores }, point) => {
    const cores = cpuMillicores / MILLICORES_PER_CORE;
    design.set([batchSize / cores, 1 / cores, batchSize, 1], point * TERM_COUNT);
  });
  return design;
}

function latencies(points: readonly LatencyPoint[]): Float64Array {
  return Float64Array.from(points, (point) => point.latencyMs);
}

function toCoefficients(terms: Float64Array): LatencyCoefficients {
  return { gamma: terms[0]!, epsilon: terms[1]!, delta: terms[2]!, eta: terms[3]! };
}

function fromCoefficients({ gamma, epsilon, delta, eta }: LatencyCoefficients): Float64Array {
  return Float64Array.of(gamma, epsilon, delta, eta);
}
