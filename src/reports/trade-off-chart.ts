import { shortPercentText } from '../scheduler/domain/percent.js';
import type { PolicySummary, SimulationSummary } from '../simulator/comparison/summary.js';
import { colour, textWidthPx, type ChartSpec, type Layer } from './chart.js';
import { placeLabels, type Box } from './label-placement.js';
import { missedAxis, ZERO_PX } from './missed-axis.js';
import type { PolicyLook } from './policy-look.js';
import { LABEL_HEIGHT_PX, referenceLabel } from './reference-label.js';
import { roundTicks } from './ticks.js';

/*
 * What a policy cost against what it missed, a point each. The share that was missed is on a logarithmic axis, because
 * policies differ by powers of ten; those that missed nothing stand below it, at a zero of their own.
 */

export interface ChartSize {
  readonly width: number;
  readonly height: number;
}

const MARGIN = { left: 62, right: 26, top: 12, bottom: 46 } as const;
const POINT_PX = 6;

export function tradeOffChart(summary: SimulationSummary, looks: readonly PolicyLook[], size: ChartSize): ChartSpec {
  const { policies, seeds } = summary;
  const width = size.width - MARGIN.left - MARGIN.right;
  const height = size.height - MARGIN.top - MARGIN.bottom;
  const reference = summary.referenceCoreSeconds === null ? null : summary.referenceCoreSeconds / seeds;
  const points = policies.map(pointOf);

  const costs = points.flatMap(({ leastCost, mostCost }) => [leastCost, mostCost]);
  const lowest = Math.min(...costs, ...(reference === null ? [] : [reference]));
  const highest = Math.max(...costs);
  const xTicks = roundTicks(lowest < highest / 2 ? 0 : lowest, highest, width < 400 ? 4 : 6);
  const [x0, x1] = [xTicks[0]!, xTicks.at(-1)!];
  const x = (value: number): number => ((value - x0) / (x1 - x0)) * width;
  const {
    y,
    ticks: yTicks,
    zeroAt,
  } = missedAxis({
    shares: points.flatMap(({ missed, leastMissed, mostMissed }) => [missed, leastMissed, mostMissed]),
    one: Math.max(...points.map(({ one }) => one)),
    height,
  });

  const drawn = points.map((point, index) => ({
    ...point,
    label: looks[index]!.label,
    weight: looks[index]!.colour === 'ours' ? 600 : 400,
    fill: colour(looks[index]!.colour),
    shape: looks[index]!.shape,
    x: x(point.cost),
    y: y(point.missed),
    x0: x(point.leastCost),
    x1: x(point.mostCost),
    y0: y(point.leastMissed),
    y1: y(point.mostMissed),
  }));
  const referenceBox =
    reference === null ? null : referenceLabel(referenceText(reference), x(reference), { width, height }, drawn);
  const placed = placeLabels(
    drawn.map((each) => ({
      x: each.x,
      y: each.y,
      labelWidth: textWidthPx(each.label) * (each.weight > 400 ? 1.08 : 1) + 2,
      labelHeight: LABEL_HEIGHT_PX,
    })),
    {
      frame: { x: 2, y: 0, width: width - 2, height: height - 2 },
      pointPx: POINT_PX,
      obstacles: [
        ...drawn.flatMap(whiskerBoxes),
        ...(referenceBox === null ? [] : [referenceBox, { x: x(reference!) - 1, y: 0, width: 2, height }]),
      ],
    },
  );
  const labels = drawn.map((each, index) => {
    const box = placed[index]!;
    const alignedAt = { left: 0, center: 0.5, right: 1 }[box.align];
    return {
      ...each,
      align: box.align,
      labelX: box.x + box.width * alignedAt,
      labelY: box.y + box.height / 2,
      lineTo: box.lineTo,
    };
  });

  return {
    description:
      'Violations, as a share of feasible requests, against core-seconds: ' +
      points
        .map(({ policy, cost, missed }) => `${policy} ${shortPercentText(missed)} at ${cost.toFixed(0)}`)
        .join('; '),
    width,
    height,
    autosize: 'none',
    padding: MARGIN,
    layer: [
      {
        // The axes.
        data: { values: [{ x: x0, y: 0 }] },
        mark: { type: 'point', opacity: 0 },
        encoding: {
          x: {
            field: 'x',
            type: 'quantitative',
            scale: { domain: [x0, x1], nice: false, zero: false },
            axis: {
              values: xTicks,
              format: ',.0f',
              grid: true,
              title: seeds === 1 ? 'core-seconds' : `core-seconds a seed, mean of ${seeds}`,
            },
          },
          y: {
            field: 'y',
            type: 'quantitative',
            scale: { domain: [height, 0], nice: false, zero: false },
            axis: {
              values: yTicks.map(({ at }) => at),
              labelExpr: `{${yTicks.map(({ at, text }) => `"${at}": "${text}"`).join(', ')}}[datum.value]`,
              title: 'violations, of feasible requests',
              titleX: -50,
            },
          },
        },
      },
      ...(zeroAt === null ? [] : [zeroLine(zeroAt - ZERO_PX / 2)]),
      ...(reference === null ? [] : referenceLayers(x(reference), reference, referenceBox!)),
      {
        data: { values: labels.filter(({ x0, x1 }) => x1 - x0 > 1) },
        mark: { type: 'rule', strokeWidth: 1.4 },
        encoding: { x: pixels('x0'), x2: { field: 'x1' }, y: pixels('y'), color: paint },
      },
      {
        data: { values: labels.filter(({ y0, y1 }) => y0 - y1 > 1) },
        mark: { type: 'rule', strokeWidth: 1.4 },
        encoding: { y: pixels('y0'), y2: { field: 'y1' }, x: pixels('x'), color: paint },
      },
      {
        data: {
          values: labels.flatMap(({ x, y, lineTo }) =>
            lineTo === null ? [] : [{ x, y, toX: lineTo[0], toY: lineTo[1] }],
          ),
        },
        mark: { type: 'rule', strokeWidth: 0.8, color: colour('edge') },
        encoding: { x: pixels('x'), x2: { field: 'toX' }, y: pixels('y'), y2: { field: 'toY' } },
      },
      {
        data: { values: labels.toReversed() },
        mark: { type: 'point', filled: true, opacity: 1, size: 80, stroke: colour('card'), strokeWidth: 1.2 },
        encoding: {
          x: pixels('x'),
          y: pixels('y'),
          fill: paint,
          shape: { field: 'shape', type: 'nominal', scale: null },
        },
      },
      {
        // A rim in the colour of the ground keeps names readable on lines.
        data: { values: labels },
        mark: {
          ...LABEL,
          stroke: colour('card'),
          strokeWidth: 3,
          strokeJoin: 'round',
        },
        encoding: { x: pixels('labelX'), y: pixels('labelY'), text: { field: 'label' } },
      },
      {
        data: { values: labels },
        mark: LABEL,
        encoding: { x: pixels('labelX'), y: pixels('labelY'), text: { field: 'label' } },
      },
    ],
  };
}

