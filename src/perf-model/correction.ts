import { SlidingWindow } from './sliding-window.js';

/*
 * What batches that really ran teach about a latency curve: a scale and a p99 factor on it.
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
export const KEPT_BY_RELAXING = 0.9;

/** What is believed before any batch has spoken. */
export interface Prior {
  /** ln(latency / the curve). */
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

export class Correction {
  readonly #scales: SlidingWindow;
  readonly #residuals: SlidingWindow;
  readonly #leastLogScale: number;
  readonly #leastLogTail: number;
  readonly #targetMissRate: number;
  #observations = 0;
  #guard = 0;
  /** 1 right after a batch; how much of a correction upwards is believed. */
  #trust = 1;
  #logScale = 0;
  #logTail = 0;
  #predictedFactor = 1;
  #plannedFactor = 1;
  #version = 0;

  constructor(prior: Prior) {
    this.#scales = new SlidingWindow(
      SCALE_WINDOW,
      Array.from({ length: prior.strength }, () => prior.logScale),
    );
    this.#residuals = new SlidingWindow(TAIL_WINDOW, prior.logResiduals);
    this.#targetMissRate = prior.targetMissRate;
    this.#leastLogScale = prior.leastLogScale;
    this.#leastLogTail = this.#learnedLogTail();
    this.#update();
  }

  /** ln(typical latency / the curve). */
  get logScale(): number {
    return this.#logScale;
  }

  /** ln(latency to plan with / typical latency), ≥ 0. */
  get logTail(): number {
    return this.#logTail;
  }

  /** ln(actual / typical) of the latest batches, ascending. */
  get logResiduals(): readonly number[] {
    return this.#residuals.toSorted();
  }

  /** Typical latency / the curve. */
  get predictedFactor(): number {
    return this.#predictedFactor;
  }

  /** Latency to plan with / the curve. */
  get plannedFactor(): number {
    return this.#plannedFactor;
  }

  /** Changes with anything of it. */
  get version(): number {
    return this.#version;
  }

  /**
   * @param logRatio ln(actual latency / the curve)
   * @param missedFraction of the members that the plan expected to be in time, those that were late; null without such
   */
  observe(logRatio: number, missedFraction: number | null): void {
    const logResidual = logRatio - this.#scales.median();
    this.#scales.push(logRatio);
    // Until the scale is its own, residuals say how wrong the prior was, not how much batches scatter.
    if (++this.#observations > SCALE_WINDOW) this.#residuals.push(Math.min(logResidual, GREATEST_LOG_RESIDUAL));
    if (missedFraction !== null) {
      const guard = this.#guard + GUARD_STEP * (missedFraction - this.#targetMissRate);
      this.#guard = Math.min(GREATEST_GUARD, Math.max(0, guard));
    }
    this.#trust = 1;
    this.#update();
  }

  /** Learns the scale alone: how fast the machine is, from a batch whose scatter is accounted for elsewhere. */
  follow(logRatio: number): void {
    this.#scales.push(logRatio);
    this.#update();
  }

  /** The curve has changed by this factor's logarithm, and what was seen has not. */
  rebase(logCurveChange: number): void {
    this.#scales.shift(-logCurveChange);
    this.#update();
  }

  /**
   * Believes a little less in corrections upwards, until the next batch. A model that has come to think that nothing can be
   * on time would otherwise never see the batch that corrects it.
   */
  relax(): void {
    this.#trust *= KEPT_BY_RELAXING;
    this.#update();
  }

  #update(): void {
    this.#logScale = this.#trusted(this.#scales.median(), this.#leastLogScale);
    this.#predictedFactor = Math.exp(this.#logScale);
    this.#logTail = this.#trusted(this.#learnedLogTail() + this.#guard, this.#leastLogTail);
    this.#plannedFactor = Math.exp(this.#logScale + this.#logTail);
    this.#version += 1;
  }

  #trusted(learned: number, least: number): number {
    return learned > least ? least + this.#trust * (learned - least) : learned;
  }

  #learnedLogTail(): number {
    return Math.max(0, this.#residuals.largest(TAIL_RANK));
  }
}
