import { quantile } from './quantile.js';
import { SlidingWindow } from './sliding-window.js';

/*
 * What batches that really ran teach about a latency curve: a scale and a p99 factor on it.
 *
 * - Scale: the median of the last 21 ratios of actual latency to the curve. One stalled or cold run moves it by half a rank,
 *   which no moving average with a bounded step achieves at once; a change in the machine's speed it would follow after 11
 *   batches.
 * - Steps: where the last four ratios lie beyond all others of the window, and a quarter off, the machine has changed, and the
 *   whole window moves with it. For batches that are exchangeable, four of 21 are the greatest with probability 1/5985, whatever
 *   their distribution. Three are enough where they are three times as slow, and two where they are three times as fast: no
 *   accident makes a run too fast, and few batches are seen of what is believed to be too slow (exploration).
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
 * - Alarm: a batch beyond all that was planned for may be a stall or the beginning of a slow machine; which, is known some
 *   batches later. Meanwhile planning reckons with another such batch, less with each that is none. It makes the next batches
 *   start on more CPU, and refuses nobody.
 *
 * A residual is what the prediction in force really missed by, lag included. Where the machine's speed wanders, that is
 * what has to be planned for: residuals from a scale smoothed afterwards let 7 % of batches exceed the plan under
 * strongly autocorrelated noise, instead of 1 %. A step that was recognised is not noise: the residuals of the batches that
 * showed it become those of the new scale.
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

/**
 * Scatter about the typical latency as machines have it that are not shared: a p99 of 1.25 times the median. Up to there what is
 * planned with refuses, too: it is nearly certain, and trying what it leaves no room for costs others more. What batches scatter
 * beyond that is chance, and cuts both ways: refusing is by as much less than 1.25 times the median as planning is by more.
 */
const USUAL_LOG_TAIL = Math.log(1.25);

/** Of an alarm, what each batch leaves that is no slower than planned: a third after five. */
const ALARM_KEPT = 0.8;
/** From then on half of the scale's window is its own batches, and so are the residuals from its median. */
const OWN_AFTER = 10;

/** So many batches in a row, beyond all others of the window and so far off, are a step. */
const STEP = { ifSlower: 4, ifFaster: 4, leastLogRatio: Math.log(1.25) } as const;
const WILD_STEP = { ifSlower: 3, ifFaster: 2, leastLogRatio: Math.log(3) } as const;
/** What is compared with next to nothing is no step. */
const FEWEST_BEFORE = 2;

interface Step {
  /** How many batches showed it. */
  readonly batches: number;
  /** ln(latency now / before). */
  readonly logRatio: number;
}

/** What is believed before any batch has spoken. */
export interface Prior {
  /** ln(latency / the curve). */
  readonly logScale: number;
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
  readonly #targetMissRate: number;
  #observations = 0;
  #guard = 0;
  /** How far the latest batches were beyond what was planned with, ln; less with every one that was not. */
  #alarm = 0;
  /** The latest batches that are in both windows. */
  #inBoth = 0;
  #logScale = 0;
  #logTail = 0;
  #logLeast = 0;
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

  /** ln(latency to refuse by / typical latency), at most `logTail`; negative where batches scatter much. */
  get logLeast(): number {
    return this.#logLeast;
  }

  /** ln(actual / typical) of the latest batches, ascending. */
  get logResiduals(): readonly number[] {
    return this.#residuals.toSorted();
  }

  /** Typical latency / the curve. */
  get predictedFactor(): number {
    return this.#predictedFactor;
  }

  /** Latency to refuse by / the curve. */
  get leastFactor(): number {
    return Math.exp(this.#logScale + this.#logLeast);
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
    const excess = Math.min(logResidual, GREATEST_LOG_RESIDUAL) - this.#learnedLogTail();
    this.#alarm = Math.max(ALARM_KEPT * this.#alarm, excess, 0);
    this.#scales.push(logRatio);
    // Until the scale is its own, residuals say how wrong the prior was, not how much batches scatter.
    if (++this.#observations > OWN_AFTER) {
      this.#residuals.push(Math.min(logResidual, GREATEST_LOG_RESIDUAL));
      this.#inBoth += 1;
    }
    if (missedFraction !== null) {
      const guard = this.#guard + GUARD_STEP * (missedFraction - this.#targetMissRate);
      this.#guard = Math.min(GREATEST_GUARD, Math.max(0, guard));
    }
    this.#followStep();
    this.#update();
  }

  /** Learns the scale alone: how fast the machine is, from a batch whose scatter is accounted for elsewhere. */
  follow(logRatio: number): void {
    this.#scales.push(logRatio);
    this.#inBoth = 0;
    this.#followStep();
    this.#update();
  }

  /** The curve has changed by this factor's logarithm, and what was seen has not. */
  rebase(logCurveChange: number): void {
    this.#scales.shift(-logCurveChange);
    this.#update();
  }

  /** Where the latest batches show that the machine has changed, what those before have shown is moved to where it is now. */
  #followStep(): void {
    const step = this.#stepBy(WILD_STEP) ?? this.#stepBy(STEP);
    if (step === null) return;
    const { batches, logRatio } = step;
    this.#scales.revise((scale, age) => (age < batches ? scale : scale + logRatio));
    const shown = Math.min(batches, this.#inBoth);
    const logScale = this.#scales.median();
    this.#residuals.revise((residual, age) =>
      age < shown ? Math.min(this.#scales.latest(age) - logScale, GREATEST_LOG_RESIDUAL) : residual,
    );
  }

  #stepBy(rule: typeof STEP | typeof WILD_STEP): Step | null {
    const latest = this.#scales.latest(0) - this.#logScale;
    if (Math.abs(latest) < rule.leastLogRatio) return null;
    const batches = latest < 0 ? rule.ifFaster : rule.ifSlower;
    if (this.#scales.length < batches + FEWEST_BEFORE) return null;
    // With the sign that makes the step one upwards, the latest first.
    const sign = Math.sign(latest);
    const ratios = Array.from({ length: this.#scales.length }, (_, age) => sign * this.#scales.latest(age));
    const now = Float64Array.from(ratios.slice(0, batches)).sort();
    const before = Float64Array.from(ratios.slice(batches)).sort();
    if (now[0]! <= before.at(-1)!) return null;
    const logRatio = quantile(now, 0.5) - quantile(before, 0.5);
    const scatter = before.at(-1)! - before[0]!;
    return logRatio > Math.max(rule.leastLogRatio, scatter) ? { batches, logRatio: sign * logRatio } : null;
  }

  #update(): void {
    this.#logScale = this.#scales.median();
    this.#predictedFactor = Math.exp(this.#logScale);
    const learned = this.#learnedLogTail();
    this.#logTail = learned + Math.max(this.#guard, this.#alarm);
    this.#logLeast = Math.min(learned, 2 * USUAL_LOG_TAIL - learned);
    this.#plannedFactor = Math.exp(this.#logScale + this.#logTail);
    this.#version += 1;
  }

  #learnedLogTail(): number {
    return Math.max(0, this.#residuals.largest(TAIL_RANK));
  }
}
