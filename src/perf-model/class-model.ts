import type { LatencyModel } from '../domain/latency.js';
import type { LatencyCurve } from './curve.js';
import { SlidingWindow } from './sliding-window.js';

/*
 * The latency model of one shape class: the profile's curve, times a scale and a p99 factor that follow the batches that
 * really ran.
 *
 * - Scale: the median of the last 21 ratios of actual latency to the curve. A step in the machine's speed is followed
 *   after 11 batches, and one stalled or cold run moves it by half a rank, which no moving average with a bounded step
 *   achieves at once.
 * - p99 factor: the second largest of the last 199 ratios of actual latency to scale. For exchangeable batches the next
 *   one exceeds the second largest of 199 with probability exactly 2/200 = 1 %, whatever their distribution. The window
 *   starts out full of the profile's own residuals, which give way lowest first, so the factor cannot fall before there
 *   is evidence.
 *
 * - Guard: what experience adds to both. The p99 is right for batches that are exchangeable; spells of slowness are not, nor is
 *   a deadline missed for another reason. A batch that was started early enough by the plan and still missed deadlines raises
 *   the guard by a step, every one that did not lowers it by the target's share of a step: the quantile tracking of conformal
 *   prediction (Angelopoulos, Candès & Tibshirani, "Conformal PID control for time series prediction", 2023). As the guard
 *   stays within its limits, the share of n such batches that miss is at most the target + limit / (step · n), whatever the
 *   latencies do, as long as the limit is enough.
 *
 * A residual is what the prediction in force really missed by, lag included. Where the machine's speed wanders, that is
 * what has to be planned for: residuals from a scale smoothed afterwards let 7 % of batches exceed the plan under
 * strongly autocorrelated noise, instead of 1 %. The price is that a lasting step counts as noise for one window.
 */

const SCALE_WINDOW = 21;
export const TAIL_WINDOW = 199;
const TAIL_RANK = 2;
/**
 * A batch more than three times slower than those around it was a stall, not a latency to plan with. Two of them in 199
 * would otherwise make every request infeasible: no batch would run, and so none could correct it.
 */
const GREATEST_LOG_RESIDUAL = Math.log(3);

/** One missed batch adds 5 % to what is planned with; at a target of 1 %, 99 kept ones take it back. */
const GUARD_STEP = 0.05;
/** Twice the planned latency; more would refuse nearly everything. */
const GREATEST_GUARD = Math.log(2);

/** What each `relax` leaves of a correction upwards: less than half of it after seven. One batch restores it all. */
const KEPT_BY_RELAXING = 0.9;

/** What a class is taken to be before its own batches have spoken. */
export interface Prior {
  /** Typical latency of the profiled class. */
  readonly curve: LatencyCurve;
  /** ln(this class's latency / the curve). */
  readonly logScale: number;
  /** The least that ln(latency / curve) can reasonably be: how far `relax` goes. */
  readonly leastLogScale: number;
  /** How many batches must disagree with `logScale` before they are believed; less than `SCALE_WINDOW`. */
  readonly strength: number;
  /** ln(actual / typical), `TAIL_WINDOW` values, ascending. */
  readonly logResiduals: readonly number[];
  /** Of batches that the plan expected to be in time, the share that may miss deadlines. */
  readonly targetMissRate: number;
}

export class ClassModel implements LatencyModel {
  #curve!: LatencyCurve;
  #scales!: SlidingWindow;
  #residuals!: SlidingWindow;
  #observations = 0;
  #leastLogScale = 0;
  #leastLogTail = 0;
  #targetMissRate = 0;
  #guard = 0;
  /** 1 right after a batch; how much of a correction upwards is believed. */
  #trust = 1;
  #logScale = 0;
  #predictedFactor = 1;
  #plannedFactor = 1;

  constructor(prior: Prior) {
    this.restart(prior);
  }

  /** ln(predicted latency / the curve). */
  get logScale(): number {
    return this.#logScale;
  }

  predictedLatencyMs(batchSize: number, cpuMillicores: number): number {
    return this.#curve.latencyMs(batchSize, cpuMillicores) * this.#predictedFactor;
  }

  plannedLatencyMs(batchSize: number, cpuMillicores: number): number {
    return this.#curve.latencyMs(batchSize, cpuMillicores) * this.#plannedFactor;
  }

  /** Well measured, or led back by `relax`: what is planned with is what may refuse. */
  leastLatencyMs(batchSize: number, cpuMillicores: number): number {
    return this.plannedLatencyMs(batchSize, cpuMillicores);
  }

  /** Forgets what was learnt. */
  restart(prior: Prior): void {
    this.#curve = prior.curve;
    this.#scales = new SlidingWindow(
      SCALE_WINDOW,
      Array.from({ length: prior.strength }, () => prior.logScale),
    );
    this.#residuals = new SlidingWindow(TAIL_WINDOW, prior.logResiduals);
    this.#observations = 0;
    this.#guard = 0;
    this.#targetMissRate = prior.targetMissRate;
    this.#leastLogScale = prior.leastLogScale;
    this.#leastLogTail = this.#learnedLogTail();
    this.#trust = 1;
    this.#updateFactors();
  }

  /**
   * @param actualToPredicted > 0, relative to `predictedLatencyMs` as it is now
   * @param missedFraction of the members that the plan expected to be in time, those that were late; null without such
   */
  observe(actualToPredicted: number, missedFraction: number | null): void {
    const logScale = this.#logScale + Math.log(actualToPredicted);
    const logResidual = logScale - this.#scales.median();
    this.#scales.push(logScale);
    // Until the scale is its own, a class's residuals say how wrong the prior was, not how much its batches scatter.
    if (++this.#observations > SCALE_WINDOW) this.#residuals.push(Math.min(logResidual, GREATEST_LOG_RESIDUAL));
    if (missedFraction !== null) {
      const guard = this.#guard + GUARD_STEP * (missedFraction - this.#targetMissRate);
      this.#guard = Math.min(GREATEST_GUARD, Math.max(0, guard));
    }
    this.#trust = 1;
    this.#updateFactors();
  }

  /**
   * Believes a little less in corrections upwards, until the next batch. A model that has come to think that nothing can be
   * on time would otherwise never see the batch that corrects it.
   */
  relax(): void {
    this.#trust *= KEPT_BY_RELAXING;
    this.#updateFactors();
  }

  #updateFactors(): void {
    this.#logScale = this.#trusted(this.#scales.median(), this.#leastLogScale);
    this.#predictedFactor = Math.exp(this.#logScale);
    const logTail = this.#trusted(this.#learnedLogTail() + this.#guard, this.#leastLogTail);
    this.#plannedFactor = Math.exp(this.#logScale + logTail);
  }

  #trusted(learned: number, least: number): number {
    return learned > least ? least + this.#trust * (learned - least) : learned;
  }

  #learnedLogTail(): number {
    return Math.max(0, this.#residuals.largest(TAIL_RANK));
  }
}