/** A place that is already one. */
function pixels(field: string) {
  return { field, type: 'quantitative', scale: null, axis: null } as const;
}

function zeroLine(y: number): Layer {
  return {
    data: { values: [{ y }] },
    mark: { type: 'rule', strokeDash: [1, 3], color: colour('edge') },
    encoding: { y: pixels('y') },
  };
}

function referenceLayers(at: number, reference: number, { x, y, height }: Box): Layer[] {
  return [
    {
      data: { values: [{ x: at }] },
      mark: { type: 'rule', strokeDash: [5, 4], color: colour('ink') },
      encoding: { x: pixels('x') },
    },
    {
      data: { values: [{ x, y: y + height / 2, text: referenceText(reference) }] },
      mark: { type: 'text', align: 'left', baseline: 'middle', color: colour('soft') },
      encoding: { x: pixels('x'), y: pixels('y'), text: { field: 'text' } },
    },
  ];
}

const LABEL = {
  type: 'text',
  align: { expr: 'datum.align' },
  baseline: 'middle',
  fontWeight: { expr: 'datum.weight' },
} as const;
const paint = { field: 'fill', type: 'nominal', scale: null } as const;

interface Point {
  readonly policy: string;
  readonly cost: number;
  readonly leastCost: number;
  readonly mostCost: number;
  readonly missed: number;
  readonly leastMissed: number;
  readonly mostMissed: number;
  /** One request's share of those that were due. */
  readonly one: number;
}

function pointOf(summary: PolicySummary): Point {
  const { policy, coreSeconds, perSeed, violationRateFeasible } = summary;
  const costs = perSeed.map((each) => each.coreSeconds);
  const missed = perSeed.map((each) => each.violationRateFeasible);
  return {
    policy,
    cost: coreSeconds / perSeed.length,
    leastCost: Math.min(...costs),
    mostCost: Math.max(...costs),
    missed: violationRateFeasible,
    leastMissed: Math.min(...missed),
    mostMissed: Math.max(...missed),
    one: 1 / Math.max(1, summary.sent - summary.cancelled - summary.infeasibleOnArrival),
  };
}

function referenceText(reference: number): string {
  return `reference ${reference.toFixed(0)}`;
}

function whiskerBoxes({ x, y, x0, x1, y0, y1 }: Record<'x' | 'y' | 'x0' | 'x1' | 'y0' | 'y1', number>): Box[] {
  return [
    { x: x0, y: y - 1, width: x1 - x0, height: 2 },
    { x: x - 1, y: y1, width: 2, height: y0 - y1 },
  ];
}
