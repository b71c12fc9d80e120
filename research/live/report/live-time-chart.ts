import type { SeriesBin } from '../series-bins.js';
import { colour, type ChartSpec, type ColourName, type Layer } from '../../../src/reports/chart.js';
import { ticksWithin } from '../../../src/reports/ticks.js';
import { timeUnit } from '../../../src/reports/time-bins.js';

/*
 * One policy over time, live in its colour and simulated as a dashed line below it that shows where the two differ: cores, queue, violations and batch sizes
 * below each other on one time axis. A panel a policy, all on the same axes, so that they can be compared.
 */

export interface LiveTimePanel {
  readonly description: string;
  readonly colour: ColourName;
  readonly live: readonly SeriesBin[];
  /** Empty where nothing was simulated. */
  readonly simulated: readonly SeriesBin[];
}

/** The ends of the axes that panels have in common. */
export interface LiveTimeFrame {
  readonly seconds: number;
  readonly mostCores: number;
  readonly mostQueued: number;
  readonly mostViolationsPerSec: number;
  readonly mostBatchSize: number;
}

const WIDTH_PX = 300;
/** What labels take left of the panels, so that all are as wide. */
const AXIS_PX = 30;
const ROW_GAP_PX = 34;
/** The title is placed above the highest label of the axis, which is above the panel itself. */
const TITLE_OFFSET_PX = 1;
/** A tick for each bin with any violation, however few: the bar alone may be thinner than a line. */
const RUG_PX = 5;
/** Told apart from a policy whose own colour is nearly that of the text. */
const SIMULATED_DASH = [3, 2];

export function liveTimeFrame(panels: readonly Pick<LiveTimePanel, 'live' | 'simulated'>[]): LiveTimeFrame {
  const bins = panels.flatMap(({ live, simulated }) => [...live, ...simulated]);
  const most = (of: (bin: SeriesBin) => number): number => bins.reduce((so, bin) => Math.max(so, of(bin)), 0);
  return {
    seconds: most(({ fromSec, lengthSec }) => fromSec + lengthSec),
    mostCores: most(({ grantedCores }) => grantedCores.most) || 1,
    mostQueued: most(({ queueDepth }) => queueDepth) || 1,
    mostViolationsPerSec: most(({ violations, lengthSec }) => violations / lengthSec) || 1,
    mostBatchSize: most(({ batchSize }) => batchSize?.most ?? 0) || 1,
  };
}

/** Of one bin, in one of the rows. */
interface Step {
  readonly t: number;
  readonly mean: number | null;
  readonly least: number | null;
  readonly most: number | null;
}

interface Row {
  readonly title: string;
  readonly heightPx: number;
  readonly most: number;
  readonly ticks: number;
  /** Few differ by powers of ten, and then the small one is what is looked for. */
  readonly isSquareRoot?: boolean;
  readonly of: (bin: SeriesBin) => Omit<Step, 't'>;
}

function rowsOf(frame: LiveTimeFrame): Row[] {
  const single = (value: number): Omit<Step, 't'> => ({ mean: value, least: 0, most: value });
  return [
    {
      title: 'cores granted',
      heightPx: 96,
      most: frame.mostCores,
      ticks: 4,
      of: ({ grantedCores }) => grantedCores,
    },
    {
      title: 'queued requests, at most (√ scale)',
      heightPx: 56,
      most: frame.mostQueued,
      ticks: 3,
      isSquareRoot: true,
      of: ({ queueDepth }) => single(queueDepth),
    },
    {
      title: 'violations per s',
      heightPx: 40,
      most: frame.mostViolationsPerSec,
      ticks: 2,
      of: ({ violations, lengthSec }) => single(violations / lengthSec),
    },
    {
      title: 'batch size',
      heightPx: 52,
      most: frame.mostBatchSize,
      ticks: 3,
      of: ({ batchSize }) => batchSize ?? { mean: null, least: null, most: null },
    },
  ];
}

