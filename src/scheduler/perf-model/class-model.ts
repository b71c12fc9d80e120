import type { LatencyModel } from '../domain/latency.js';
import { Correction, type Prior } from './correction.js';
import type { LatencyCurve } from './curve.js';

/** The latency model of the class that was profiled: the profile's curve, corrected by the batches that really ran. */
export class ClassModel implements LatencyModel {
  readonly #curve: LatencyCurve;
  readonly #correction: Correction;

  /** @param curve typical latency as it was profiled */
  constructor(curve: LatencyCurve, prior: Prior) {
    this.#curve = curve;
    this.#correction = new Correction(prior);
  }

  /** ln(predicted latency / the curve). */
  get logScale(): number {
    return this.#correction.logScale;
  }

  predictedLatencyMs(batchSize: number, cpuMillicores: number): number {
    return this.#curve.latencyMs(batchSize, cpuMillicores) * this.#correction.predictedFactor;
  }

  plannedLatencyMs(batchSize: number, cpuMillicores: number): number {
    return this.#curve.latencyMs(batchSize, cpuMillicores) * this.#correction.plannedFactor;
  }

  /** It was measured: but for chance, what is planned with is what may refuse. */
  leastLatencyMs(batchSize: number, cpuMillicores: number): number {
    return this.#curve.latencyMs(batchSize, cpuMillicores) * this.#correction.leastFactor;
  }

  /** What it is asked for takes longer by this factor's logarithm, and what was seen does not. */
  rebase(logFactor: number): void {
    this.#correction.rebase(logFactor);
  }

  /**
   * @param actualToPredicted > 0, relative to `predictedLatencyMs` as it is now
   * @param missedFraction of the members that the plan expected to be in time, those that were late; null without such
   */
  observe(actualToPredicted: number, missedFraction: number | null): void {
    this.#correction.observe(this.#correction.logScale + Math.log(actualToPredicted), missedFraction);
  }
}
