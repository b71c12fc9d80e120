import { MEASURES, liveSpread, type Setting } from '../live-tables.js';
import { colour, textWidthPx, type ChartSpec } from '../../../src/reports/chart.js';
import { boxAround, placeLabels } from '../../../src/reports/label-placement.js';
import { missedAxis, ZERO_PX } from '../../../src/reports/missed-axis.js';
import type { PolicyLook } from '../../../src/reports/policy-look.js';
import { LABEL_HEIGHT_PX, referenceLabel } from '../../../src/reports/reference-label.js';
import { roundTicks } from '../../../src/reports/ticks.js';

/*
 * What each live run cost against what it missed: a mark for every repetition, filled where idle CPU was released, hollow
 * where it was kept, a line between the medians of the two; the simulation of each is a plus. Points rather than medians
 * with whiskers: with three repetitions, the three are less than their summary.
 */

export interface RepetitionsFrame {
  readonly width: number;
  readonly height: number;
  /** Least core-seconds for all that can be served in time. */
  readonly referenceCoreSeconds: number;
}

/** A setting as it is drawn. */
export interface LookedSetting {
  readonly setting: Setting;
  readonly look: PolicyLook;
}

const MARGIN = { left: 62, right: 26, top: 12, bottom: 46 } as const;
const POINT_PX = 5;
const PLUS = 'M-1,0L1,0M0,-1L0,1';

export function repetitionsChart(settings: readonly LookedSetting[], frame: RepetitionsFrame): ChartSpec {
  const { referenceCoreSeconds } = frame;
  const width = frame.width - MARGIN.left - MARGIN.right;
  const height = frame.height - MARGIN.top - MARGIN.bottom;
  const all = settings.map(({ setting, look }) => ({ setting, look, ...pointsOf(setting) }));
  const points = all.flatMap(({ live, simulated }) => [...live, ...simulated]);
  const xTicks = roundTicks(0, Math.max(referenceCoreSeconds, ...points.map(({ cost }) => cost)), width < 400 ? 4 : 6);
  const most = xTicks.at(-1)!;
  const axis = missedAxis({
    shares: points.map(({ missed }) => missed),
    one: 1 / Math.max(1, ...settings.flatMap(({ setting }) => setting.live.map(({ measures }) => measures.sent))),
    height,
  });
  const placed = ({ cost, missed }: Point): Place => ({ x: (cost / most) * width, y: axis.y(missed) });

  const marks = all.flatMap(({ live, look, setting }) =>
    live.map((point) => ({
      ...placed(point),
      stroke: colour(look.colour),
      fill: setting.isIdleReleased ? colour(look.colour) : 'transparent',
      // A ring around the other where both are in one place.
      size: setting.isIdleReleased ? 45 : 90,
      shape: look.shape,
    })),
  );
  const pluses = all.flatMap(({ simulated, look }) =>
    simulated.map((point) => ({ ...placed(point), stroke: colour(look.colour) })),
  );
  const medians = all.map(({ setting, look }) => ({ setting, look, ...placed(medianOf(setting)) }));
  const referenceX = (referenceCoreSeconds / most) * width;
  return {
    description:
      'Violations against core-seconds, medians of live runs: ' +
      settings.map(({ setting }) => medianText(setting)).join('; '),
    width,
    height,
    autosize: 'none',
    padding: MARGIN,
    layer: [
      {
        // The axes.
        data: { values: [{ x: 0, y: 0 }] },
        mark: { type: 'point', opacity: 0 },
        encoding: {
          x: {
            field: 'x',
            type: 'quantitative',
            scale: { domain: [0, most], nice: false },
            axis: { values: xTicks, format: ',~f', grid: true, title: 'core-seconds of a run' },
          },
          y: {
            field: 'y',
            type: 'quantitative',
            scale: { domain: [height, 0], nice: false, zero: false },
            axis: {
              values: axis.ticks.map(({ at }) => at),
              labelExpr: `{${axis.ticks.map(({ at, text }) => `"${at}": "${text}"`).join(', ')}}[datum.value]`,
              title: 'violations, of all requests',
              titleX: -50,
            },
          },
        },
      },
      {
        data: { values: axis.zeroAt === null ? [] : [{ y: axis.zeroAt - ZERO_PX / 2 }] },
        mark: { type: 'rule', strokeDash: [1, 3], color: colour('edge') },
        encoding: { y: pixels('y') },
      },
      {
        data: { values: [{ x: referenceX }] },
        mark: { type: 'rule', strokeDash: [5, 4], color: colour('ink') },
        encoding: { x: pixels('x') },
      },
      {
        data: { values: joints(medians) },
        mark: { type: 'rule', strokeWidth: 1.2, opacity: 0.6 },
        encoding: {
          x: pixels('x'),
          x2: { field: 'toX' },
          y: pixels('y'),
          y2: { field: 'toY' },
          color: paint('stroke'),
        },
      },
      {
        data: { values: pluses },
        mark: { type: 'point', shape: PLUS, size: 110, strokeWidth: 1.4, filled: false },
        encoding: { x: pixels('x'), y: pixels('y'), stroke: paint('stroke') },
      },
      {
        data: { values: marks },
        mark: { type: 'point', filled: true, opacity: 0.85, strokeWidth: 1.5 },
        encoding: {
          x: pixels('x'),
          y: pixels('y'),
          stroke: paint('stroke'),
          fill: paint('fill'),
          size: { field: 'size', type: 'quantitative', scale: null },
          shape: { field: 'shape', type: 'nominal', scale: null },
        },
      },
      ...named(medians, [...marks, ...pluses], { width, height, referenceX, referenceCoreSeconds }),
    ],
  };
}

