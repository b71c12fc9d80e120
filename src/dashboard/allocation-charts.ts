import { LEAST_LOGARITHMIC } from './axis.js';
import { binOf, binSeconds, binsOver, forEachBin, quantileOf, rowsWithin, stepBins } from './binning.js';
import { paintDots } from './dots.js';
import { needOfArrivals } from './demand.js';
import { cores, duration, NOTHING, whole } from './format.js';
import { resizesOf, writtenTook } from './headline.js';
import { hasLanes } from './lane-chart.js';
import { laneCount } from './lanes.js';
import { RESIZE, type ModelState } from './model-state.js';
import { colour } from './palette.js';
import type { Frame, TimeChartSpec, Values } from './time-chart.js';

/* CPU over time: what is granted, wanted and needed; resizes; instances. */

/** Wide enough for a rate to mean something, narrow enough to see it change. */
export const COARSE_BINS = 60;
/** Two pixels a bin. */
const FINE_BIN_PX = 2;

export const allocationChart: TimeChartSpec = {
  id: 'allocation',
  title: 'Allocation and demand',
  unit: 'cores',
  about:
    'CPU granted to the model, mean and range within each drawn interval; CPU that the plan wants; and the need of arriving ' +
    'work: what the requests that arrived then cost in core-seconds, per second. Dotted: the least that an instance is ' +
    'granted, and the most that all of them can be.',
  isWide: true,
  series: [
    // Below what is granted: it is seen where the two differ.
    { label: 'plan wants', colour: 'wanted', look: 'line', draw: 'steps', format: cores },
    { label: 'granted', colour: 'granted', look: 'block', draw: 'steps', fill: 0.18, format: cores },
    { label: 'need of arrivals', colour: 'need', look: 'line', draw: 'steps', format: cores },
    { label: 'most', colour: 'granted', look: 'block', draw: 'steps', width: 0, isUntold: true, format: cores },
    { label: 'least', colour: 'granted', look: 'block', draw: 'steps', width: 0, isUntold: true, format: cores },
  ],
  band: [3, 4, 'granted'],
  compute({ model, range, untilMs, originMs }, widthPx) {
    const { steps } = model;
    const bins = binsOver(range, Math.max(50, widthPx / FINE_BIN_PX));
    const atMs = steps.column('atMs');
    const granted = stepBins(atMs, steps.column('granted'), bins, untilMs);
    const wanted = stepBins(atMs, steps.column('wanted'), bins, untilMs);
    const coarse = binsOver(range, COARSE_BINS);
    const needs = needOfArrivals(model, coarse, untilMs);
    const need = granted.mean.map((value, bin) => {
      const index = binOf(coarse, bins.startMs + bin * bins.binMs);
      return value === null ? null : (needs[index] ?? null);
    });
    const most = Math.max(0, ...finite(granted.most), ...finite(wanted.mean), ...finite(need));
    return {
      x: binSeconds(bins, originMs),
      y: [wanted.mean, granted.mean, need, granted.most, granted.least].map(inCores),
      told: [wanted.mean, granted.mean, need, granted.most, granted.least],
      top: Math.max(most, model.model.limits.minMillicores) / 1000,
    };
  },
  paint(plot, { model }) {
    const { minMillicores, maxMillicores } = model.model.limits;
    // Those that are resized one by one share it.
    const most = hasLanes(model) ? maxMillicores : maxMillicores * model.mostInstances;
    const { ctx, bbox } = plot;
    ctx.strokeStyle = colour('soft');
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    for (const millicores of [minMillicores, most]) {
      const y = Math.round(plot.valToPos(millicores / 1000, 'y', true)) + 0.5;
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
    }
    ctx.stroke();
    ctx.setLineDash([]);
  },
  note({ model }) {
    const { minMillicores, maxMillicores, stepMillicores } = model.model.limits;
    const limits = `limits ${cores(minMillicores)} to ${cores(maxMillicores)} in steps of ${cores(stepMillicores)}`;
    const { mostInstances } = model;
    const whose = hasLanes(model)
      ? `, for all ${mostInstances} instances together`
      : ` for each of up to ${mostInstances} instances`;
    return `${limits}${mostInstances === 1 ? '' : whose}; below the least limit the CPU is released while idle`;
  },
};

