import { COARSE_BINS, finite } from './allocation-charts.js';
import { binSeconds, binsOver, forEachBin, rowsWithin, stepBins, type Series } from './binning.js';
import { paintDots } from './dots.js';
import { NOTHING, whole } from './format.js';
import { predictionOf } from './headline.js';
import type { TimeChartSpec } from './time-chart.js';

/* What waits and what is run together, over time. */

export const depthChart: TimeChartSpec = {
  id: 'depth',
  title: 'Queue depth',
  unit: 'requests',
  about: 'Requests that wait in the queue: the mean within each drawn interval, and the most.',
  isInteger: true,
  series: [
    { label: 'most', colour: 'depth', look: 'block', draw: 'steps', width: 0, fill: 0.3, format: oneDecimal },
    { label: 'mean', colour: 'depth', look: 'line', draw: 'steps', format: oneDecimal },
  ],
  compute({ model: { queue }, range, untilMs, originMs }, widthPx) {
    const bins = binsOver(range, Math.max(50, widthPx / 3));
    const { mean, most } = stepBins(queue.column('atMs'), queue.column('depth'), bins, untilMs);
    return { x: binSeconds(bins, originMs), y: [most, mean], top: Math.max(1, ...finite(most)) };
  },
};

export const batchChart: TimeChartSpec = {
  id: 'batches',
  title: 'Batch size',
  unit: 'requests',
  about: 'Each batch by how many requests it had, when it started; the line is the mean.',
  isInteger: true,
  series: [
    { label: 'mean', colour: 'ink', look: 'line', draw: 'steps', width: 1, format: oneDecimal },
    { label: 'largest', colour: 'batch', look: 'dot', draw: 'nothing', format: oneDecimal },
  ],
  compute({ model: { batches }, range, untilMs, originMs }) {
    const bins = binsOver(range, COARSE_BINS);
    const sizes = batches.column('size');
    const [mean, largest]: [Series, Series] = [[], []];
    forEachBin(batches, bins, untilMs, (_, from, to) => {
      let [sum, most] = [0, 0];
      for (let row = from; row < to; row++) {
        sum += sizes[row]!;
        most = Math.max(most, sizes[row]!);
      }
      mean.push(to === from ? null : sum / (to - from));
      largest.push(to === from ? null : most);
    });
    // Half a row above the largest, so that its dots are whole.
    return { x: binSeconds(bins, originMs), y: [mean, largest], top: Math.max(1, ...finite(largest)) + 0.5 };
  },
  paint(plot, { model: { batches }, range, untilMs, originMs }) {
    const [from, to] = rowsWithin(batches, { fromMs: range.fromMs, toMs: untilMs });
    const [atMs, sizes] = [batches.column('atMs'), batches.column('size')];
    paintDots({
      plot,
      colour: 'batch',
      count: to - from,
      x: (index) => (atMs[from + index]! - originMs) / 1000,
      y: (index) => sizes[from + index]!,
    });
  },
  note({ model, range, untilMs }) {
    const { batches, meanSize } = predictionOf(model, { fromMs: range.fromMs, toMs: untilMs });
    const { maxBatchSize } = model.model;
    return `${whole(batches)} batches of ${meanSize.toFixed(1)} on average, at most ${maxBatchSize} allowed`;
  },
};

function oneDecimal(value: number | null): string {
  return value === null ? NOTHING : Number(value.toFixed(1)).toString();
}
