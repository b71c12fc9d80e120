import { choleskyFactor, solveLower } from './cholesky.js';
import type { LatencyPoint } from './curve.js';
import type { LatencyCoefficients } from './fit.js';
import { nonNegativeMinimum } from './non-negative.js';
import { ELEMENT_TERM, FIRST_SQUARED_TERM, SHAPE_TERM_COUNT, type ShapeTerms } from './shape-terms.js';

/*
 * Latency over shapes: one surface that all classes of a model teach together, in memory that does not grow with them.
 *
 *     l(rows, c, shape) = ε/c + η + rows · Σ φ_k(shape) · (γ_k/c + δ_k)        c in cores, φ: `shape-terms.ts`
 *
 * so for each shape it is the four-term form of the fit, with its own γ and δ and a fixed cost that all share. Coefficients are
 * ≥ 0: latency falls with no size and rises with no core.
 *
 * It is a Bayesian regression, updated batch by batch. Errors are relative to what a batch really took (1/l² weights), which
 * also makes it robust: a batch that stalled for twenty times as long weighs 1/400. What is believed at first is that costs
 * follow the elements, with whatever fixed cost the profile shows; the profile's cells are held as evidence for ever, so that
 * the surface means latencies of the machine as it was when profiled. How fast the machine is now is not its business.
 *
 * Old batches give way to new ones only in the direction that the new one speaks of (directional forgetting: Cao and Schwartz,
 * "A directional forgetting algorithm based on the decomposition of the information matrix", 2000). What was learnt about
 * shapes that have not been seen for long stays.
 *
 * It also says how sure it is: the posterior's deviation, with the noise estimated from what it mispredicts. Squares are held to
 * matter at the largest shape seen at most about half as much as linear terms, so that two sizes seen are joined by a line rather
 * than a parabola; beyond the largest seen they are what makes it unsure.
 *
 * Rejected: scaling the profiled class's curve (no fixed cost: what is 128 times as large is taken for 128 times as slow, and the
 * way batches save is that of the profiled shape), and nearest neighbours (clients choose shapes; memory would grow with them).
 */

/** A fixed cost, and a cost a row for each term of the shape; each shared by cores and not. */
const SIZE = 2 + 2 * SHAPE_TERM_COUNT;
const EVERYTHING = (1 << SIZE) - 1;

/** Batches that outweigh an older one of the same kind. */
const MEMORY_BATCHES = 1024;
/** Relative deviation of a batch from the surface before any was seen, and what that is worth, in batches. */
const FIRST_DEVIATION = 0.15;
const FIRST_DEVIATION_WEIGHT = 4;
/** The squares' prior deviation, relative to the linear terms', at the largest shape seen. */
const SQUARES_SHARE = 0.5;
/** Without batches of several the profile cannot tell what is fixed; half of it is taken to be. */
const FIXED_SHARE = 0.5;
/** A batch this much faster than predicted is taken for one of that speed, not more; where the surface is sure of itself. */
const GREATEST_SURPRISE = Math.log(3);
/** Of what the data say of a coefficient, beside its prior: keeps coefficients that cannot be told apart computable. */
const RIDGE = 1e-9;
/** Where that is not enough, for rounding, it grows. */
const RIDGE_GROWTH = 100;
const GREATEST_RIDGE = 1;
/** Latencies that a machine may have, ms; what is beyond is taken for the nearest of them. */
const LEAST_MS = 1e-4;
const GREATEST_MS = 1e8;
/** Relative to the parts of a sum of opposite signs: what rounding leaves of nothing. */
const ROUNDING = 1e-10;

/** What the surface says of one shape. */
export interface ShapeEstimate extends LatencyCoefficients {
  /** Relative deviation of one row's latency, as the surface is unsure of it, at the allocations asked for; ≥ 0. */
  readonly deviations: readonly number[];
}

interface Solution {
  readonly coefficients: Float64Array;
  /** Of the posterior's precision, lower. */
  readonly factor: Float64Array;
}

export class ShapeSurface {
  /** Prior: mean, and the profile's batch of one on one core, which is the unit of its deviations. */
  readonly #mean: Float64Array;
  readonly #unitMs: number;
  /** Of the profile's cells, and of batches. */
  readonly #profiled = new Evidence();
  readonly #seen = new Evidence();
  readonly #largest = new Float64Array(SHAPE_TERM_COUNT).fill(1);
  #batches = 0;
  #deviationSum = FIRST_DEVIATION_WEIGHT * FIRST_DEVIATION * FIRST_DEVIATION;
  #deviationWeight = FIRST_DEVIATION_WEIGHT;
  #version = 0;
  #solution: Solution | null = null;
  #support = EVERYTHING;

