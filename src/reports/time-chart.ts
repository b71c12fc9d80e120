import type { TopLevelSpec } from 'vega-lite';
import { colour, type ChartSpec, type ColourName, type Layer } from './chart.js';
import { ticksWithin } from './ticks.js';
import { binLengthSec, binned, timeUnit } from './time-bins.js';

/*
 * Small panels on common axes: what was held over time, beside it the same sorted by size, below it the violations. Panels
 * rather than lines in one: with two policies that resize several times a second, one already hides the other.
 */

export interface TimePanel {
  readonly description: string;
  readonly colour: ColourName;
  readonly title: string;
  /** One value a second. */
  readonly values: readonly number[];
  /** For how long which value was held, ascending; durations in any unit. */
  readonly held: readonly (readonly [value: number, duration: number])[];
  /** In each second; absent where there is no such thing. */
  readonly violations?: readonly number[];
}

/** The ends of the axes that panels have in common. */
export interface TimeFrame {
  readonly seconds: number;
  readonly most: number;
  readonly mostViolationsPerSec: number;
}

const TIME_PX = 216;
const SORTED_PX = 72;
const HELD_PX = 112;
const VIOLATIONS_PX = 40;
/** What labels take left of the panels, so that all are as wide. */
const AXIS_PX = 30;
/** Room for the lower row's title. */
const ROW_GAP_PX = 32;
/** So that the last label of one part is not read together with the first of the next. */
const COLUMN_GAP_PX = 22;
/** A tick for each bin with any violation, however few: the bar alone may be thinner than a line. */
const RUG_PX = 5;

/** The most that a drawing of so many seconds shows of them. */
export function mostShownPerSec(violations: readonly number[], seconds: number): number {
  return binned(violations, binLengthSec(seconds)).reduce((most, { mean }) => Math.max(most, mean), 0);
}

export function timeChart(panel: TimePanel, frame: TimeFrame): ChartSpec {
  const { description, violations } = panel;
  const height = violations === undefined ? HELD_PX + ROW_GAP_PX + VIOLATIONS_PX : HELD_PX;
  return {
    description,
    columns: 2,
    spacing: { row: ROW_GAP_PX, column: COLUMN_GAP_PX },
    bounds: 'flush',
    padding: 2,
    concat: [
      heldPart(panel, frame, height),
      sortedPart(panel, frame, height),
      ...(violations === undefined ? [] : [violationsPart(violations, frame)]),
    ],
  };
}

function heldPart({ values, colour: name, title, violations }: TimePanel, frame: TimeFrame, height: number): Part {
  const lengthSec = binLengthSec(frame.seconds);
  // With violations below, theirs is the labelled axis.
  const x = timeAxis(frame, violations === undefined);
  const band: Layer = {
    mark: { type: 'area', interpolate: 'step-after', color: colour(name), opacity: 0.22 },
    encoding: { x, y: valueAxis('least', frame.most, 4), y2: { field: 'most' } },
  };
  const means: Layer = {
    mark: { type: 'line', interpolate: 'step-after', color: colour(name), strokeWidth: 1.3 },
    encoding: { x, y: valueAxis('mean', frame.most, 4) },
  };
  return {
    title,
    width: TIME_PX,
    height,
    data: { values: stepsOf(values, frame) },
    layer: lengthSec === 1 ? [means] : [band, means],
  };
}

function sortedPart({ held, colour: name }: TimePanel, { most }: TimeFrame, height: number): Part {
  const line = { color: colour(name), strokeWidth: 1.3 };
  return {
    title: 'sorted',
    width: SORTED_PX,
    height,
    data: { values: sortedOf(held) },
    mark: { type: 'area', interpolate: 'step-after', color: colour(name), opacity: 0.55, line },
    encoding: {
      x: {
        field: 'share',
        type: 'quantitative',
        scale: { domain: [0, 100], nice: false },
        axis: { values: [0, 50, 100], title: '% of time', grid: true },
      },
      y: {
        field: 'value',
        type: 'quantitative',
        scale: { domain: [0, most], nice: false },
        axis: { values: ticksWithin(most, 4), title: null, labels: false },
      },
    },
  };
}

function violationsPart(violations: readonly number[], frame: TimeFrame): Part {
  const x = timeAxis(frame, true);
  return {
    title: 'violations per s',
    width: TIME_PX,
    height: VIOLATIONS_PX,
    data: { values: stepsOf(violations, frame) },
    layer: [
      {
        mark: { type: 'area', interpolate: 'step-after', color: colour('ink') },
        encoding: { x, y: valueAxis('mean', frame.mostViolationsPerSec || 1, 2) },
      },
      {
        transform: [{ filter: 'datum.mean > 0' }],
        mark: { type: 'rule', color: colour('ink'), strokeWidth: 1, opacity: 0.7 },
        encoding: { x, y: { value: VIOLATIONS_PX + 2 }, y2: { value: VIOLATIONS_PX + 2 + RUG_PX } },
      },
    ],
  };
}

type Part = Extract<TopLevelSpec, { concat: unknown }>['concat'][number];

function timeAxis({ seconds }: TimeFrame, isLabelled: boolean) {
  const unit = timeUnit(seconds);
  const end = seconds / unit.seconds;
  const domain = [0, end];
  const title = isLabelled ? `time, ${unit.name}` : null;
  return {
    field: 't',
    type: 'quantitative',
    scale: { domain, nice: false },
    axis: { values: ticksWithin(end, 4), labels: isLabelled, title, grid: true, labelPadding: RUG_PX + 1 },
  } as const;
}

function valueAxis(field: string, most: number, ticks: number) {
  const domain = [0, most];
  const values = ticksWithin(most, ticks);
  return {
    field,
    type: 'quantitative',
    scale: { domain, nice: false },
    axis: { values, title: null, minExtent: AXIS_PX, maxExtent: AXIS_PX },
  } as const;
}

/** The bins of one value a second, and an end for the last. */
function stepsOf(bySecond: readonly number[], { seconds }: TimeFrame) {
  const unitSec = timeUnit(seconds).seconds;
  const steps = binned(bySecond, binLengthSec(seconds)).map(({ fromSec, ...values }) => ({
    t: fromSec / unitSec,
    ...values,
  }));
  const last = steps.at(-1);
  return last === undefined ? [] : [...steps, { ...last, t: bySecond.length / unitSec }];
}

/** The share of the time in which at least so much was held, largest first. */
function sortedOf(held: TimePanel['held']) {
  const total = held.reduce((sum, [, duration]) => sum + duration, 0);
  let before = 0;
  const steps = held.toReversed().map(([value, duration]) => {
    const share = (100 * before) / total;
    before += duration;
    return { share, value };
  });
  const last = steps.at(-1);
  return last === undefined ? [] : [...steps, { ...last, share: 100 }];
}
