/*
 * A long run on a narrow drawing: seconds are joined into bins of equal, round length. A bin keeps its mean, which is what
 * adds up to the core-seconds, and the least and the most of its seconds, so that no peak is lost.
 */

export interface Bin {
  readonly fromSec: number;
  readonly mean: number;
  readonly least: number;
  readonly most: number;
}

/** About one a pixel. */
const MOST_BINS = 240;
const ROUND_SEC = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400] as const;

/** The length of a bin for a run of so many seconds. */
export function binLengthSec(seconds: number): number {
  return ROUND_SEC.find((length) => seconds / length <= MOST_BINS) ?? Math.ceil(seconds / MOST_BINS);
}

/** @param bySecond one value a second   @returns the last bin may be shorter */
export function binned(bySecond: readonly number[], lengthSec: number): Bin[] {
  const bins: Bin[] = [];
  for (let fromSec = 0; fromSec < bySecond.length; fromSec += lengthSec) {
    const values = bySecond.slice(fromSec, fromSec + lengthSec);
    bins.push({
      fromSec,
      mean: values.reduce((sum, value) => sum + value, 0) / values.length,
      least: Math.min(...values),
      most: Math.max(...values),
    });
  }
  return bins;
}

export interface TimeUnit {
  readonly name: 's' | 'min' | 'h';
  readonly seconds: number;
}

/** In which a run of so many seconds is told. */
export function timeUnit(seconds: number): TimeUnit {
  if (seconds <= 300) return { name: 's', seconds: 1 };
  return seconds <= 3 * 3600 ? { name: 'min', seconds: 60 } : { name: 'h', seconds: 3600 };
}

/** `15 s`, `2 min`. */
export function durationText(seconds: number): string {
  const units: readonly (readonly [number, string])[] = [
    [3600, 'h'],
    [60, 'min'],
  ];
  const [length, name] = units.find(([each]) => seconds >= 2 * each && seconds % each === 0) ?? [1, 's'];
  return `${Number((seconds / length).toFixed(3))} ${name}`;
}
