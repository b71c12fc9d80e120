/*
 * The highest rate that a server sustains: doubled until it fails, then halved in between. Each trial is a load of its own,
 * so the search knows nothing of servers.
 */

export interface Trial {
  readonly ratePerSec: number;
  readonly violationRate: number;
  readonly isSustained: boolean;
}

export interface RateSearch {
  /** Where it begins; raised or lowered from there. */
  readonly fromRatePerSec: number;
  readonly mostViolations: number;
  /** Ends when what is sustained and what is not are so near. */
  readonly resolution: number;
  readonly mostRatePerSec: number;
  /** @returns its violation rate; null to end the search: it was interrupted, or cannot be taken further */
  readonly tryRate: (ratePerSec: number) => Promise<number | null>;
  readonly onTrial?: (trial: Trial) => void;
}

export interface RateFound {
  /** Null: not even the lowest rate that was tried. */
  readonly sustainedPerSec: number | null;
  /** The lowest that failed; null where none did up to the most. */
  readonly failedPerSec: number | null;
  readonly trials: readonly Trial[];
  /** Ended by `tryRate`, before it was as near as was asked for. */
  readonly isCutShort: boolean;
}

/** Below this no rate is worth the name. */
const LEAST_RATE_PER_SEC = 0.1;

export async function highestRate(search: RateSearch): Promise<RateFound> {
  const trials: Trial[] = [];
  let sustained: number | null = null;
  let failed: number | null = null;
  const attempt = async (ratePerSec: number): Promise<boolean> => {
    const violationRate = await search.tryRate(ratePerSec);
    if (violationRate === null) return false;
    const trial = { ratePerSec, violationRate, isSustained: violationRate <= search.mostViolations };
    trials.push(trial);
    search.onTrial?.(trial);
    if (trial.isSustained) sustained = Math.max(sustained ?? 0, ratePerSec);
    else failed = Math.min(failed ?? Infinity, ratePerSec);
    return true;
  };
  const nextRate = (): number | null => {
    if (trials.length === 0) return Math.min(search.fromRatePerSec, search.mostRatePerSec);
    if (failed === null)
      return sustained! >= search.mostRatePerSec ? null : Math.min(2 * sustained!, search.mostRatePerSec);
    if (sustained === null) return failed / 2 < LEAST_RATE_PER_SEC ? null : failed / 2;
    // A server that sustained more than it failed at is noisy; what it failed at counts.
    if (failed / sustained <= 1 + search.resolution) return null;
    return Math.sqrt(failed * sustained);
  };
  for (let rate = nextRate(); rate !== null; rate = nextRate()) {
    if (!(await attempt(rate))) return { sustainedPerSec: sustained, failedPerSec: failed, trials, isCutShort: true };
  }
  return { sustainedPerSec: sustained, failedPerSec: failed, trials, isCutShort: false };
}