export const resizeChart: TimeChartSpec = {
  id: 'resizes',
  title: 'Resizes',
  unit: 'ms to be in force',
  about:
    'Each resize by how long it took from its request to being read back; a mark at the top is one that was refused.',
  isLogarithmic: true,
  series: [
    { label: 'median', colour: 'granted', look: 'dot', draw: 'nothing', format: duration },
    { label: 'a second', colour: 'granted', look: 'dot', draw: 'nothing', format: oneDecimal },
    { label: 'refused', colour: 'failed', look: 'dot', draw: 'nothing', format: whole },
  ],
  compute({ model, range, untilMs, originMs }) {
    const bins = binsOver(range, COARSE_BINS);
    const results = model.resizes.column('result');
    const [medians, rates, refusals]: (number | null)[][] = [[], [], []];
    let longest = 1;
    forEachBin(model.resizes, bins, untilMs, (_, from, to) => {
      const sorted = writtenTook(model, from, to);
      longest = Math.max(longest, sorted.at(-1) ?? 0);
      medians!.push(quantileOf(sorted, 0.5));
      rates!.push((1000 * sorted.length) / bins.binMs);
      refusals!.push(results.subarray(from, to).filter((result) => result === RESIZE.refused).length);
    });
    // Room above the longest for the refused ones.
    const top = 10 ** Math.ceil(Math.log10(longest * 1.5));
    return { x: binSeconds(bins, originMs), y: [medians!, rates!, refusals!], top };
  },
  paint(plot, frame) {
    const { model, originMs } = frame;
    const [from, to] = rowsShown(model, frame);
    const atMs = model.resizes.column('atMs');
    const [took, results] = [model.resizes.column('tookMs'), model.resizes.column('result')];
    const x = (index: number): number => (atMs[from + index]! - originMs) / 1000;
    paintDots({
      plot,
      colour: 'granted',
      count: to - from,
      x,
      y: (index) =>
        results[from + index] === RESIZE.written ? Math.max(1.01 * LEAST_LOGARITHMIC, took[from + index]!) : NaN,
    });
    const top = plot.scales['y']?.max ?? 1;
    const y = (index: number): number => (results[from + index] === RESIZE.refused ? top * 0.8 : NaN);
    paintDots({ plot, colour: 'failed', count: to - from, x, y });
  },
  summary(frame) {
    const note = resizesOf(frame.model, { fromMs: frame.range.fromMs, toMs: frame.untilMs });
    const seconds = Math.max(0.001, (frame.untilMs - frame.range.fromMs) / 1000);
    return [duration(note.tookP50Ms), (note.written / seconds).toFixed(1), whole(note.refused)];
  },
  note({ model, range, untilMs }) {
    const { written, unchanged, refused, tookP99Ms } = resizesOf(model, { fromMs: range.fromMs, toMs: untilMs });
    const repeats = unchanged === 0 ? '' : `, ${whole(unchanged)} needed no write`;
    const why = refused === 0 ? '' : `; last refusal: ${model.lastRefusal}`;
    return `${whole(written)} written, p99 ${duration(tookP99Ms)}${repeats}${why}`;
  },
};

export const instanceChart: TimeChartSpec = {
  id: 'instances',
  title: 'Instances',
  unit: 'workers',
  about: 'Worker instances that can run batches, and how many the plan asks for.',
  isInteger: true,
  series: [
    { label: 'ready', colour: 'granted', look: 'block', draw: 'steps', fill: 0.18, format: oneDecimal },
    { label: 'asked for', colour: 'wanted', look: 'line', draw: 'steps', format: oneDecimal },
  ],
  compute({ model: { steps }, range, untilMs, originMs }, widthPx) {
    const bins = binsOver(range, Math.max(50, widthPx / FINE_BIN_PX));
    const ready = stepBins(steps.column('atMs'), steps.column('ready'), bins, untilMs).mean;
    const asked = stepBins(steps.column('atMs'), steps.column('asked'), bins, untilMs).mean;
    return { x: binSeconds(bins, originMs), y: [ready, asked], top: Math.max(1, ...finite(ready), ...finite(asked)) };
  },
};

/** Whether there was ever another number of instances than one; than always the same, where lanes show them. */
export function hasInstances(model: ModelState): boolean {
  const { steps } = model;
  const usual = hasLanes(model) ? laneCount(model) : 1;
  return (['asked', 'ready'] as const).some((name) => steps.column(name).some((count) => count !== usual));
}

function rowsShown({ resizes }: ModelState, { range, untilMs }: Frame): readonly [number, number] {
  return rowsWithin(resizes, { fromMs: range.fromMs, toMs: untilMs });
}

function oneDecimal(value: number | null): string {
  return value === null ? NOTHING : Number(value.toFixed(1)).toString();
}

function inCores(millicores: Values): Values {
  return millicores.map((value) => (value === null ? null : value / 1000));
}

/** Without the gaps. */
export function finite(values: Values): number[] {
  return values.filter((value) => value !== null);
}
