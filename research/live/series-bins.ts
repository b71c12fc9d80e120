import type { OutcomeName } from '../../src/scheduler/domain/outcome.js';
import type { RunSeries } from './run-series.js';

/* A run in equal bins of whole seconds, everything side by side: what charts draw and the CSV lists. Pure. */

export interface Range {
  readonly mean: number;
  readonly least: number;
  readonly most: number;
}

export interface SeriesBin {
  readonly fromSec: number;
  /** The last may be shorter. */
  readonly lengthSec: number;
  readonly grantedCores: Range;
  /** The most. */
  readonly queueDepth: number;
  /** At the end. */
  readonly instances: number;
  readonly received: number;
  readonly outcomes: Readonly<Partial<Record<OutcomeName, number>>>;
  /** Ended in it, not on time. */
  readonly violations: number;
  readonly batches: number;
  /** Null where no batch ended. */
  readonly batchSize: Range | null;
}

export function seriesBins(series: RunSeries, lengthSec: number): SeriesBin[] {
  const { binMs, grantedCores, queueDepth, instances, outcomesBySecond } = series;
  const perBin = Math.round((lengthSec * 1000) / binMs);
  const count = Math.ceil(outcomesBySecond.length / lengthSec);
  const sizes = grouped(series.batches, lengthSec, count);
  const arrivals = grouped(series.arrivals, lengthSec, count);
  return Array.from({ length: count }, (_, index) => {
    const part = <T>(values: readonly T[]): readonly T[] => values.slice(index * perBin, (index + 1) * perBin);
    const fromSec = index * lengthSec;
    const seconds = outcomesBySecond.slice(fromSec, fromSec + lengthSec);
    const outcomes = sumOf(seconds);
    return {
      fromSec,
      lengthSec: seconds.length,
      grantedCores: rangeOf(part(grantedCores)) ?? { mean: 0, least: 0, most: 0 },
      queueDepth: Math.max(0, ...part(queueDepth)),
      instances: part(instances).at(-1) ?? 0,
      received: arrivals[index]!.length,
      outcomes,
      violations: violationsOf(outcomes),
      batches: sizes[index]!.length,
      batchSize: rangeOf(sizes[index]!.map(({ size }) => size)),
    };
  });
}

function grouped<T extends { readonly atMs: number }>(points: readonly T[], lengthSec: number, count: number): T[][] {
  const groups: T[][] = Array.from({ length: count }, () => []);
  for (const point of points) groups[Math.floor(point.atMs / (1000 * lengthSec))]?.push(point);
  return groups;
}

function rangeOf(values: readonly number[]): Range | null {
  if (values.length === 0) return null;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, least: Math.min(...values), most: Math.max(...values) };
}

function sumOf(seconds: RunSeries['outcomesBySecond']): Partial<Record<OutcomeName, number>> {
  const sum: Partial<Record<OutcomeName, number>> = {};
  for (const second of seconds) {
    for (const [name, count] of Object.entries(second) as [OutcomeName, number][]) sum[name] = (sum[name] ?? 0) + count;
  }
  return sum;
}

/** A client that left before its deadline is nobody's violation. */
function violationsOf(outcomes: Partial<Record<OutcomeName, number>>): number {
  return Object.entries(outcomes).reduce(
    (sum, [name, count]) => (name === 'completed_on_time' || name === 'cancelled' ? sum : sum + count),
    0,
  );
}
