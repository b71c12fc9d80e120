/*
 * The energy-optimal speed profile of Yao, Demers & Shenker (1995) by its definition, and what can be said with it, the
 * slow, obvious way: find the interval with the most work per ms among the jobs whose windows it contains, run it at that
 * rate, cut it out of time, repeat. Shares no code and no types with `src/`.
 */

export interface WindowedJob {
  readonly releaseAtMs: number;
  /** After the release. */
  readonly dueAtMs: number;
  readonly work: number;
}

/** A rate, and for how long in all it is held. */
export interface ProfilePiece {
  readonly ratePerMs: number;
  readonly lengthMs: number;
}

/** Rates descend. O(n²) an interval, at most n of them. */
export function speedProfile(jobs: readonly WindowedJob[]): readonly ProfilePiece[] {
  const pieces: ProfilePiece[] = [];
  let left = [...jobs];
  while (left.length > 0) {
    const { startAtMs, endAtMs, ratePerMs } = criticalInterval(left);
    pieces.push({ ratePerMs, lengthMs: endAtMs - startAtMs });
    // An instant inside what is cut out becomes its start, and whatever is later moves up to it.
    const contracted = (atMs: number): number => atMs - Math.min(Math.max(0, atMs - startAtMs), endAtMs - startAtMs);
    left = left
      .filter(({ releaseAtMs, dueAtMs }) => releaseAtMs < startAtMs || dueAtMs > endAtMs)
      .map((job) => ({ ...job, releaseAtMs: contracted(job.releaseAtMs), dueAtMs: contracted(job.dueAtMs) }));
  }
  return pieces;
}

function criticalInterval(jobs: readonly WindowedJob[]): { startAtMs: number; endAtMs: number; ratePerMs: number } {
  const byDue = [...jobs].sort((a, b) => a.dueAtMs - b.dueAtMs);
  let critical = { startAtMs: 0, endAtMs: 0, ratePerMs: 0 };
  for (const { releaseAtMs: startAtMs } of jobs) {
    let work = 0;
    for (const job of byDue) {
      if (job.releaseAtMs < startAtMs) continue;
      work += job.work;
      const ratePerMs = work / (job.dueAtMs - startAtMs);
      if (ratePerMs > critical.ratePerMs) critical = { startAtMs, endAtMs: job.dueAtMs, ratePerMs };
    }
  }
  return critical;
}

/** The least rate that does all jobs within their windows. */
export function leastTopRate(jobs: readonly WindowedJob[]): number {
  return speedProfile(jobs)[0]?.ratePerMs ?? 0;
}

/** ∫ cost(rate) dt over a duration; rate 0 for what the profile leaves of it. */
export function integrate(
  profile: readonly ProfilePiece[],
  durationMs: number,
  cost: (ratePerMs: number) => number,
): number {
  const busyMs = profile.reduce((sum, { lengthMs }) => sum + lengthMs, 0);
  return profile.reduce(
    (sum, { ratePerMs, lengthMs }) => sum + lengthMs * cost(ratePerMs),
    (durationMs - busyMs) * cost(0),
  );
}

/** (rate, cores) at which a machine can be. */
export type OperatingPoint = readonly [ratePerMs: number, cores: number];

/** The cheapest way to average a rate by sharing time between at most two points; null above all of them. */
export function cheapestMix(points: readonly OperatingPoint[], ratePerMs: number): number | null {
  let least = Number.POSITIVE_INFINITY;
  for (const [lowRate, lowCores] of points) {
    if (lowRate > ratePerMs) continue;
    for (const [highRate, highCores] of points) {
      if (highRate < ratePerMs) continue;
      const share = highRate === lowRate ? 0 : (ratePerMs - lowRate) / (highRate - lowRate);
      least = Math.min(least, lowCores + share * (highCores - lowCores));
    }
  }
  return least === Number.POSITIVE_INFINITY ? null : least;
}

/** The most jobs of any subset that a machine of the rate can do in time, with preemption. 2ⁿ profiles. */
export function mostInTime(jobs: readonly WindowedJob[], ratePerMs: number): number {
  let most = 0;
  for (let subset = 0; subset < 1 << jobs.length; subset++) {
    const chosen = jobs.filter((_, index) => (subset >> index) & 1);
    if (chosen.length > most && leastTopRate(chosen) <= ratePerMs) most = chosen.length;
  }
  return most;
}