export function liveTimeChart(panel: LiveTimePanel, frame: LiveTimeFrame): ChartSpec {
  const rows = rowsOf(frame);
  return {
    description: panel.description,
    spacing: ROW_GAP_PX,
    bounds: 'flush',
    padding: 2,
    vconcat: rows.map((row, index) => ({
      title: { text: row.title, offset: TITLE_OFFSET_PX },
      width: WIDTH_PX,
      height: row.heightPx,
      layer: rowLayers(row, panel, frame, index === rows.length - 1),
    })),
  };
}

function rowLayers(row: Row, panel: LiveTimePanel, { seconds }: LiveTimeFrame, isLabelled: boolean): Layer[] {
  const x = timeAxis(seconds, isLabelled);
  const y = valueAxis('mean', row);
  const live = stepsOf(panel.live, row, seconds);
  const simulated = stepsOf(panel.simulated, row, seconds);
  const layers: Layer[] = [
    {
      data: { values: live },
      mark: { type: 'area', interpolate: 'step-after', color: colour(panel.colour), opacity: 0.25 },
      encoding: { x, y: valueAxis('least', row), y2: { field: 'most' } },
    },
    {
      data: { values: simulated },
      mark: {
        type: 'line',
        interpolate: 'step-after',
        color: colour('ink'),
        strokeWidth: 1.2,
        strokeDash: SIMULATED_DASH,
      },
      encoding: { x, y },
    },
    {
      data: { values: live },
      mark: { type: 'line', interpolate: 'step-after', color: colour(panel.colour), strokeWidth: 1.5 },
      encoding: { x, y },
    },
  ];
  return row.title.startsWith('violations') ? [...layers, rug(live, row.heightPx, panel.colour, x)] : layers;
}

function rug(live: readonly Step[], heightPx: number, name: ColourName, x: ReturnType<typeof timeAxis>): Layer {
  return {
    data: { values: live.filter(({ mean }) => mean !== null && mean > 0) },
    mark: { type: 'rule', color: colour(name), strokeWidth: 1 },
    encoding: { x, y: { value: heightPx + 2 }, y2: { value: heightPx + 2 + RUG_PX } },
  };
}

function timeAxis(seconds: number, isLabelled: boolean) {
  const unit = timeUnit(seconds);
  const end = seconds / unit.seconds;
  const domain = [0, end];
  const title = isLabelled ? `time, ${unit.name}` : null;
  return {
    field: 't',
    type: 'quantitative',
    scale: { domain, nice: false },
    axis: { values: ticksWithin(end, 5), labels: isLabelled, title, grid: true },
  } as const;
}

function valueAxis(field: string, { most, ticks, isSquareRoot = false }: Row) {
  const domain = [0, most];
  const values = isSquareRoot ? squareRootTicks(most) : ticksWithin(most, ticks);
  return {
    field,
    type: 'quantitative',
    scale: { domain, nice: false, ...(isSquareRoot ? { type: 'sqrt' as const } : {}) },
    axis: { values, title: null, minExtent: AXIS_PX, maxExtent: AXIS_PX },
  } as const;
}

/** The end, a ninth of it and the start are evenly spaced on such an axis; rounded to one digit. */
function squareRootTicks(most: number): number[] {
  const round = (value: number): number => {
    const power = 10 ** Math.floor(Math.log10(value));
    return Math.max(1, Math.floor(value / power) * power);
  };
  return [...new Set([0, round(most / 9), round(most / 2.25), round(most)])].filter((tick) => tick <= most);
}

/** The bins, and an end for the last. */
function stepsOf(bins: readonly SeriesBin[], { of }: Row, seconds: number): Step[] {
  const unitSec = timeUnit(seconds).seconds;
  const steps = bins.map((bin) => ({ t: bin.fromSec / unitSec, ...of(bin) }));
  const [last, lastBin] = [steps.at(-1), bins.at(-1)];
  return last === undefined ? [] : [...steps, { ...last, t: (lastBin!.fromSec + lastBin!.lengthSec) / unitSec }];
}
