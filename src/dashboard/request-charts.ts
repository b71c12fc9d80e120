import { COARSE_BINS, finite } from './allocation-charts.js';
import { binSeconds, binsOver, forEachBin, quantileOf, sortedValues, type Series } from './binning.js';
import { duration, NOTHING, whole } from './format.js';
import { latenciesOf, outcomesOf } from './headline.js';
import { OUTCOMES } from './model-state.js';
import { colour, type ColourName } from './palette.js';
import type { TimeChartSpec } from './time-chart.js';
import type { OutcomeName } from '../scheduler/domain/outcome.js';

/* What became of requests over time, how long they took, and how much time they had. */

/** The same name and colour for an outcome wherever it is shown. */
const OUTCOME_LOOKS: Readonly<Record<OutcomeName, { readonly label: string; readonly colour: ColourName }>> = {
  completed_on_time: { label: 'on time', colour: 'punctual' },
  completed_late: { label: 'late', colour: 'late' },
  rejected_infeasible: { label: 'infeasible', colour: 'refused' },
  rejected_overload: { label: 'overload', colour: 'overloaded' },
  expired: { label: 'expired', colour: 'expired' },
  cancelled: { label: 'cancelled', colour: 'left' },
  failed: { label: 'failed', colour: 'failed' },
};

/** A mark for each bin that has a violation, however few: the bar alone may be thinner than a line. */
const RUG_CSS_PX = 3;

export const outcomeChart: TimeChartSpec = {
  id: 'outcomes',
  title: 'Outcomes',
  unit: 'requests/s',
  about:
    'Requests by what became of them, stacked, when they ended. On time is uppermost; a mark at the top edge is an interval ' +
    'with at least one that was late, refused, expired or failed.',
  series: OUTCOMES.map((name) => ({ ...OUTCOME_LOOKS[name], look: 'block', draw: 'bars', format: whole })),
  compute({ model: { finished }, range, untilMs, originMs }) {
    const bins = binsOver(range, COARSE_BINS);
    const codes = finished.column('outcome');
    const counts = OUTCOMES.map((): number[] => []);
    const stacked = OUTCOMES.map((): number[] => []);
    forEachBin(finished, bins, untilMs, (bin, from, to) => {
      for (const column of counts) column.push(0);
      for (let row = from; row < to; row++) counts[codes[row]!]![bin]! += 1;
      let below = 0;
      for (let code = OUTCOMES.length - 1; code >= 0; code--) {
        below += (1000 * counts[code]![bin]!) / bins.binMs;
        stacked[code]!.push(below);
      }
    });
    return { x: binSeconds(bins, originMs), y: stacked, told: counts, top: Math.max(1, ...stacked[0]!) };
  },
  paint(plot) {
    const { ctx, bbox } = plot;
    const [x, total, violated] = plot.data as [number[], number[], number[]];
    const rug = RUG_CSS_PX * devicePixelRatio;
    ctx.fillStyle = colour('ink');
    x.forEach((sec, bin) => {
      if (!(violated[bin]! > 0) || total[bin] === undefined) return;
      const left = plot.valToPos(sec, 'x', true);
      const right = plot.valToPos(x[bin + 1] ?? 2 * sec - (x[bin - 1] ?? sec), 'x', true);
      ctx.fillRect(left, bbox.top, Math.max(rug, 0.86 * (right - left)), rug);
    });
  },
  summary: ({ model, range, untilMs }) =>
    outcomesOf(model, { fromMs: range.fromMs, toMs: untilMs }).map((count) => whole(count)),
};

export const latencyChart: TimeChartSpec = {
  id: 'latency',
  title: 'Latency of answers',
  unit: 'ms',
  about: 'From the last byte of a request to its answer, of completed requests, by when they were answered.',
  series: [
    { label: 'p99', colour: 'p99', look: 'line', draw: 'steps', format: duration },
    { label: 'median', colour: 'p50', look: 'line', draw: 'steps', format: duration },
  ],
  compute({ model: { finished }, range, untilMs, originMs }) {
    const bins = binsOver(range, COARSE_BINS);
    const latencies = finished.column('latencyMs');
    const [p99, p50]: [Series, Series] = [[], []];
    forEachBin(finished, bins, untilMs, (_, from, to) => {
      const sorted = sortedValues(latencies, from, to);
      p99.push(quantileOf(sorted, 0.99));
      p50.push(quantileOf(sorted, 0.5));
    });
    return { x: binSeconds(bins, originMs), y: [p99, p50], top: Math.max(1, ...finite(p99)) };
  },
  summary({ model, range, untilMs }) {
    const { latencyP99Ms, latencyP50Ms } = latenciesOf(model, { fromMs: range.fromMs, toMs: untilMs });
    return [duration(latencyP99Ms), duration(latencyP50Ms)];
  },
};

export const budgetChart: TimeChartSpec = {
  id: 'budgets',
  title: 'Time left on arrival',
  unit: 'ms',
  about:
    'Remaining budget when a request was received (its deadline minus then): the median, and down to the least. Network ' +
    'delay: what was charged for the way here, the median.',
  series: [
    { label: 'budget', colour: 'budget', look: 'line', draw: 'steps', format: duration },
    { label: 'least', colour: 'budget', look: 'block', draw: 'steps', width: 0, format: duration },
    { label: 'network delay', colour: 'delay', look: 'line', draw: 'steps', format: duration },
  ],
  band: [0, 1, 'budget'],
  compute({ model: { requests }, range, untilMs, originMs }) {
    const bins = binsOver(range, COARSE_BINS);
    const [receivedAtMs, dueAtMs] = [requests.column('receivedAtMs'), requests.column('dueAtMs')];
    const delays = requests.column('delayMs');
    const [median, least, delay]: [Series, Series, Series] = [[], [], []];
    forEachBin(requests, bins, untilMs, (_, from, to) => {
      const budgets = dueAtMs.slice(from, to);
      for (let index = 0; index < budgets.length; index++) budgets[index]! -= receivedAtMs[from + index]!;
      const sorted = sortedValues(budgets, 0, budgets.length);
      median.push(quantileOf(sorted, 0.5));
      least.push(quantileOf(sorted, 0));
      delay.push(quantileOf(sortedValues(delays, from, to), 0.5));
    });
    const top = Math.max(1, ...finite(median), ...finite(delay));
    return { x: binSeconds(bins, originMs), y: [median, least, delay], top };
  },
  summary({ model: { requests }, range, untilMs }) {
    const whole = { startMs: range.fromMs, binMs: untilMs - range.fromMs, count: 1 };
    const [receivedAtMs, dueAtMs] = [requests.column('receivedAtMs'), requests.column('dueAtMs')];
    let texts: string[] = [NOTHING, NOTHING, NOTHING];
    forEachBin(requests, whole, untilMs, (_, from, to) => {
      const budgets = dueAtMs.slice(from, to).map((due, index) => due - receivedAtMs[from + index]!);
      const sorted = sortedValues(budgets, 0, budgets.length);
      texts = [duration(quantileOf(sorted, 0.5)), duration(quantileOf(sorted, 0))];
      texts.push(duration(quantileOf(sortedValues(requests.column('delayMs'), from, to), 0.5)));
    });
    return texts;
  },
};