  /** @param points typical latencies of the profiled shape, at least one; `coefficients` were fitted to them */
  constructor(points: readonly LatencyPoint[], coefficients: LatencyCoefficients) {
    const { gamma, epsilon, delta, eta } = coefficients;
    this.#unitMs = gamma + epsilon + delta + eta;
    const isSplit = new Set(points.map((point) => point.batchSize)).size > 1;
    const [fixedShared, rowShared] = isSplit ? [epsilon, gamma] : halves(gamma + epsilon);
    const [fixedSingle, rowSingle] = isSplit ? [eta, delta] : halves(delta + eta);
    this.#mean = new Float64Array(SIZE);
    this.#mean.set([fixedShared, fixedSingle]);
    this.#mean.set([rowShared, rowSingle], 2 + 2 * ELEMENT_TERM);
    const profiledShape = new Float64Array(SHAPE_TERM_COUNT).fill(1);
    for (const { batchSize, cpuMillicores, latencyMs } of points) {
      this.#profiled.add(features(profiledShape, batchSize, cpuMillicores), latencyMs, latencyMs);
    }
  }

  /** Changes with every batch. */
  get version(): number {
    return this.#version;
  }

  /** Deviations on either side of an estimate that leave one in forty beyond each: Student's t for the batches seen, to 10 %. */
  get confidence(): number {
    const freedom = this.#batches + 2;
    return 1.96 + 2.4 / freedom + 3 / (freedom * freedom);
  }

  /** What another surface was taught, with latencies of another machine, `factor` times as long here. */
  learnFrom(other: ShapeSurface, factor: number): void {
    this.#seen.takeScaled(other.#seen, factor);
    this.#largest.set(other.#largest);
    this.#batches = other.#batches;
    this.#deviationSum = other.#deviationSum;
    this.#deviationWeight = other.#deviationWeight;
    this.#changed();
  }

  /**
   * One finished batch.
   * @param observedMs as it would have been on the machine as it was profiled, > 0
   */
  observe(terms: ShapeTerms, rowCount: number, cpuMillicores: number, observedMs: number): void {
    const latencyMs = Math.min(GREATEST_MS, Math.max(LEAST_MS, observedMs));
    const x = features(terms, rowCount, cpuMillicores);
    const { coefficients, factor } = this.#solved();
    const predictedMs = dot(coefficients, x);
    const spread = spreadOf(factor, x);
    const surprise = Math.log(latencyMs / predictedMs);
    const bounded = Math.max(-GREATEST_SURPRISE, Math.min(GREATEST_SURPRISE, surprise));
    const leverage = (spread / latencyMs) ** 2;
    this.#learnDeviation((bounded * bounded) / (1 + leverage));
    const unsure = (this.confidence * this.deviation * spread) / predictedMs;
    const leastMs = predictedMs * Math.exp(-GREATEST_SURPRISE - unsure);
    this.#seen.forgetAlong(x, 1 / MEMORY_BATCHES);
    this.#seen.add(x, latencyMs, Math.max(latencyMs, leastMs));
    for (let term = 0; term < SHAPE_TERM_COUNT; term++) {
      this.#largest[term] = Math.max(this.#largest[term]!, terms[term]!);
    }
    this.#batches += 1;
    this.#changed();
  }

  /**
   * @param askedMillicores allocations at which to say how unsure it is of one row
   * @returns a surface over rows and CPU for this shape
   */
  estimate(terms: ShapeTerms, askedMillicores: readonly number[]): ShapeEstimate {
    const { coefficients, factor } = this.#solved();
    let gamma = 0;
    let delta = 0;
    for (let term = 0; term < SHAPE_TERM_COUNT; term++) {
      gamma += terms[term]! * coefficients[2 + 2 * term]!;
      delta += terms[term]! * coefficients[3 + 2 * term]!;
    }
    const noise = this.deviation;
    const deviations = askedMillicores.map((cpuMillicores) => {
      fillFeatures(scratch, terms, 1, cpuMillicores);
      const typicalMs = dot(coefficients, scratch);
      solveLower(factor, scratch);
      return (noise * Math.sqrt(dot(scratch, scratch))) / typicalMs;
    });
    return { gamma, epsilon: coefficients[0]!, delta, eta: coefficients[1]!, deviations };
  }

  /** Of this shape, what does not exceed anything seen; null where that is all of it. */
  withinSeen(terms: ShapeTerms): ShapeTerms | null {
    const largest = this.#largest;
    if (terms.every((value, term) => value <= largest[term]!)) return null;
    return terms.map((value, term) => Math.min(value, largest[term]!));
  }

  /** Relative, of a batch around the surface where that is known. */
  get deviation(): number {
    return Math.sqrt(this.#deviationSum / this.#deviationWeight);
  }

  #learnDeviation(square: number): void {
    const kept = this.#deviationWeight < MEMORY_BATCHES ? 1 : 1 - 1 / MEMORY_BATCHES;
    this.#deviationSum = kept * this.#deviationSum + square;
    this.#deviationWeight = kept * this.#deviationWeight + 1;
  }

