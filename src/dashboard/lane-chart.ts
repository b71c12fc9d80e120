import type uPlot from '/uplot/uPlot.esm.js';
import { niceTop } from './axis.js';
import { binSeconds, binsOver, rowsWithin, type Bins, type Series } from './binning.js';
import { NOTHING } from './format.js';
import { forEachStretch, laneCount, type Stretch } from './lanes.js';
import type { ModelState } from './model-state.js';
import { colour, type ColourName } from './palette.js';
import { fontOf } from './plot-area.js';
import type { Frame, TimeChartSpec } from './time-chart.js';

/*
 * Several instances side by side, a lane each: as high as it has cores, so that areas are core-seconds. Where a pixel holds several
 * batches, what is drawn is their mean.
 */

/** Of a lane; the rest keeps lanes apart. */
const LANE_FILL = 0.86;
/** More stretches than that are not told apart, and would take longer than a frame. */
const MOST_DRAWN = 4_000;
/** A batch that is narrower has no number in it, or no edge. */
const NUMBERED_CSS_PX = 13;
const EDGED_CSS_PX = 4;
/** A lane that is lower has no numbers. */
const NUMBERED_LANE_CSS_PX = 14;

export const laneChart: TimeChartSpec = {
  id: 'lanes',
  title: 'What runs where',
  unit: 'cores of each instance',
  about:
    'Each instance over time: the batches that it runs, with how many requests each has, as high as the cores that it has ' +
    'meanwhile; grey where it has cores and runs nothing. Red: a batch that broke.',
  isFull: true,
  isRows: true,
  series: [
    { label: 'running', colour: 'granted', look: 'block', draw: 'nothing', format: oneDecimal },
    { label: 'on cores', colour: 'granted', look: 'line', draw: 'nothing', format: twoDecimals },
    { label: 'resting', colour: 'left', look: 'block', draw: 'nothing', format: oneDecimal },
    { label: 'on cores', colour: 'left', look: 'line', draw: 'nothing', format: twoDecimals },
  ],
  compute(frame, widthPx) {
    const { model, originMs } = frame;
    const bins = binsOver(frame.range, Math.max(50, widthPx / 2));
    const [running, runningCores, restingCores] = [0, 1, 2].map(() => new Float64Array(bins.count));
    const known = new Float64Array(bins.count);
    forEachStretch(model, shown(frame), (stretch) => {
      spread(bins, stretch, (bin, ms) => {
        known[bin]! += ms;
        if (stretch.isRunning) running![bin]! += ms;
        (stretch.isRunning ? runningCores! : restingCores!)[bin]! += (ms * stretch.millicores) / 1000;
      });
    });
    const count = laneCount(model);
    const mean = (sums: Float64Array): Series =>
      Array.from(sums, (sum, bin) => (known[bin]! === 0 ? null : (count * sum) / known[bin]!));
    const run = mean(running!);
    const rest = run.map((value) => (value === null ? null : count - value));
    return { x: binSeconds(bins, originMs), y: [run, mean(runningCores!), rest, mean(restingCores!)], top: count };
  },
  paint(plot, frame) {
    new LanePainter(plot, frame).paint();
  },
  note(frame) {
    const { limits } = frame.model.model;
    const full = twoDecimals(topMillicores(frame) / 1000);
    return `a lane is ${full} cores high; together they have up to ${twoDecimals(limits.maxMillicores / 1000)}`;
  },
};

/** Whether there are several that are resized one by one. */
export function hasLanes(model: ModelState): boolean {
  return laneCount(model) > 1;
}

class LanePainter {
  readonly #plot: uPlot;
  readonly #frame: Frame;
  readonly #count: number;
  readonly #laneHeight: number;
  readonly #topMillicores: number;

  constructor(plot: uPlot, frame: Frame) {
    this.#plot = plot;
    this.#frame = frame;
    this.#count = laneCount(frame.model);
    this.#laneHeight = plot.bbox.height / this.#count;
    this.#topMillicores = topMillicores(frame);
  }

  paint(): void {
    const { model } = this.#frame;
    this.#paintFloors();
    const range = shown(this.#frame);
    const rows = [model.resizes, model.batches].reduce((sum, table) => {
      const [from, to] = rowsWithin(table, range);
      return sum + to - from;
    }, 0);
    const isDense = rows > MOST_DRAWN;
    const [running, resting] = isDense ? this.#binned() : this.#stretches();
    this.#fill(resting!, 'left', 0.5);
    this.#fill(running!, 'granted', 0.62);
    if (!isDense) this.#paintBatches();
  }

  #paintFloors(): void {
    const { ctx, bbox } = this.#plot;
    ctx.fillStyle = colour('rule');
    for (let instance = 0; instance < this.#count; instance++) {
      ctx.fillRect(bbox.left, Math.round(this.#floor(instance)), bbox.width, Math.max(1, Math.round(devicePixelRatio)));
    }
  }

  #stretches(): readonly Path2D[] {
    const [running, resting] = [new Path2D(), new Path2D()];
    forEachStretch(this.#frame.model, shown(this.#frame), ({ instance, fromMs, toMs, millicores, isRunning }) => {
      this.#add(isRunning ? running : resting, instance, this.#x(fromMs), this.#x(toMs), millicores);
    });
    return [running, resting];
  }

