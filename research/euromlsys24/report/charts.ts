import { logTicks } from '../../../src/reports/svg-axis.js';
import { fittedLatencyMs } from '../../../src/scheduler/perf-model/fit.js';
import { colour, type ChartSpec, type ColourName, type Layer } from '../../../src/reports/chart.js';
import type { LatencyFit } from '../latency-fits.js';
import { SLO_MS } from '../published.js';
import type { RemainingSlo } from '../remaining-slo.js';

/* The paper's figures, drawn from our numbers. */

/** A named colour each. */
function seriesColours(names: readonly string[], colours: readonly ColourName[], columns: number) {
  return {
    field: 'series',
    type: 'nominal',
    scale: { domain: [...names], range: colours.map(colour) },
    legend: { title: null, symbolType: 'stroke', symbolStrokeWidth: 3, symbolSize: 160, columns },
  } as const;
}

function timeAxis(seconds: number, title: string | null) {
  const domain = [0, seconds];
  return {
    field: 'second',
    type: 'quantitative',
    scale: { domain, nice: false },
    axis: { title, tickCount: 6, grid: true },
  } as const;
}

export function bandwidthChart(megabytesPerSec: readonly number[], width: number): ChartSpec {
  return {
    description: `Bandwidth in MB/s over ${megabytesPerSec.length} s`,
    width,
    height: 220,
    data: { values: stepsOf(megabytesPerSec) },
    mark: { type: 'line', interpolate: 'step-after', strokeWidth: 1.2, color: colour('ours') },
    encoding: {
      x: timeAxis(megabytesPerSec.length, 'time, s'),
      y: { field: 'value', type: 'quantitative', axis: { title: 'bandwidth, MB/s', tickCount: 5 } },
    },
  };
}

/** The motivation: three sizes, one network. */
export function remainingSloChart(all: readonly RemainingSlo[], width: number): ChartSpec {
  const shown = all.filter(({ published }) => published.worstRemainingSec !== null);
  const nameOf = ({ published }: RemainingSlo): string => `${published.bytes / 1024} KiB`;
  const seconds = shown[0]!.remainingMsBySecond.length;
  return {
    description:
      'Remaining SLO in s against time: ' +
      shown.map((each) => `${nameOf(each)} at worst ${(leastMs(each) / 1000).toFixed(2)}`).join(', '),
    width,
    height: 220,
    data: {
      values: shown.flatMap((each) =>
        each.remainingMsBySecond.map((remainingMs, second) => ({
          series: nameOf(each),
          second,
          remaining: Math.max(0, remainingMs) / SLO_MS,
        })),
      ),
    },
    mark: { type: 'line', strokeWidth: 1.2 },
    encoding: {
      x: timeAxis(seconds, 'time, s'),
      y: {
        field: 'remaining',
        type: 'quantitative',
        scale: { domain: [0, 1], nice: false },
        axis: { title: 'remaining SLO, s', tickCount: 5 },
      },
      color: seriesColours(shown.map(nameOf), ['ours', 'amber', 'vermilion'], 3),
    },
  };
}

function leastMs({ remainingMsBySecond }: RemainingSlo): number {
  return remainingMsBySecond.reduce((least, each) => Math.min(least, each), Infinity);
}

export interface PolicyBySecond {
  readonly title: string;
  readonly colour: ColourName;
  readonly paperPercentBySecond: readonly number[];
  readonly coresBySecond: readonly number[];
}

const PANEL_PX = 62;

/** A panel a policy: their shares differ by powers of ten. */
export function violationsChart(policies: readonly PolicyBySecond[], width: number): ChartSpec {
  return {
    description:
      "Violations of each second by the paper's measure, percent: " +
      policies
        .map(({ title, paperPercentBySecond }) => `${title} at most ${Math.max(...paperPercentBySecond)}`)
        .join(', '),
    spacing: 22,
    vconcat: policies.map((policy, index) => {
      const { title, paperPercentBySecond: values } = policy;
      const isLast = index === policies.length - 1;
      const domain = [0, Math.max(5, ...values)];
      return {
        title,
        width,
        height: PANEL_PX,
        data: { values: stepsOf(values) },
        mark: { type: 'area', interpolate: 'step-after', color: colour(policy.colour), line: false },
        encoding: {
          x: { ...timeAxis(values.length, isLast ? 'time, s' : null) },
          y: {
            field: 'value',
            type: 'quantitative',
            scale: { domain, nice: true },
            axis: { title: '%', tickCount: 3, minExtent: 34, maxExtent: 34 },
          },
        },
      } as const;
    }),
  };
}