interface Point {
  readonly cost: number;
  readonly missed: number;
}

interface Place {
  readonly x: number;
  readonly y: number;
}

function pointsOf({ live, simulated }: Setting): { readonly live: Point[]; readonly simulated: Point[] } {
  const pointOf = ({ measures }: Pick<Setting['live'][number], 'measures'>): Point => ({
    cost: measures.coreSeconds,
    missed: measures.violationRate,
  });
  return { live: live.map(pointOf), simulated: simulated === null ? [] : [pointOf(simulated)] };
}

function medianOf(setting: Setting): Point {
  return {
    cost: liveSpread(setting, MEASURES.coreSeconds)!.median,
    missed: liveSpread(setting, MEASURES.violations)!.median,
  };
}

function medianText(setting: Setting): string {
  const { cost, missed } = medianOf(setting);
  const idle = setting.isIdleReleased ? '' : ' with idle CPU kept';
  return `${setting.liveCase.name}${idle} ${MEASURES.violations.text(missed)} % at ${MEASURES.coreSeconds.text(cost)}`;
}

interface Median extends Place, LookedSetting {}

/** Between the two settings of a policy. */
function joints(medians: readonly Median[]) {
  return medians.flatMap(({ setting, look, x, y }) => {
    const other = medians.find(
      (each) => each.setting.liveCase.name === setting.liveCase.name && each.setting.isIdleReleased,
    );
    return setting.isIdleReleased || other === undefined
      ? []
      : [{ x, y, toX: other.x, toY: other.y, stroke: colour(look.colour) }];
  });
}

interface NamesFrame {
  readonly width: number;
  readonly height: number;
  readonly referenceX: number;
  readonly referenceCoreSeconds: number;
}

/** Each policy once, at its first setting, and the reference at the top of its line. */
function named(medians: readonly Median[], marks: readonly Place[], frame: NamesFrame) {
  const { width, height, referenceX } = frame;
  const firsts = medians.filter(
    ({ setting }, index) => medians.findIndex((each) => each.setting.liveCase.name === setting.liveCase.name) === index,
  );
  const reference = `reference ${MEASURES.coreSeconds.text(frame.referenceCoreSeconds)}`;
  const referenceBox = referenceLabel(reference, referenceX, { width, height }, marks);
  const boxes = placeLabels(
    firsts.map(({ x, y, look }) => ({
      x,
      y,
      labelWidth: textWidthPx(look.label) + 2,
      labelHeight: LABEL_HEIGHT_PX,
    })),
    {
      frame: { x: 2, y: 0, width: width - 2, height: height - 2 },
      pointPx: POINT_PX + 2,
      obstacles: [
        referenceBox,
        { x: referenceX - 1, y: 0, width: 2, height },
        ...marks.map(({ x, y }) => boxAround(x, y, POINT_PX + 1)),
      ],
    },
  );
  const labels = firsts.map(({ look, x, y }, index) => {
    const { align, lineTo, ...box } = boxes[index]!;
    return {
      text: look.label,
      weight: look.colour === 'ours' ? 600 : 400,
      align,
      x: box.x + box.width * { left: 0, center: 0.5, right: 1 }[align],
      y: box.y + box.height / 2,
      line: lineTo === null ? null : { x, y, toX: lineTo[0], toY: lineTo[1] },
    };
  });
  const text = {
    type: 'text',
    align: { expr: 'datum.align' },
    baseline: 'middle',
    fontWeight: { expr: 'datum.weight' },
  } as const;
  const encoding = { x: pixels('x'), y: pixels('y'), text: { field: 'text' } } as const;
  return [
    {
      data: { values: labels.flatMap(({ line }) => (line === null ? [] : [line])) },
      mark: { type: 'rule', strokeWidth: 0.8, color: colour('edge') },
      encoding: { x: pixels('x'), x2: { field: 'toX' }, y: pixels('y'), y2: { field: 'toY' } },
    },
    {
      data: { values: [{ x: referenceBox.x, y: referenceBox.y + LABEL_HEIGHT_PX / 2, text: reference }] },
      mark: { type: 'text', align: 'left', baseline: 'middle', color: colour('soft') },
      encoding,
    },
    // A rim in the colour of the ground keeps names readable on lines.
    {
      data: { values: labels },
      mark: { ...text, stroke: colour('card'), strokeWidth: 3, strokeJoin: 'round' },
      encoding,
    },
    { data: { values: labels }, mark: text, encoding },
  ] as const;
}

/** A place that is already one. */
function pixels(field: string) {
  return { field, type: 'quantitative', scale: null, axis: null } as const;
}

function paint(field: string) {
  return { field, type: 'nominal', scale: null } as const;
}
