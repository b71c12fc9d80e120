import uPlot from '/uplot/uPlot.esm.js';
import { rowsWithin } from './binning.js';
import { niceTop } from './axis.js';
import { makeCard, type Card } from './card.js';
import { paintDots } from './dots.js';
import { percent, whole } from './format.js';
import { predictionOf } from './headline.js';
import { colour } from './palette.js';
import { FONT, watchPlotArea, type PlotArea } from './plot-area.js';
import type { Frame } from './time-chart.js';

/*
 * Predicted against actual latency of batches, with the diagonal on which a perfect model would put them. uPlot draws the
 * axes and the diagonal; batches are marks over it.
 */

/** It follows what is looked at, but nobody reads a cloud that changes faster. */
const REDRAW_MS = 500;

export class ScatterChart {
  readonly card: Card;
  readonly #plot: uPlot;
  readonly #area: PlotArea;
  #frame: Frame | null = null;
  #drawnAtMs = -Infinity;
  #isDue = true;

  constructor() {
    this.card = makeCard({
      id: 'prediction',
      title: 'Predicted → actual',
      unit: 'ms a batch',
      about:
        'Each batch by the latency that was predicted for the CPU it ran on, across, and the latency it had, upwards. ' +
        'On the diagonal they are equal. Orange: it took longer than the p99 it was planned with.',
      legend: [
        { label: 'within plan', colour: 'batch', look: 'dot' },
        { label: 'beyond its p99', colour: 'late', look: 'dot' },
      ],
    });
    this.card.content.setAttribute('role', 'img');
    this.card.content.setAttribute('aria-label', 'Scatter of predicted against actual latency of batches');
    this.#plot = new uPlot(this.#options(), [[], []], this.card.content);
    this.#area = watchPlotArea(this.card.root, this.card.content, ({ widthPx, heightPx }) => {
      this.#plot.setSize({ width: widthPx, height: heightPx });
      this.#isDue = true;
    });
  }

  isStale({ model, range }: Frame): boolean {
    if (!this.#area.isOnScreen || this.#area.widthPx === 0) return false;
    const drawn = this.#frame;
    if (this.#isDue || drawn === null || drawn.model !== model) return true;
    const isMoved = drawn.range.fromMs !== range.fromMs || drawn.range.toMs !== range.toMs;
    return isMoved && performance.now() - this.#drawnAtMs > REDRAW_MS;
  }

  invalidate(): void {
    this.#isDue = true;
  }

  draw(frame: Frame): void {
    const { batches } = frame.model;
    const [from, to] = rowsWithin(batches, { fromMs: frame.range.fromMs, toMs: frame.untilMs });
    const [expected, latencies] = [batches.column('expectedMs'), batches.column('latencyMs')];
    let most = 1;
    for (let row = from; row < to; row++) {
      if (!(latencies[row]! >= 0 && expected[row]! > 0)) continue;
      most = Math.max(most, expected[row]!, latencies[row]!);
    }
    const top = niceTop(most);
    this.#frame = frame;
    this.#drawnAtMs = performance.now();
    this.#isDue = false;
    const ends = [0, top];
    this.#plot.batch(() => this.#plot.setData([ends, ends]));
  }

  tell(frame: Frame): void {
    const range = { fromMs: frame.range.fromMs, toMs: frame.untilMs };
    const { batches, ratioP50, withinPlannedFraction } = predictionOf(frame.model, range);
    this.card.readOut([percent(withinPlannedFraction), '']);
    const ratio = ratioP50 === null ? 'no batch was measured' : `actual is ${ratioP50.toFixed(2)} × predicted, median`;
    this.card.note(`${ratio}; ${whole(batches)} batches`);
  }

  #options(): uPlot.Options {
    const axis = {
      stroke: () => colour('soft'),
      font: FONT,
      gap: 3,
      ticks: { show: false },
      grid: { stroke: () => colour('rule'), width: 1 },
    } as const;
    return {
      width: 0,
      height: 0,
      padding: [6, 10, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      series: [{}, { stroke: () => colour('soft'), width: 1, dash: [3, 3], points: { show: false } }],
      scales: { x: { time: false, range: (_, __, most) => [0, most] }, y: { range: (_, __, most) => [0, most] } },
      axes: [
        { ...axis, size: 22, space: 50 },
        { ...axis, size: 38, space: 26 },
      ],
      hooks: { draw: [(plot) => this.#paint(plot)] },
    };
  }

  #paint(plot: uPlot): void {
    const frame = this.#frame;
    if (frame === null) return;
    const { batches } = frame.model;
    const [from, to] = rowsWithin(batches, { fromMs: frame.range.fromMs, toMs: frame.untilMs });
    const [expected, planned] = [batches.column('expectedMs'), batches.column('plannedMs')];
    const latencies = batches.column('latencyMs');
    // Where nothing was predicted there is no place for a mark.
    const x = (index: number): number => (expected[from + index]! > 0 ? expected[from + index]! : NaN);
    const isBeyond = (index: number): boolean => latencies[from + index]! > planned[from + index]!;
    const y = (index: number): number => latencies[from + index]!;
    paintDots({ plot, colour: 'batch', count: to - from, x, y: (index) => (isBeyond(index) ? NaN : y(index)) });
    paintDots({ plot, colour: 'late', count: to - from, x, y: (index) => (isBeyond(index) ? y(index) : NaN) });
  }
}
