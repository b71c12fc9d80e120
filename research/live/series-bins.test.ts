import { describe, expect, it } from 'vitest';
import { emptySeries } from '../../test/fixtures/live-results.js';
import type { BatchPoint, RunSeries } from './run-series.js';
import { seriesBins } from './series-bins.js';

function batch(atMs: number, size: number): BatchPoint {
  return { atMs, size, cpuMillicores: 1000, predictedMs: 50, plannedMs: 60, actualMs: 51, actualToPredicted: 1.02 };
}

/** Three seconds: 1 core, then 3, then 2 with a dip to 0 in its last tenth. */
const series: RunSeries = {
  ...emptySeries(3),
  grantedCores: [...Array<number>(10).fill(1), ...Array<number>(10).fill(3), ...Array<number>(9).fill(2), 0],
  queueDepth: Array.from({ length: 30 }, (_, bin) => bin),
  instances: Array.from({ length: 30 }, (_, bin) => (bin < 15 ? 1 : 2)),
  batches: [batch(0, 1), batch(999.9, 4), batch(2000, 8)],
  arrivals: [10, 1500, 1600].map((atMs) => ({ atMs, sloMs: 1000, networkDelayMs: 100 })),
  outcomesBySecond: [{ completed_on_time: 5, cancelled: 1 }, { completed_late: 2, expired: 1 }, { failed: 1 }],
};

describe('a series in bins', () => {
  it('has every second side by side', () => {
    const bins = seriesBins(series, 1);
    expect(bins.map(({ fromSec }) => fromSec)).toEqual([0, 1, 2]);
    expect(bins.map(({ grantedCores }) => grantedCores.mean)).toEqual([1, 3, 1.8]); // (9 · 2 + 0) / 10
    expect(bins[2]!.grantedCores).toMatchObject({ least: 0, most: 2 });
    expect(bins.map(({ queueDepth }) => queueDepth)).toEqual([9, 19, 29]);
    expect(bins.map(({ instances }) => instances)).toEqual([1, 2, 2]);
    expect(bins.map(({ received }) => received)).toEqual([1, 2, 0]);
    expect(bins.map(({ batches }) => batches)).toEqual([2, 0, 1]);
    expect(bins.map(({ batchSize }) => batchSize?.mean ?? null)).toEqual([2.5, null, 8]);
  });

  it('counts as violations all but what was on time or left', () => {
    expect(seriesBins(series, 1).map(({ violations }) => violations)).toEqual([0, 3, 1]);
  });

  it('joins seconds, the last bin being shorter', () => {
    const bins = seriesBins(series, 2);
    expect(bins.map(({ lengthSec }) => lengthSec)).toEqual([2, 1]);
    expect(bins[0]).toMatchObject({ grantedCores: { mean: 2, least: 1, most: 3 }, queueDepth: 19, batches: 2 });
    expect(bins[0]!.outcomes).toEqual({ completed_on_time: 5, cancelled: 1, completed_late: 2, expired: 1 });
  });

  it('is empty for a run of no time', () => {
    expect(seriesBins(emptySeries(0), 1)).toEqual([]);
  });
});
