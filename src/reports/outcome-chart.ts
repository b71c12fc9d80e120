import type { OutcomeCounts } from '../simulator/sim/outcome-ledger.js';
import type { PolicySummary } from '../simulator/comparison/summary.js';
import { colour, FONT_PX, textWidthPx, type ChartSpec, type ColourName } from './chart.js';
import type { PolicyLook } from './policy-look.js';

/*
 * What became of all requests: a bar a policy, those that were not answered on time first, so that they begin at one line
 * and can be compared; how many they were is written beside it, because beside a policy that misses half of them nothing
 * can be seen of one that misses a thousandth. Bars of those alone were rejected: five requests looked like thousands.
 */

/** In the order of the stack. */
const FATES = [
  { key: 'late', name: 'answered late', colour: 'late' },
  { key: 'rejectedInfeasible', name: 'refused: cannot be in time', colour: 'refused' },
  { key: 'rejectedOverload', name: 'refused: overload', colour: 'overloaded' },
  { key: 'expired', name: 'expired', colour: 'expired' },
  { key: 'failed', name: 'failed', colour: 'failed' },
  { key: 'cancelled', name: 'client left', colour: 'left' },
  { key: 'onTime', name: 'on time', colour: 'punctual' },
] as const satisfies readonly {
  readonly key: keyof OutcomeCounts;
  readonly name: string;
  readonly colour: ColourName;
}[];

/** Lower with many policies. */
const ROW_PX = { least: 24, most: 44 } as const;
/** Of a row. */
const BAR_FRACTION = 0.62;
const RIGHT_PX = 118;
const LEGEND_ROW_PX = 20;
/** Of the legend's coloured square and the space to the next entry. */
const LEGEND_ENTRY_PX = 32;

export function outcomeChart(
  policies: readonly PolicySummary[],
  looks: readonly PolicyLook[],
  totalWidth: number,
  /** Of the bars together, where it can be. */
  idealHeight: number,
): ChartSpec {
  const fates = FATES.filter(({ key }) => policies.some((policy) => policy[key] > 0));
  const labels = looks.map(({ label }) => label);
  const left = Math.max(...labels.map((label) => textWidthPx(label))) + 10;
  const width = totalWidth - left - RIGHT_PX;
  const rowPx = Math.min(ROW_PX.most, Math.max(ROW_PX.least, Math.floor(idealHeight / policies.length)));
  const height = policies.length * rowPx;
  const ticks = width < 250 ? [0, 50, 100] : [0, 25, 50, 75, 100];
  const legend = legendPlaces(fates, left, totalWidth);

  return {
    description:
      'What became of the requests: ' + policies.map((policy) => `${policy.policy} ${fateText(policy)}`).join('; '),
    width,
    height,
    autosize: 'none',
    padding: { left, right: RIGHT_PX, top: legend.height, bottom: 44 },
    layer: [
      {
        data: {
          values: policies.flatMap((policy, row) => {
            let from = 0;
            return fates.map(({ key, colour: name }) => {
              const start = from;
              from += (100 * policy[key]) / Math.max(1, policy.sent);
              return { label: labels[row]!, from: start, to: from, fill: colour(name) };
            });
          }),
        },
        mark: { type: 'bar', height: rowPx * BAR_FRACTION },
        encoding: {
          x: {
            field: 'from',
            type: 'quantitative',
            scale: { domain: [0, 100], nice: false },
            axis: {
              values: ticks,
              title: '% of the requests sent',
              grid: true,
            },
          },
          x2: { field: 'to' },
          y: {
            field: 'label',
            type: 'nominal',
            sort: labels,
            scale: { padding: 0 },
            axis: { title: null, labelColor: colour('ink'), labelLimit: 0, labelPadding: 6 },
          },
          color: { field: 'fill', type: 'nominal', scale: null },
        },
      },
      {
        data: {
          values: policies.map((policy, row) => ({
            label: labels[row]!,
            text: missedText(policy),
          })),
        },
        mark: { type: 'text', align: 'left', baseline: 'middle', dx: 8, color: colour('soft') },
        encoding: {
          x: { value: width },
          y: { field: 'label', type: 'nominal', sort: labels },
          text: { field: 'text' },
        },
      },
      {
        data: { values: legend.entries },
        mark: { type: 'square', opacity: 1, size: 110 },
        encoding: {
          x: { field: 'x', type: 'quantitative', scale: null, axis: null },
          y: { field: 'y', type: 'quantitative', scale: null, axis: null },
          color: { field: 'fill', type: 'nominal', scale: null },
        },
      },
      {
        data: { values: legend.entries },
        mark: { type: 'text', align: 'left', baseline: 'middle', dx: 10 },
        encoding: {
          x: { field: 'x', type: 'quantitative', scale: null, axis: null },
          y: { field: 'y', type: 'quantitative', scale: null, axis: null },
          text: { field: 'text' },
        },
      },
    ],
  };
}

/** Above the bars, from the very left, as many in a row as there is room for. */
function legendPlaces(fates: readonly (typeof FATES)[number][], left: number, totalWidth: number) {
  let [x, row] = [0, 0];
  const placed = fates.map(({ name, colour: fill }) => {
    const entryPx = textWidthPx(name) + LEGEND_ENTRY_PX;
    if (x > 0 && x + entryPx > totalWidth) [x, row] = [0, row + 1];
    const entry = { x: x - left + 14, row, text: name, fill: colour(fill) };
    x += entryPx;
    return entry;
  });
  const height = fates.length === 0 ? 8 : (row + 1) * LEGEND_ROW_PX + 8;
  return {
    height,
    entries: placed.map((entry) => ({ ...entry, y: entry.row * LEGEND_ROW_PX + FONT_PX - height })),
  };
}

function missedText({ onTime, sent }: PolicySummary): string {
  const missed = sent - onTime;
  return missed === 0 ? 'none' : `${missed.toLocaleString('en')} · ${shareText(missed / sent)}`;
}

function fateText(policy: PolicySummary): string {
  return FATES.filter(({ key }) => policy[key] > 0)
    .map(({ key, name }) => `${policy[key]} ${name}`)
    .join(', ');
}

/** Two digits that count, and never 0 or 100 % for what is more or less. */
function shareText(share: number): string {
  return `${share < 0.1 ? Number((100 * share).toPrecision(2)) : (100 * share).toFixed(1)} %`;
}
