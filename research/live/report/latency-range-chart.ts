import { logTicks } from '../../../src/reports/svg-axis.js';
import { idleText, liveSpread, MEASURES } from '../live-tables.js';
import { colour, textWidthPx, type ChartSpec } from '../../../src/reports/chart.js';
import type { LookedSetting } from './repetitions-chart.js';

/*
 * From the typical to the slow answer: a line from p50 to p99 for every policy and setting, medians of the live runs, with
 * the SLO across all of them. A policy may be on time by being fast or by being just in time; this is where one sees which.
 */

export interface LatencyRangeFrame {
  readonly width: number;
  readonly height: number;
  /** Marked; each once, ascending. */
  readonly slosMs: readonly number[];
}

const MARGIN = { right: 20, top: 22, bottom: 46 } as const;

export function latencyRangeChart(settings: readonly LookedSetting[], frame: LatencyRangeFrame): ChartSpec {
  const { slosMs } = frame;
  const rows = settings.flatMap(({ setting, look }) => {
    const [p50, p99] = [liveSpread(setting, MEASURES.latencyP50Ms), liveSpread(setting, MEASURES.latencyP99Ms)];
    if (p50 === null || p99 === null) return [];
    const stroke = colour(look.colour);
    return [
      {
        row: `${look.label}, ${idleText(setting.isIdleReleased)}`,
        p50: p50.median,
        p99: p99.median,
        stroke,
        fill: setting.isIdleReleased ? stroke : colour('card'),
      },
    ];
  });
  const names = rows.map(({ row }) => row);
  const left = Math.max(40, ...names.map((name) => textWidthPx(name))) + 12;
  const ends = [...slosMs, ...rows.flatMap(({ p50, p99 }) => [p50, p99])].filter((ms) => ms > 0);
  const [leastMs, mostMs] = ends.length === 0 ? [1, 1000] : [Math.min(...ends) / 1.2, Math.max(...ends) * 1.2];
  const domain = [leastMs, mostMs];
  const x = (field: string) =>
    ({
      field,
      type: 'quantitative',
      scale: { type: 'log', domain, nice: false },
      axis: { values: logTicks(leastMs, mostMs), format: ',.0f', title: 'ms from sending to the answer', grid: true },
    }) as const;
  const y = {
    field: 'row',
    type: 'nominal',
    sort: names,
    scale: { domain: names },
    axis: { title: null, labelLimit: left, labelColor: colour('ink') },
  } as const;
  const stroke = { field: 'stroke', type: 'nominal', scale: null } as const;
  const fill = { field: 'fill', type: 'nominal', scale: null } as const;
  const slos = slosMs.map((ms) => ({ ms, text: `SLO ${ms.toLocaleString('en')}` }));
  return {
    description:
      'Latency from p50 to p99, ms: ' +
      rows.map(({ row, p50, p99 }) => `${row} ${Math.round(p50)} to ${Math.round(p99)}`).join('; '),
    width: frame.width - left - MARGIN.right,
    height: frame.height - MARGIN.top - MARGIN.bottom,
    autosize: 'none',
    padding: { ...MARGIN, left },
    layer: [
      {
        data: { values: slos },
        mark: { type: 'rule', strokeDash: [4, 3], color: colour('ink') },
        encoding: { x: x('ms') },
      },
      {
        // Two would lie on each other as soon as the SLOs are close.
        data: { values: slos.slice(-1) },
        mark: { type: 'text', align: 'center', baseline: 'bottom', dy: -5, color: colour('soft') },
        encoding: { x: x('ms'), y: { value: 0 }, text: { field: 'text' } },
      },
      {
        data: { values: rows },
        mark: { type: 'rule', strokeWidth: 2, opacity: 0.55 },
        encoding: { x: x('p50'), x2: { field: 'p99' }, y, color: stroke },
      },
      ...(['p50', 'p99'] as const).map(
        (field) =>
          ({
            data: { values: rows },
            mark: {
              type: 'point',
              filled: true,
              opacity: 1,
              size: 60,
              strokeWidth: 1.5,
              shape: field === 'p50' ? 'circle' : 'triangle-right',
            },
            encoding: { x: x(field), y, stroke, fill },
          }) as const,
      ),
    ],
  };
}
