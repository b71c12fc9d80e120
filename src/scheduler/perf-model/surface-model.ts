import type { LatencyModel } from '../domain/latency.js';
import { Correction, type Prior } from './correction.js';
import type { ShapeSurface } from './shape-surface.js';
import type { ShapeTerms } from './shape-terms.js';

/*
 * The latency model of a class that was not profiled: what the surface over shapes says of it. It is corrected as all such
 * classes are (`shared`), until it has been seen often enough for a correction of its own.
 *
 * - Predicted: the surface, as slow as the machine is now.
 * - Planned: wider by what the surface is unsure of. What was never measured is planned with care: alone, on much CPU.
 * - Least, which alone may refuse: narrower by the same. Where the shape exceeds all that was seen, it is not below what the part
 *   of it that was seen is planned with, since more is not faster.
 */

/** Planning does not take more than four times the prediction for a guess; the largest allocation is granted long before. */
const GREATEST_LOG_DOUBT = Math.log(4);
/** Its own batches after which a class is corrected by itself. Before, 3.5 KB would be lost on what may never come again. */
const BATCHES_TO_OWN = 8;
/** Own batches, of the first ones, that must disagree with the shared correction before they are believed. */
const OWN_STRENGTH = 2;

/** What classes share. */
export interface SharedBelief {
  readonly surface: ShapeSurface;
  readonly correction: Correction;
  /** Allocations at which it matters how unsure the surface is: where batches run, and the largest, by which requests are refused. */
  readonly typicalMillicores: number;
  readonly largestMillicores: number;
  readonly targetMissRate: number;
}

export class SurfaceModel implements LatencyModel {
  readonly terms: ShapeTerms;
  readonly #shared: SharedBelief;
  #own: Correction | null = null;
  #batches = 0;

  // As the surface was when it was asked last.
  #surfaceVersion = -1;
  #correctionVersion = -1;
  #gamma = 0;
  #epsilon = 0;
  #delta = 0;
  #eta = 0;
  #predictedFactor = 1;
  #plannedFactor = 1;
  #leastFactor = 1;
  /** Times the latency of what is like something seen. */
  #floor: { readonly gamma: number; readonly epsilon: number; readonly delta: number; readonly eta: number } | null =
    null;
  #floorFactor = 0;

  constructor(terms: ShapeTerms, shared: SharedBelief) {
    this.terms = terms;
    this.#shared = shared;
  }

  /** Whether it has a correction of its own, which takes memory. */
  get isExact(): boolean {
    return this.#own !== null;
  }

  predictedLatencyMs(batchSize: number, cpuMillicores: number): number {
    this.#refresh();
    return this.#predictedFactor * this.#surfaceMs(batchSize, cpuMillicores);
  }

  plannedLatencyMs(batchSize: number, cpuMillicores: number): number {
    this.#refresh();
    return this.#plannedFactor * this.#surfaceMs(batchSize, cpuMillicores);
  }

  leastLatencyMs(batchSize: number, cpuMillicores: number): number {
    this.#refresh();
    const leastMs = this.#leastFactor * this.#surfaceMs(batchSize, cpuMillicores);
    if (this.#floor === null) return leastMs;
    const floorMs = this.#floorFactor * latencyMs(this.#floor, batchSize, cpuMillicores);
    return Math.min(this.plannedLatencyMs(batchSize, cpuMillicores), Math.max(leastMs, floorMs));
  }

  /** Latency of a batch by the surface alone: on the machine as it was profiled. */
  surfaceLatencyMs(batchSize: number, cpuMillicores: number): number {
    this.#refresh();
    return this.#surfaceMs(batchSize, cpuMillicores);
  }

  /** How unsure the surface is of a batch of one where batches run: relative deviation. */
  get deviation(): number {
    const { surface, typicalMillicores } = this.#shared;
    return surface.estimate(this.terms, [typicalMillicores]).deviations[0]!;
  }

  /** One more batch of this class, which the shared correction has been told of or not. @param logRatio ln(actual / surface) */
  observe(logRatio: number, missedFraction: number | null): void {
    this.#batches += 1;
    this.#correctionVersion = -1;
    if (this.#own !== null) this.#own.observe(logRatio, missedFraction);
    else if (this.#batches >= BATCHES_TO_OWN) this.#own = new Correction(this.#ownPrior());
  }

  /** Gives the memory of its own correction back. */
  forgetOwn(): void {
    this.#own = null;
    this.#batches = 0;
    this.#correctionVersion = -1;
  }

  #ownPrior(): Prior {
    const { correction, targetMissRate } = this.#shared;
    const { logScale, logResiduals } = correction;
    return { logScale, strength: OWN_STRENGTH, logResiduals, targetMissRate };
  }

  #surfaceMs(batchSize: number, cpuMillicores: number): number {
    return ((this.#gamma * batchSize + this.#epsilon) * 1000) / cpuMillicores + this.#delta * batchSize + this.#eta;
  }

  #refresh(): void {
    const { surface, correction } = this.#shared;
    const version = (this.#own ?? correction).version;
    if (surface.version === this.#surfaceVersion && version === this.#correctionVersion) return;
    const { typicalMillicores, largestMillicores } = this.#shared;
    const estimate = surface.estimate(this.terms, [typicalMillicores, largestMillicores]);
    const previousMs = this.#surfaceMs(1, typicalMillicores);
    ({ gamma: this.#gamma, epsilon: this.#epsilon, delta: this.#delta, eta: this.#eta } = estimate);
    if (this.#surfaceVersion !== -1) this.#own?.rebase(Math.log(this.#surfaceMs(1, typicalMillicores) / previousMs));
    this.#surfaceVersion = surface.version;
    this.#correctionVersion = (this.#own ?? correction).version;
    if (this.#own !== null) this.#refreshExact(this.#own);
    else this.#refreshShared(correction, estimate.deviations);
  }

  /** Measured often: nothing is unsure. */
  #refreshExact(own: Correction): void {
    this.#predictedFactor = own.predictedFactor;
    this.#plannedFactor = own.plannedFactor;
    this.#leastFactor = own.leastFactor;
    this.#floor = null;
  }

  #refreshShared(correction: Correction, deviations: readonly number[]): void {
    const { surface, largestMillicores } = this.#shared;
    const { logScale, logTail, logLeast } = correction;
    const { confidence } = surface;
    const doubt = Math.min(GREATEST_LOG_DOUBT, confidence * deviations[0]!);
    const plannedLog = logScale + Math.hypot(logTail, doubt);
    const leastLogOf = (deviation: number): number => logScale + logLeast - confidence * deviation;
    this.#predictedFactor = correction.predictedFactor;
    this.#plannedFactor = Math.exp(plannedLog);
    this.#leastFactor = Math.exp(leastLogOf(deviations[1]!));
    const seen = surface.withinSeen(this.terms);
    this.#floor = seen === null ? null : surface.estimate(seen, [largestMillicores]);
    if (this.#floor === null || seen === null) return;
    const [deviation] = surface.estimate(seen, [largestMillicores]).deviations;
    this.#floorFactor = Math.exp(leastLogOf(deviation!));
  }
}

function latencyMs(
  curve: { readonly gamma: number; readonly epsilon: number; readonly delta: number; readonly eta: number },
  batchSize: number,
  cpuMillicores: number,
): number {
  return ((curve.gamma * batchSize + curve.epsilon) * 1000) / cpuMillicores + curve.delta * batchSize + curve.eta;
}
