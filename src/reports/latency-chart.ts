import { logTicks } from './svg-axis.js';
import { colour, textWidthPx, type ChartSpec, type ColourName } from './chart.js';

/*
 * How many were answered within how long, of all that were sent and whose clients stayed: a curve that levels off below
 * 100 % belongs to a policy that refuses or loses the rest, and its height at the SLO is the share on time. A panel a
 * policy, with the others behind it in grey.
 */

export interface LatencyCurve {
  readonly policy: string;
  readonly colour: ColourName;
  /** Ascending in both. */
  readonly points: readonly { readonly ms: number; readonly percent: number }[];
}

const SIZE = { width: 360, height: 220 } as const;
const MARGIN = { left: 44, right: 26, top: 20, bottom: 44 } as const;

/** Of the completed ones; dense at both ends, where curves of good policies differ. */
const QUANTILES: readonly number[] = [
  0,
  0.001,
  0.005,
  ...Array.from({ length: 99 }, (_, i) => (i + 1) / 100),
  ...[0.992, 0.994, 0.996, 0.998, 0.999, 0.9995, 1],
];

/** @param sortedMs ascending, of every completed request   @param due all that were to be answered */
export function latencyCurve(
  policy: string,
  colourName: ColourName,
  sortedMs: Float64Array,
  due: number,
): LatencyCurve {
  const last = sortedMs.length - 1;
  const ranks = last < 0 ? [] : [...new Set(QUANTILES.map((q) => Math.round(q * last)))];
  return {
    policy,
    colour: colourName,
    points: ranks.map((rank) => ({ ms: sortedMs[rank]!, percent: (100 * (rank + 1)) / due })),
  };
}

export interface LatencyFrame {
  readonly leastMs: number;
  readonly mostMs: number;
  /** Marked; each once, ascending. */
  readonly slosMs: readonly number[];
}

/** Common to all panels. Without any answer, around the SLOs. */
export function latencyFrame(curves: readonly LatencyCurve[], slosMs: readonly number[]): LatencyFrame {
  const ends = [
    ...slosMs,
    ...curves.flatMap(({ points }) => (points.length === 0 ? [] : [points[0]!.ms, points.at(-1)!.ms])),
  ];
  return { leastMs: Math.max(1, Math.min(...ends) / 1.15), mostMs: Math.max(...ends) * 1.15, slosMs };
}

export function latencyChart(own: LatencyCurve, all: readonly LatencyCurve[], frame: LatencyFrame): ChartSpec {
  const width = SIZE.width - MARGIN.left - MARGIN.right;
  const { leastMs, mostMs, slosMs } = frame;
  const x = (ms: number): number => (Math.log(ms / leastMs) / Math.log(mostMs / leastMs)) * width;
  const domain = [leastMs, mostMs];
  const percents = [0, 100];
  const percentTicks = [0, 25, 50, 75, 100];
  const dash = [4, 3];
  const encoding = {
    x: {
      field: 'ms',
      type: 'quantitative',
      scale: { type: 'log', domain, nice: false },
      axis: { values: logTicks(leastMs, mostMs), format: ',.0f', title: 'ms from sending to the answer', grid: true },
    },
    y: {
      field: 'percent',
      type: 'quantitative',
      scale: { domain: percents, nice: false },
      axis: { values: percentTicks, title: '% answered within', titleX: -32 },
    },
  } as const;
  const labels = sloLabels(slosMs, x, width + MARGIN.right);
  return {
    description: `Share of requests that ${own.policy} answered within a latency${own.points.length === 0 ? ': none' : ''}`,
    width,
    height: SIZE.height - MARGIN.top - MARGIN.bottom,
    autosize: 'none',
    padding: MARGIN,
    layer: [
      {
        data: {
          values: all
            .filter((curve) => curve !== own)
            .flatMap(({ policy, points }) => thinned(points).map((each) => ({ ...each, policy }))),
        },
        mark: { type: 'line', interpolate: 'step-after', color: colour('other'), strokeWidth: 1.1 },
        encoding: { ...encoding, detail: { field: 'policy' } },
      },
      {
        data: { values: slosMs.map((ms) => ({ ms })) },
        mark: { type: 'rule', strokeDash: dash, color: colour('ink'), strokeWidth: 1 },
        encoding: { x: encoding.x },
      },
      {
        data: { values: labels },
        mark: { type: 'text', align: { expr: 'datum.align' }, baseline: 'bottom', dy: -4, color: colour('soft') },
        encoding: { x: encoding.x, y: { value: 0 }, text: { field: 'text' } },
      },
      {
        data: { values: [...own.points] },
        mark: { type: 'line', interpolate: 'step-after', color: colour(own.colour), strokeWidth: 2.2 },
        encoding,
      },
    ],
  };
}

/** Above their lines; those that would cover the one before are left out. */
function sloLabels(slosMs: readonly number[], x: (ms: number) => number, rightPx: number) {
  let endPx = -Infinity;
  return slosMs.flatMap((ms, i) => {
    const text = `${i === 0 ? 'SLO ' : ''}${ms.toLocaleString('en')} ms`;
    const widthPx = textWidthPx(text);
    const isAtEdge = x(ms) + widthPx / 2 > rightPx;
    const startPx = x(ms) - (isAtEdge ? widthPx : widthPx / 2);
    if (startPx < endPx) return [];
    endPx = startPx + widthPx;
    return [{ ms, text, align: isAtEdge ? 'right' : 'center' }];
  });
}

/** Behind others, half the points do. */
function thinned(points: LatencyCurve['points']): LatencyCurve['points'] {
  return points.filter((_, i) => i % 2 === 0 || i === points.length - 1);
}