export function coresChart(policies: readonly PolicyBySecond[], width: number): ChartSpec {
  const seconds = policies[0]!.paperPercentBySecond.length;
  return {
    description:
      'Cores held over time: ' +
      policies
        .map(({ title, coresBySecond }) => `${title} at most ${Math.max(...coresBySecond).toFixed(0)}`)
        .join(', '),
    width,
    height: 260,
    data: {
      values: policies.flatMap(({ title, coresBySecond }) =>
        stepsOf(coresBySecond.slice(0, seconds)).map((each) => ({ series: title, ...each })),
      ),
    },
    mark: { type: 'line', interpolate: 'step-after', strokeWidth: 1.1 },
    encoding: {
      x: timeAxis(seconds, 'time, s'),
      y: {
        field: 'value',
        type: 'quantitative',
        scale: { domain: [0, 18], nice: false },
        axis: { title: 'cores', values: [0, 4, 8, 12, 16] },
      },
      color: seriesColours(
        policies.map(({ title }) => title),
        policies.map((policy) => policy.colour),
        2,
      ),
    },
  };
}

/** The last value holds until its second is over. */
function stepsOf(values: readonly number[]): { second: number; value: number }[] {
  const steps = values.map((value, second) => ({ second, value }));
  const last = steps.at(-1);
  return last === undefined ? [] : [...steps, { second: values.length, value: last.value }];
}

export interface CoreShare {
  readonly series: string;
  readonly byCores: Readonly<Record<number, number>>;
}

/** How long what was held, side by side. @param shares of the time, any unit; each series is scaled to 100 % */
export function heldCoresChart(shares: readonly CoreShare[], colours: readonly ColourName[], width: number): ChartSpec {
  const cores = [...new Set(shares.flatMap(({ byCores }) => Object.keys(byCores).map(Number)))].sort((a, b) => a - b);
  return {
    description: `Share of the time by cores held: ${shares.map(({ series }) => series).join(' and ')}`,
    width,
    height: 220,
    data: {
      values: shares.flatMap(({ series, byCores }) => {
        const total = Object.values(byCores).reduce((sum, each) => sum + each, 0);
        return cores.map((each) => ({ series, cores: each, percent: (100 * (byCores[each] ?? 0)) / total }));
      }),
    },
    mark: { type: 'bar' },
    encoding: {
      x: { field: 'cores', type: 'ordinal', axis: { title: null, labelAngle: 0 } },
      xOffset: { field: 'series', sort: shares.map(({ series }) => series) },
      y: { field: 'percent', type: 'quantitative', axis: { title: '% of decisions', tickCount: 5 } },
      color: {
        ...seriesColours(
          shares.map(({ series }) => series),
          colours,
          2,
        ),
        legend: { title: null, symbolType: 'square' },
      },
    },
  };
}

const CORE_COLOURS: readonly ColourName[] = ['vermilion', 'amber', 'green', 'ours', 'purple', 'slate'];

/** Measured cells and the curves fitted to them. */
export function fitChart({ published, points, coefficients }: LatencyFit, width: number): ChartSpec {
  const cores = [...new Set(points.map(({ cpuMillicores }) => cpuMillicores / 1000))].sort((a, b) => a - b);
  const sizes = [...new Set(points.map(({ batchSize }) => batchSize))].sort((a, b) => a - b);
  const largest = sizes.at(-1)!;
  const nameOf = (each: number): string => `${each}`;
  const curve = cores
    .flatMap((each) =>
      Array.from({ length: largest }, (_, index) => ({
        series: nameOf(each),
        batchSize: index + 1,
        latencyMs: fittedLatencyMs(coefficients, index + 1, each * 1000),
      })),
    )
    .filter(({ latencyMs }) => latencyMs > 0);
  const colours = seriesColours(cores.map(nameOf), CORE_COLOURS.slice(0, cores.length), cores.length);
  const ends = [1, largest];
  const x = {
    field: 'batchSize',
    type: 'quantitative',
    scale: { type: 'log', base: 2, domain: ends, nice: false },
    axis: { title: 'batch size', values: sizes, grid: true },
  } as const;
  const latencies = [...curve, ...points].map(({ latencyMs }) => latencyMs);
  const range = [Math.min(...latencies) / 1.2, Math.max(...latencies) * 1.2];
  const y = {
    field: 'latencyMs',
    type: 'quantitative',
    scale: { type: 'log', domain: range, nice: false },
    axis: { title: 'latency, ms', values: logTicks(range[0]!, range[1]!), format: 'd' },
  } as const;
  const layers: Layer[] = [
    {
      data: { values: curve },
      mark: { type: 'line', strokeWidth: 1.3 },
      encoding: { x, y, color: { ...colours, legend: { ...colours.legend, title: 'cores' } } },
    },
    {
      data: {
        values: points.map(({ batchSize, cpuMillicores, latencyMs }) => ({
          series: nameOf(cpuMillicores / 1000),
          batchSize,
          latencyMs,
        })),
      },
      mark: { type: 'point', filled: true, size: 42, opacity: 1 },
      encoding: { x, y, color: { ...colours, legend: { ...colours.legend, title: 'cores' } } },
    },
  ];
  return {
    description: `${published.title}: measured latency against batch size for ${cores.join(', ')} cores, and the fit`,
    width,
    height: 240,
    layer: layers,
  };
}
