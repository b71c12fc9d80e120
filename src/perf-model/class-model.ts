import type { LatencyModel } from '../domain/latency.js';
import type { LatencyCurve } from './curve.js';
import { SlidingWindow } from './sliding-window.js';

/*
 * The latency model of one shape class: the profile's curve, times a scale and a p99 factor that follow the batches that
 * really ran.
 *
 * - Scale: the median of the last 21 ratios of actual latency to the curve. One stalled or cold run moves it by half a rank,
 *   which no moving average with a bounded step achieves at once; a change in the machine's speed it would follow after 11
 *   batches.
 * - Steps: where the last four ratios lie beyond all others of the window, and a quarter off, the machine has changed, and the
 *   whole window moves with it: no batch is waited for that a belief thrice too high would refuse. For batches that are
 *   exchangeable, four of 21 are the greatest with probability 1/5985, whatever their distribution. Three are enough where they
 *   are three times as slow, and two where they are three times as fast: no accident makes a run too fast.
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

/** So many batches in a row, beyond all others of the window and so far off, are a step. */
const STEP = { batches: 4, leastLogRatio: Math.log(1.25) } as const;
const WILD_STEP = { batchesIfSlower: 3, batchesIfFaster: 2, leastLogRatio: Math.log(3) } as const;

/** What is not compared with anything is no step. */
const FEWEST_BEFORE = 2;

interface Step {
  /** How many batches showed it. */
  readonly batches: number;
  /** ln(latency now / before). */
  readonly logRatio: number;
}

const NO_STEP: Step = { batches: 0, logRatio: 0 };

/** One missed batch adds 5 % to what is planned with; at a target of 1 %, 99 kept ones take it back. */
const GUARD_STEP = 0.05;
/** Twice the planned latency; more would refuse nearly everything. */
const GREATEST_GUARD = Math.log(2);

/** What a class is taken to be before its own batches have spoken. */
export interface Prior {
  /** Typical latency of the profiled class. */
  readonly curve: LatencyCurve;
  /** ln(this class's latency / the curve). */
  readonly logScale: number;
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
  #targetMissRate = 0;
  #guard = 0;
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
    this.#followStep();
    if (missedFraction !== null) {
      const guard = this.#guard + GUARD_STEP * (missedFraction - this.#targetMissRate);
      this.#guard = Math.min(GREATEST_GUARD, Math.max(0, guard));
    }
    this.#updateFactors();
  }

  /** Where the latest batches show that the machine has changed, what those before have shown is moved to where it is now. */
  #followStep(): void {
    const step = this.#stepOf(WILD_STEP.batchesIfFaster, WILD_STEP.batchesIfSlower, WILD_STEP.leastLogRatio);
    const { batches, logRatio } = step ?? this.#stepOf(STEP.batches, STEP.batches, STEP.leastLogRatio) ?? NO_STEP;
    if (batches === 0) return;
    this.#scales.revise((logScale, age) => (age < batches ? logScale : logScale + logRatio));
    const shown = Math.min(batches, this.#observations - SCALE_WINDOW);
    if (shown <= 0) return;
    const logScale = this.#scales.median();
    this.#residuals.revise((residual, age) =>
      age < shown ? Math.min(this.#scales.latest(age) - logScale, GREATEST_LOG_RESIDUAL) : residual,
    );
  }

  #stepOf(ifFaster: number, ifSlower: number, leastLogRatio: number): Step | null {
    const latestLogRatio = this.#scales.latest(0) - this.#logScale;
    if (Math.abs(latestLogRatio) < leastLogRatio) return null;
    const isFaster = latestLogRatio < 0;
    const batches = isFaster ? ifFaster : ifSlower;
    // What is before them, with the sign that makes the step one upwards.
    const sign = isFaster ? -1 : 1;
    if (this.#scales.length < batches + FEWEST_BEFORE) return null;
    const values = Array.from({ length: this.#scales.length }, (_, age) => sign * this.#scales.latest(age));
    const latest = values.slice(0, batches).sort((a, b) => a - b);
    const before = values.slice(batches).sort((a, b) => a - b);
    if (latest[0]! <= before.at(-1)!) return null;
    const logRatio = medianOf(latest) - medianOf(before);
    return logRatio > leastLogRatio ? { batches, logRatio: sign * logRatio } : null;
  }

  #updateFactors(): void {
    this.#logScale = this.#scales.median();
    this.#predictedFactor = Math.exp(this.#logScale);
    this.#plannedFactor = Math.exp(this.#logScale + this.#learnedLogTail() + this.#guard);
  }

  #learnedLogTail(): number {
    return Math.max(0, this.#residuals.largest(TAIL_RANK));
  }
}

function medianOf(ascending: readonly number[]): number {
  const half = ascending.length >> 1;
  return ascending.length % 2 === 1 ? ascending[half]! : (ascending[half - 1]! + ascending[half]!) / 2;
}
