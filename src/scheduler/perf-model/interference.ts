/*
 * How much slower a batch is because other cores are busy beside it: neighbours share caches and the memory bus, and a profile is
 * measured alone.
 *
 * One coefficient, φ: a batch takes 1 + φ·f times as long while a share f of the interfering cores is busy. It is measured with the
 * profile, where that can be, and learnt from every batch: a Kalman filter on y = a·(1 + φ·f), y being what the batch took over what the
 * profile, which was taken alone, says of it. The machine's own speed is a, about 1 at first. Where f hardly ever changes, a slow machine
 * and slow neighbours look alike: what is believed of both then says little of either, and the first batches that run beside less tell.
 *
 * - Unknown, it is taken to be none until it is more than four standard deviations above that: chance does not change plans.
 * - A belief that nothing tests fades, what the profile measured too: it may have been measured beside somebody else's load. Whoever runs
 *   alone, because neighbours cost too much, tries a few batches beside them now and then.
 */

/** From so many busy cores on, neighbours slow a batch down no further: two to three fill a memory bus. */
const INTERFERING_MILLICORES = 3000;

/** Share of the interfering cores that are busy, in [0, 1]. */
export function busyFraction(busyMillicores: number): number {
  return Math.min(1, Math.max(0, busyMillicores) / INTERFERING_MILLICORES);
}

/** Latency beside so much that is busy, over latency alone. */
export function slowdownBeside(interference: number, busyMillicores: number): number {
  return 1 + interference * busyFraction(busyMillicores);
}

/** Beyond this neighbours would take four times of what they use. */
export const GREATEST_INTERFERENCE = 3;
/** Less is not worth a plan of its own. */
const LEAST_INTERFERENCE = 0.05;
const KNOWN_DEVIATIONS = 4;

/** Of φ before any batch: nothing is known, or a few runs were measured beside one busy core, which is a third of what φ speaks of. */
const UNKNOWN_VARIANCE = 0.5 ** 2;
const MEASURED_VARIANCE = 0.2 ** 2;
/** Of a, and of a batch's own scatter until batches have shown it. */
const FIRST_VARIANCE = 0.1 ** 2;
/** By how much a and φ may have wandered from one batch to the next: φ is an average of the latest hundred, nearly. */
const LEVEL_DRIFT = 0.007 ** 2;
const INTERFERENCE_DRIFT = 0.003 ** 2;
/** Of the scatter, what the latest batch has. */
const LATEST_SHARE = 0.03;
/** Standard deviations beyond which a batch was a stall, or its beginning. */
const GREATEST_SURPRISE = 3;
/** Beside less than this a batch is as good as alone; and of an untested belief that fades, what each such batch leaves. */
const ALONE_BELOW = 0.02;
const UNTESTED_KEPT = 1 - 1 / 16_000;
/** After so many batches alone, so many beside others are a test. */
const TEST_AFTER = 300;
const TEST_BATCHES = 12;

export class InterferenceEstimate {
  #isKnown: boolean;
  #level = 1;
  /** φ times the level. */
  #slope: number;
  #levelVariance = FIRST_VARIANCE;
  #slopeVariance: number;
  #covariance = 0;
  #scatter = FIRST_VARIANCE;
  /** Since there was a test. */
  #aloneCount = 0;
  #testedCount = 0;

  /** @param measured φ of the profile; null where it was not measured */
  constructor(measured: number | null) {
    this.#isKnown = measured !== null;
    this.#slope = Math.min(GREATEST_INTERFERENCE, measured ?? 0);
    this.#slopeVariance = measured === null ? UNKNOWN_VARIANCE : MEASURED_VARIANCE;
  }

  /** φ to plan with; 0 until it is known. */
  get coefficient(): number {
    if (!this.#isKnown) return 0;
    return Math.min(GREATEST_INTERFERENCE, Math.max(0, this.#slope / this.#level));
  }

  /** Nothing has shown for long whether it is still so: to be tried, as far as deadlines allow by what is believed. */
  get isUntested(): boolean {
    return this.#aloneCount >= TEST_AFTER;
  }

  /**
   * One more batch.
   * @param fraction of the interfering cores, busy beside it: mean over its run   @param ratio its latency over that expected alone
   */
  observe(fraction: number, ratio: number): void {
    this.#levelVariance = Math.min(FIRST_VARIANCE, this.#levelVariance + LEVEL_DRIFT);
    this.#slopeVariance = Math.min(UNKNOWN_VARIANCE, this.#slopeVariance + INTERFERENCE_DRIFT);
    const levelGain = this.#levelVariance + fraction * this.#covariance;
    const slopeGain = this.#covariance + fraction * this.#slopeVariance;
    const variance = levelGain + fraction * slopeGain + this.#scatter;
    const most = GREATEST_SURPRISE * Math.sqrt(variance);
    const surprise = Math.min(most, Math.max(-most, ratio - this.#level - this.#slope * fraction));
    this.#level += (levelGain / variance) * surprise;
    this.#slope += (slopeGain / variance) * surprise;
    this.#levelVariance -= levelGain ** 2 / variance;
    this.#covariance -= (levelGain * slopeGain) / variance;
    this.#slopeVariance -= slopeGain ** 2 / variance;
    this.#scatter += LATEST_SHARE * (surprise ** 2 - this.#scatter);
    this.#countTests(fraction);
    if (fraction < ALONE_BELOW) this.#slope *= UNTESTED_KEPT;
    this.#isKnown ||= this.#slope > Math.max(LEAST_INTERFERENCE, KNOWN_DEVIATIONS * Math.sqrt(this.#slopeVariance));
  }

  #countTests(fraction: number): void {
    if (fraction < ALONE_BELOW) {
      this.#aloneCount += 1;
      return;
    }
    this.#testedCount += 1;
    if (this.#testedCount < TEST_BATCHES) return;
    this.#aloneCount = 0;
    this.#testedCount = 0;
  }
}