  /** Means over a pixel or two, what runs upon what rests. */
  #binned(): readonly Path2D[] {
    const bins = binsOver(this.#frame.range, this.#plot.bbox.width / devicePixelRatio);
    const sums = [0, 1].map(() => new Float64Array(bins.count * this.#count));
    forEachStretch(this.#frame.model, shown(this.#frame), (stretch) => {
      const own = sums[stretch.isRunning ? 0 : 1]!;
      spread(bins, stretch, (bin, ms) => (own[stretch.instance * bins.count + bin]! += ms * stretch.millicores));
    });
    const paths = [new Path2D(), new Path2D()];
    for (let instance = 0; instance < this.#count; instance++) {
      for (let bin = 0; bin < bins.count; bin++) {
        const startMs = bins.startMs + bin * bins.binMs;
        const lengthMs = Math.min(bins.binMs, this.#frame.untilMs - startMs);
        if (lengthMs <= 0) break;
        let below = 0;
        for (const [index, path] of paths.entries()) {
          const mean = sums[index]![instance * bins.count + bin]! / lengthMs;
          this.#add(path, instance, this.#x(startMs), this.#x(startMs + lengthMs), mean, below);
          below += mean;
        }
      }
    }
    return paths;
  }

  /** Edges and sizes of batches that are wide enough; broken ones over all of their lane. */
  #paintBatches(): void {
    const { model } = this.#frame;
    const { batches } = model;
    const { ctx } = this.#plot;
    const columns = (['atMs', 'endedAtMs', 'latencyMs', 'instance', 'size'] as const).map((name) =>
      batches.column(name),
    );
    const [startedAtMs, endedAtMs, latencyMs, instances, sizes] = columns as [Float64Array, ...Float64Array[]];
    const [from, to] = rowsWithin(batches, shown(this.#frame));
    ctx.font = fontOf(Math.round(10 * devicePixelRatio));
    ctx.textAlign = 'center';
    ctx.textBaseline = 'bottom';
    const isNumbered = this.#laneHeight >= NUMBERED_LANE_CSS_PX * devicePixelRatio;
    // A few from before the range run into it.
    for (let row = Math.max(0, from - 2 * this.#count); row < to; row++) {
      const isOver = !Number.isNaN(endedAtMs![row]!);
      const left = this.#x(startedAtMs[row]!);
      const right = this.#x(isOver ? endedAtMs![row]! : this.#frame.untilMs);
      const floor = this.#floor(instances![row]!);
      const height = LANE_FILL * this.#laneHeight;
      if (isOver && Number.isNaN(latencyMs![row]!)) {
        ctx.fillStyle = colour('failed');
        ctx.fillRect(left, floor - height, Math.max(2, right - left), height);
      }
      const widthCssPx = (right - left) / devicePixelRatio;
      if (widthCssPx >= EDGED_CSS_PX) {
        ctx.fillStyle = colour('card');
        ctx.fillRect(left, floor - height, Math.max(1, devicePixelRatio), height);
      }
      if (!isNumbered || widthCssPx < NUMBERED_CSS_PX) continue;
      ctx.fillStyle = colour('ink');
      ctx.fillText(String(sizes![row]!), (left + right) / 2, floor - devicePixelRatio);
    }
  }

  #add(path: Path2D, instance: number, left: number, right: number, millicores: number, below = 0): void {
    if (millicores <= 0) return;
    const pxOf = (LANE_FILL * this.#laneHeight) / this.#topMillicores;
    const height = Math.max(devicePixelRatio, millicores * pxOf);
    path.rect(left, this.#floor(instance) - below * pxOf - height, right - left, height);
  }

  #fill(path: Path2D, name: ColourName, opacity: number): void {
    const { ctx } = this.#plot;
    ctx.globalAlpha = opacity;
    ctx.fillStyle = colour(name);
    ctx.fill(path);
    ctx.globalAlpha = 1;
  }

  /** The lower edge of a lane. */
  #floor(instance: number): number {
    return this.#plot.bbox.top + (instance + 1) * this.#laneHeight - devicePixelRatio;
  }

  #x(atMs: number): number {
    return this.#plot.valToPos((atMs - this.#frame.originMs) / 1000, 'x', true);
  }
}

function shown({ range, untilMs }: Frame): { readonly fromMs: number; readonly toMs: number } {
  return { fromMs: range.fromMs, toMs: untilMs };
}

/** The most that one had in the range, and a core at least. */
function topMillicores(frame: Frame): number {
  let most = 1000;
  forEachStretch(frame.model, shown(frame), ({ millicores, isRunning }) => {
    if (isRunning) most = Math.max(most, millicores);
  });
  return 1000 * niceTop(most / 1000);
}

/** The part of a stretch that lies in each bin. */
function spread(bins: Bins, { fromMs, toMs }: Stretch, add: (bin: number, ms: number) => void): void {
  const { startMs, binMs, count } = bins;
  const first = Math.max(0, Math.floor((fromMs - startMs) / binMs));
  for (let bin = first; bin < count; bin++) {
    const beginMs = startMs + bin * binMs;
    if (beginMs >= toMs) return;
    add(bin, Math.min(toMs, beginMs + binMs) - Math.max(fromMs, beginMs));
  }
}

function oneDecimal(value: number | null): string {
  return value === null ? NOTHING : Number(value.toFixed(1)).toString();
}

function twoDecimals(value: number | null): string {
  return value === null ? NOTHING : value.toFixed(2);
}
