import { logTicks } from '../../../src/reports/svg-axis.js';
import type { BatchPoint } from '../run-series.js';
import { colour, type ChartSpec, type ColourName } from '../../../src/reports/chart.js';
import { distinctDots, type Dot } from './distinct-dots.js';

/*
 * What batches were predicted to take against what they took, on logarithmic axes, because an error of a tenth is as bad at
 * 20 ms as at 500 ms. Dots on the diagonal were predicted right; grey is what was planned with (p99), so a dot above the grey ones
 * took longer than was allowed for.
 */

/** Common to all panels. */
export interface PredictionFrame {
  readonly leastMs: number;
  readonly mostMs: number;
}

const SIDE_PX = 250;
const DOT_PX = 2;
const AXIS_PX = 40;

/** Completed ones. */
export interface MeasuredBatch extends BatchPoint {
  readonly actualMs: number;
}

export function measuredBatches(batches: readonly BatchPoint[]): MeasuredBatch[] {
  return batches.flatMap((batch) => (batch.actualMs === null ? [] : [{ ...batch, actualMs: batch.actualMs }]));
}

export function predictionFrame(batches: readonly MeasuredBatch[]): PredictionFrame {
  let [leastMs, mostMs] = [Infinity, 0];
  for (const { predictedMs, plannedMs, actualMs } of batches) {
    leastMs = Math.min(leastMs, predictedMs, actualMs);
    mostMs = Math.max(mostMs, plannedMs, actualMs);
  }
  return mostMs === 0 ? { leastMs: 1, mostMs: 10 } : { leastMs: leastMs / 1.15, mostMs: mostMs * 1.15 };
}

export function predictionChart(
  batches: readonly MeasuredBatch[],
  look: { readonly label: string; readonly colour: ColourName },
  { leastMs, mostMs }: PredictionFrame,
): ChartSpec {
  const domain = [leastMs, mostMs];
  const scale = { type: 'log', domain, nice: false } as const;
  const values = logTicks(leastMs, mostMs);
  const axis = (title: string) => ({ values, format: ',.0f', title, grid: true }) as const;
  const encoding = {
    x: { field: 'x', type: 'quantitative', scale, axis: axis('predicted, ms') },
    y: {
      field: 'y',
      type: 'quantitative',
      scale,
      axis: { ...axis('actual, ms'), minExtent: AXIS_PX, maxExtent: AXIS_PX },
    },
  } as const;
  const dots = (of: (batch: MeasuredBatch) => number): Dot[] =>
    distinctOnLogAxes(
      batches.map((batch) => ({ x: batch.predictedMs, y: of(batch) })),
      Math.log(mostMs / leastMs) / SIDE_PX,
    );
  return {
    description: `Actual against predicted latency of ${batches.length} batches under ${look.label}`,
    width: SIDE_PX,
    height: SIDE_PX,
    layer: [
      {
        data: { values: [leastMs, mostMs].map((ms) => ({ x: ms, y: ms })) },
        mark: { type: 'line', color: colour('soft'), strokeWidth: 0.8 },
        encoding,
      },
      {
        data: { values: dots(({ plannedMs }) => plannedMs) },
        mark: { type: 'point', filled: true, size: 5, opacity: 1, color: colour('edge') },
        encoding,
      },
      {
        data: { values: dots(({ actualMs }) => actualMs) },
        mark: { type: 'point', filled: true, size: 7, opacity: 0.6, color: colour(look.colour) },
        encoding,
      },
    ],
  };
}

function distinctOnLogAxes(dots: readonly Dot[], perPx: number): Dot[] {
  const size = { xPerDot: perPx * DOT_PX, yPerDot: perPx * DOT_PX };
  const logged = dots.map(({ x, y }) => ({ x: Math.log(x), y: Math.log(y) }));
  return distinctDots(logged, size).map(({ x, y }) => ({ x: Math.exp(x), y: Math.exp(y) }));
}
