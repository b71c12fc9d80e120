import { colour, type ChartSpec } from '../../../src/reports/chart.js';
import { distinctDots } from './distinct-dots.js';
import { ticksWithin } from '../../../src/reports/ticks.js';

/* The clients' network: what it could carry, how long uploads took, and what was left of each budget when they were there. */

const WIDTH_PX = 290;
const HEIGHT_PX = 180;
/** What labels take left of the panels, so that all are as wide. */
const AXIS_PX = 40;
/** A dot's size: two closer than this look like one. */
const DOT_PX = 2;

function quantitative(field: string, [least, most]: readonly [number, number], ticks: number, title: string) {
  const domain = [least, most];
  const values = ticksWithin(most, ticks);
  return { field, type: 'quantitative', scale: { domain, nice: false }, axis: { values, title, grid: true } } as const;
}

/** A line a client, and their mean. @param kbPerSec a value a second of each client */
export function bandwidthChart(kbPerSec: readonly (readonly number[])[], seconds: number): ChartSpec {
  const shown = kbPerSec.map((values) => values.slice(0, seconds).map((value) => value / 1000));
  const means = Array.from({ length: seconds }, (_, second) => {
    const values = shown.flatMap((series) => series[second] ?? []);
    return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  });
  const most = Math.max(0.001, ...shown.flat());
  const x = quantitative('second', [0, seconds], 5, 'time, s');
  const y = quantitative('value', [0, most], 4, 'bandwidth, MB/s');
  const axis = { ...y.axis, minExtent: AXIS_PX, maxExtent: AXIS_PX };
  return {
    description: `Bandwidth of ${kbPerSec.length} clients over ${seconds} s, at most ${most.toFixed(1)} MB/s`,
    width: WIDTH_PX,
    height: HEIGHT_PX,
    layer: [
      {
        data: { values: shown.flatMap((series, client) => stepsOf(series).map((step) => ({ client, ...step }))) },
        mark: { type: 'line', interpolate: 'step-after', color: colour('ours'), strokeWidth: 0.9, opacity: 0.35 },
        encoding: { x, y: { ...y, axis }, detail: { field: 'client' } },
      },
      {
        data: { values: stepsOf(means) },
        mark: { type: 'line', interpolate: 'step-after', color: colour('ink'), strokeWidth: 1.4 },
        encoding: { x, y: { ...y, axis } },
      },
    ],
  };
}

/** One value a second, and an end for the last. */
function stepsOf(values: readonly number[]): { second: number; value: number }[] {
  const steps = values.map((value, second) => ({ second, value }));
  return values.length === 0 ? [] : [...steps, { second: values.length, value: values.at(-1)! }];
}

/** Share of requests whose network delay was at most so long, live and simulated. */
export function networkDelayChart(liveMs: readonly number[], simulatedMs: readonly number[]): ChartSpec {
  const most = [liveMs, simulatedMs].flat().reduce((so, ms) => Math.max(so, ms), 1);
  const x = quantitative('ms', [0, most], 5, 'network delay, ms');
  const y = quantitative('percent', [0, 100], 4, '% of requests');
  const encoding = { x, y: { ...y, axis: { ...y.axis, minExtent: AXIS_PX, maxExtent: AXIS_PX } } };
  return {
    description: `Share of requests with at most so much network delay, live and simulated, up to ${most.toFixed(0)} ms`,
    width: WIDTH_PX,
    height: HEIGHT_PX,
    layer: [
      {
        data: { values: cumulative(simulatedMs) },
        mark: { type: 'line', interpolate: 'step-after', color: colour('ink'), strokeWidth: 1 },
        encoding,
      },
      {
        data: { values: cumulative(liveMs) },
        mark: { type: 'line', interpolate: 'step-after', color: colour('ours'), strokeWidth: 2 },
        encoding,
      },
    ],
  };
}

const MOST_STEPS = 200;

function cumulative(values: readonly number[]): { ms: number; percent: number }[] {
  const sorted = [...values].sort((a, b) => a - b);
  const steps = Math.min(MOST_STEPS, sorted.length);
  const ranks = Array.from({ length: steps }, (_, i) => Math.ceil(((i + 1) * sorted.length) / steps) - 1);
  return ranks.map((rank) => ({ ms: sorted[rank]!, percent: (100 * (rank + 1)) / sorted.length }));
}

export interface BudgetDot {
  readonly atSec: number;
  readonly remainingMs: number;
}

/** What was left of the SLO when a request was there, a dot a request; a network delay is never taken to be longer than it. */
export function remainingBudgetChart(dots: readonly BudgetDot[], seconds: number, sloMs: number): ChartSpec {
  const shown = distinctDots(
    dots.map(({ atSec, remainingMs }) => ({ x: atSec, y: remainingMs })),
    { xPerDot: (seconds / WIDTH_PX) * DOT_PX, yPerDot: (sloMs / HEIGHT_PX) * DOT_PX },
  );
  const y = quantitative('y', [0, sloMs], 4, 'remaining budget, ms');
  return {
    description: `Budget that requests had left when they were received, over ${seconds} s, SLO ${sloMs} ms`,
    width: WIDTH_PX,
    height: HEIGHT_PX,
    data: { values: shown },
    mark: { type: 'point', filled: true, size: 6, opacity: 0.7, color: colour('ours') },
    encoding: {
      x: quantitative('x', [0, seconds], 5, 'time, s'),
      y: { ...y, axis: { ...y.axis, minExtent: AXIS_PX, maxExtent: AXIS_PX } },
    },
  };
}