  #changed(): void {
    this.#version += 1;
    this.#solution = null;
  }

  #solved(): Solution {
    let solution = this.#solution ?? this.#solve();
    if (solution === null) {
      // Rounding has eaten what was learnt, which only latencies of no real machine have brought about. The profile remains.
      this.#seen.clear();
      solution = this.#solve();
    }
    if (solution === null) throw new Error('shape surface: the profile and the prior are not positive definite');
    this.#solution = solution;
    return solution;
  }

  /** Null where no ridge makes it positive definite. */
  #solve(): Solution | null {
    const matrix = new Float64Array(SIZE * SIZE);
    const moments = new Float64Array(SIZE);
    this.#profiled.addTo(matrix, moments);
    this.#seen.addTo(matrix, moments);
    const known = Float64Array.from({ length: SIZE }, (_, i) => Math.max(0, matrix[i * SIZE + i]!));
    let added = new Float64Array(SIZE);
    for (let ridge = RIDGE; ridge <= GREATEST_RIDGE; ridge *= RIDGE_GROWTH) {
      const precision = known.map((value, i) => (FIRST_DEVIATION / this.#priorDeviationMs(i)) ** 2 + ridge * value);
      for (let i = 0; i < SIZE; i++) {
        const more = precision[i]! - added[i]!;
        matrix[i * SIZE + i]! += more;
        moments[i]! += more * this.#mean[i]!;
      }
      added = precision;
      const factor = choleskyFactor(matrix, SIZE, EVERYTHING);
      if (factor === null) continue;
      const { x, support } = nonNegativeMinimum(matrix, moments, this.#support);
      this.#support = support;
      return { coefficients: x, factor };
    }
    return null;
  }

  #priorDeviationMs(coefficient: number): number {
    const term = (coefficient >> 1) - 1;
    if (term < FIRST_SQUARED_TERM) return this.#unitMs;
    return (SQUARES_SHARE * this.#unitMs) / Math.sqrt(this.#largest[term]!);
  }
}

/** Weighted sums of x·xᵀ and x·y: what a set of batches says of the coefficients. */
class Evidence {
  readonly #gram = new Float64Array(SIZE * SIZE);
  readonly #moments = new Float64Array(SIZE);

  /** @param scaleMs what an error is relative to */
  add(x: Float64Array, latencyMs: number, scaleMs: number): void {
    const weight = 1 / (scaleMs * scaleMs);
    for (let i = 0; i < SIZE; i++) {
      const weighted = weight * x[i]!;
      this.#moments[i]! += weighted * latencyMs;
      for (let j = 0; j < SIZE; j++) this.#gram[i * SIZE + j]! += weighted * x[j]!;
    }
  }

  /** Takes a share of what is known in the direction of x away, and of nothing else. */
  forgetAlong(x: Float64Array, share: number): void {
    const along = new Float64Array(SIZE);
    let parts = 0;
    for (let i = 0; i < SIZE; i++) {
      for (let j = 0; j < SIZE; j++) {
        const part = this.#gram[i * SIZE + j]! * x[j]!;
        along[i]! += part;
        parts += Math.abs(part) * x[i]!;
      }
    }
    const known = dot(x, along);
    if (!(known > ROUNDING * parts)) return;
    const factor = share / known;
    const said = factor * dot(x, this.#moments);
    for (let i = 0; i < SIZE; i++) {
      this.#moments[i]! -= said * along[i]!;
      for (let j = 0; j < SIZE; j++) this.#gram[i * SIZE + j]! -= factor * along[i]! * along[j]!;
    }
  }

  clear(): void {
    this.#gram.fill(0);
    this.#moments.fill(0);
  }

  /** The same batches, had each taken `factor` times as long: relative errors weigh as before. */
  takeScaled(other: Evidence, factor: number): void {
    for (let at = 0; at < this.#gram.length; at++) this.#gram[at] = other.#gram[at]! / (factor * factor);
    for (let at = 0; at < SIZE; at++) this.#moments[at] = other.#moments[at]! / factor;
  }

  addTo(matrix: Float64Array, moments: Float64Array): void {
    for (let at = 0; at < matrix.length; at++) matrix[at]! += this.#gram[at]!;
    for (let at = 0; at < SIZE; at++) moments[at]! += this.#moments[at]!;
  }
}

/** Of the running call; nothing outlives it. Estimates are made for every class that waits, after every batch. */
const scratch = new Float64Array(SIZE);

function features(terms: ShapeTerms, rowCount: number, cpuMillicores: number): Float64Array {
  const x = new Float64Array(SIZE);
  fillFeatures(x, terms, rowCount, cpuMillicores);
  return x;
}

/** `[1/c, 1, rows·φ₀/c, rows·φ₀, rows·φ₁/c, …]` */
function fillFeatures(x: Float64Array, terms: ShapeTerms, rowCount: number, cpuMillicores: number): void {
  const perCore = 1000 / cpuMillicores;
  x[0] = perCore;
  x[1] = 1;
  for (let term = 0; term < SHAPE_TERM_COUNT; term++) {
    const cost = rowCount * terms[term]!;
    x[2 + 2 * term] = cost * perCore;
    x[3 + 2 * term] = cost;
  }
}

/** √(xᵀ·matrix⁻¹·x), from the matrix's factor. */
function spreadOf(factor: Float64Array, x: Float64Array): number {
  const solved = x.slice();
  solveLower(factor, solved);
  return Math.sqrt(dot(solved, solved));
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function halves(sum: number): [number, number] {
  return [FIXED_SHARE * sum, (1 - FIXED_SHARE) * sum];
}
