import { finite } from './allocation-charts.js';
import { binSeconds, binsOver, stepBins, type TimeRange } from './binning.js';
import { budgetMillicores } from '../scheduler/domain/granted.js';
import { cores } from './format.js';
import { meanGranted } from './headline.js';
import type { ModelState } from './model-state.js';
import type { RunState } from './run-state.js';
import type { Frame, SeriesSpec, TimeChartSpec, Values } from './time-chart.js';
import { PLACES, TopModels } from './top-models.js';

/*
 * What the models of a server have of its cores: stacked, against what all of them may have together. Of many models the largest are
 * shown one by one, and the others as one.
 */

const BIN_PX = 3;
const STACKED = { label: '', look: 'block', draw: 'area', width: 0, fill: 1, format: cores } as const;
const MODEL_COLOURS = [
  'model-1',
  'model-2',
  'model-3',
  'model-4',
  'model-5',
  'model-6',
  'model-7',
  'model-8',
] as const satisfies { readonly length: typeof PLACES };

/** A spec of its own for each chart: it remembers who has which colour. */
export function modelCoresChart(): TimeChartSpec {
  let [run, top]: [RunState | null, TopModels] = [null, new TopModels()];
  const placesOf = (frame: Frame): readonly number[] => {
    if (run !== frame.run) [run, top] = [frame.run, new TopModels()];
    top.update(withCores(frame.run).map((model) => meanGranted(model, shown(frame)) ?? 0));
    return top.places;
  };
  return {
    id: 'model-cores',
    title: 'Cores by model',
    unit: 'cores',
    about:
      'CPU granted to each model of this server, stacked, the mean of each drawn interval; the dashed line is what all of them ' +
      `may have together. Of more than ${PLACES} models the largest are shown one by one.`,
    isFull: true,
    series: [
      ...MODEL_COLOURS.map((colour): SeriesSpec => ({ ...STACKED, colour })),
      { ...STACKED, label: 'others', colour: 'left' },
      { label: 'budget', colour: 'ink', look: 'line', draw: 'line', width: 1, dash: [4, 4], format: cores },
    ],
    compute(frame, widthPx) {
      const { range, untilMs, originMs } = frame;
      const models = withCores(frame.run);
      const bins = binsOver(range, Math.max(50, widthPx / BIN_PX));
      const granted = models.map(
        ({ steps }) => stepBins(steps.column('atMs'), steps.column('granted'), bins, untilMs).mean,
      );
      const places = placesOf(frame);
      const shownApart = new Set(places);
      const others = granted.filter((_, model) => !shownApart.has(model));
      const nothing = new Array<null>(bins.count).fill(null);
      const apart = [...places.map((model) => granted[model] ?? nothing), sum(others, bins.count)];
      const budget = budgetOf(frame.run);
      const told = [...apart, new Array<number>(bins.count).fill(budget)];
      return {
        x: binSeconds(bins, originMs),
        y: [...stacked(apart), told.at(-1)!].map(inCores),
        told,
        labels: [
          ...places.map((model) => models[model]?.model.name ?? null),
          others.length === 0 ? null : `${others.length} others`,
          'budget',
        ],
        top: Math.max(budget, ...finite(sum(granted, bins.count))) / 1000,
      };
    },
    note(frame) {
      const total = withCores(frame.run).reduce((all, model) => all + (meanGranted(model, shown(frame)) ?? 0), 0);
      const budget = budgetOf(frame.run);
      return `${cores(total)} of ${cores(budget)} cores on average; a model that is idle gives back what it does not need`;
    },
  };
}

/** Pipelines have none of their own. */
export function withCores({ models }: RunState): readonly ModelState[] {
  return models.filter(({ pipeline }) => pipeline === null);
}

/** Of instances that are alike, as many as there ever were. */
function budgetOf({ header, models }: RunState): number {
  return budgetMillicores({
    ...header,
    models: models.map(({ model, mostInstances }) => ({ ...model, instances: mostInstances })),
  });
}

function shown({ range, untilMs }: Frame): TimeRange {
  return { fromMs: range.fromMs, toMs: untilMs };
}

/** Each with all that come after it, so that what is drawn first is uppermost. */
function stacked(columns: readonly Values[]): Values[] {
  return columns.map((_, index) => sum(columns.slice(index), columns[0]!.length));
}

/** Null where nothing is known of any. */
function sum(columns: readonly Values[], length: number): Values {
  return Array.from({ length }, (_, bin) =>
    columns.reduce<number | null>((all, column) => {
      const value = column[bin] ?? null;
      return value === null ? all : (all ?? 0) + value;
    }, null),
  );
}

function inCores(millicores: Values): Values {
  return millicores.map((value) => (value === null ? null : value / 1000));
}
