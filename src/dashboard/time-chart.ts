import uPlot from '/uplot/uPlot.esm.js';
import { decades, LEAST_LOGARITHMIC, niceTop, timeStep } from './axis.js';
import { indexAt, type TimeRange } from './binning.js';
import { makeCard, type Card, type LegendEntry } from './card.js';
import { ago, elapsed } from './format.js';
import type { ModelState } from './model-state.js';
import { colour, type ColourName } from './palette.js';
import type { RunState } from './run-state.js';
import { FONT, watchPlotArea, type PlotArea } from './plot-area.js';

/*
 * A chart over time: uPlot with what all of ours have in common. x is seconds since the run began; all of them share one
 * range, one cursor and one way to zoom. A chart says what it draws in a `TimeChartSpec`; when to draw is the page's.
 */

export interface Frame {
  readonly run: RunState;
  /** The one of its models that is looked at. */
  readonly model: ModelState;
  readonly range: TimeRange;
  /** Nothing is known from here on, though the range may go on: a step line ends. */
  readonly untilMs: number;
  readonly originMs: number;
  /** Ticks count back from the right edge, or from the run's start. */
  readonly isFromStart: boolean;
}

export interface SeriesSpec extends LegendEntry {
  readonly draw: 'line' | 'steps' | 'area' | 'bars' | 'nothing';
  readonly dash?: readonly number[];
  readonly width?: number;
  /** Opacity of the area below it. */
  readonly fill?: number;
  /** Left out of the legend: the edge of a band. */
  readonly isUntold?: boolean;
  /** Shown in the legend; a null value is a dash. */
  readonly format: (value: number | null) => string;
}

export type Values = readonly (number | null)[];

export interface ChartData {
  /** Seconds since the run began, ascending. */
  readonly x: readonly number[];
  /** One array for each series. */
  readonly y: readonly Values[];
  /** What the legend says of an index, where that is not what is drawn. */
  readonly told?: readonly Values[];
  /** What the legend calls each series, where that depends on the data; null: it is left out there. */
  readonly labels?: readonly (string | null)[];
  /** Of the vertical axis, at least; it is rounded up. */
  readonly top: number;
}

export interface TimeChartSpec {
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly about: string;
  readonly series: readonly SeriesSpec[];
  readonly isWide?: boolean;
  /** Over the whole width of the page. */
  readonly isFull?: boolean;
  /** Rows instead of a vertical axis, the first uppermost and named by its index; `top` is how many. */
  readonly isRows?: boolean;
  /** Between two series, by index: `[upper, lower]`. */
  readonly band?: readonly [upper: number, lower: number, name: ColourName];
  /** Decades instead of a linear axis from 0. */
  readonly isLogarithmic?: boolean;
  /** Whole numbers only on the vertical axis. */
  readonly isInteger?: boolean;
  compute(frame: Frame, widthPx: number): ChartData;
  /** Drawn over the series. */
  paint?(plot: uPlot, frame: Frame): void;
  note?(frame: Frame): string;
  /** What the legend says of the whole range while nothing is pointed at; else it is the newest values. */
  summary?(frame: Frame): readonly string[];
}

export interface TimeChartEvents {
  /** Null when the pointer left. */
  readonly onCursor: (sec: number | null) => void;
  readonly onZoom: (fromSec: number, toSec: number) => void;
  readonly onZoomOut: () => void;
}

const SYNC_KEY = 'time';
// uPlot has this enumeration in its types alone: there is no value to import.
// eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
const LOGARITHMIC: uPlot.Scale.Distr = 3;
const Y_AXIS_PX = 38;
const X_AXIS_PX = 22;
const ROW_NAME_PX = 14;
/** Long enough to read what a tap points at. */
const TOUCH_CURSOR_MS = 5_000;

export class TimeChart {
  readonly card: Card;
  readonly #spec: TimeChartSpec;
  readonly #plot: uPlot;
  readonly #area: PlotArea;
  #frame: Frame | null = null;
  #data: ChartData | null = null;
  #top = 1;
  #isDue = true;
  /** Here or on another chart. */
  #isHovered = false;
  #hasPointer = false;
  #touchTimer = 0;
  /** Whatever pointed last was a finger. */
  #isTouched = false;

  constructor(spec: TimeChartSpec, events: TimeChartEvents) {
    this.#spec = spec;
    this.card = makeCard({ ...spec, legend: spec.series.filter(({ isUntold }) => isUntold !== true) });
    if (spec.isWide === true) this.card.root.classList.add('wide');
    if (spec.isFull === true) this.card.root.classList.add('full');
    if (spec.isRows === true) this.card.root.classList.add('rows');
    this.card.content.setAttribute('role', 'img');
    this.card.content.setAttribute('aria-label', `${spec.title}: ${spec.about}`);
    this.#plot = new uPlot(this.#options(events), this.#empty(), this.card.content);
    this.#plot.over.addEventListener('mouseenter', () => (this.#hasPointer = true));
    this.#plot.over.addEventListener('mouseleave', () => {
      this.#hasPointer = false;
      events.onCursor(null);
    });
    this.#plot.over.addEventListener('pointerdown', ({ pointerType }) => this.#keepCursor(pointerType === 'touch'));
    this.#plot.over.addEventListener('pointermove', ({ pointerType }) => this.#keepCursor(pointerType === 'touch'));
    // What a tap means to those that know only mice follows it, on a busy page by seconds, and sets the cursor again.
    this.#plot.over.addEventListener('mousemove', () => this.#keepCursor(this.#isTouched));
    this.#area = watchPlotArea(this.card.root, this.card.content, ({ widthPx, heightPx }) => {
      this.#plot.setSize({ width: widthPx, height: heightPx });
      this.#isDue = true;
    });
  }

  /** Whether a pixel of it would change. */
  isStale({ range, model }: Frame): boolean {
    if (!this.#area.isOnScreen || this.#area.widthPx === 0) return false;
    const drawn = this.#frame;
    if (this.#isDue || drawn === null || drawn.model !== model) return true;
    const pixelMs = (range.toMs - range.fromMs) / Math.max(1, this.#widthPx);
    return Math.abs(range.toMs - drawn.range.toMs) >= pixelMs || Math.abs(range.fromMs - drawn.range.fromMs) >= pixelMs;
  }

  /** Next time in any case: another theme, other data for the same range. */
  invalidate(): void {
    this.#isDue = true;
  }

  draw(frame: Frame): void {
    const data = this.#spec.compute(frame, this.#widthPx);
    this.#frame = frame;
    this.#data = data;
    this.#top = topOf(this.#spec, data);
    if (this.#spec.isRows === true) this.card.root.style.setProperty('--rows', String(this.#top));
    this.#isDue = false;
    // In a batch uPlot draws now rather than in a microtask: the page can measure what a drawing took.
    this.#plot.batch(() => this.#plot.setData([data.x, ...data.y] as uPlot.AlignedData));
  }

  /** The slow part of what it shows: text. */
  tell(frame: Frame): void {
    if (!this.#area.isOnScreen) return;
    if (!this.#isHovered) {
      if (this.#spec.summary === undefined) this.#readOut(null);
      else this.card.readOut(this.#spec.summary(frame));
    }
    if (this.#data?.labels !== undefined) this.card.rename(this.#data.labels);
    if (this.#spec.note !== undefined) this.card.note(this.#spec.note(frame));
  }

  /** A finger that is gone leaves no element: its cursor would stay for good. */
  #keepCursor(isTouch: boolean): void {
    this.#isTouched = isTouch;
    clearTimeout(this.#touchTimer);
    if (!isTouch) return;
    const { over } = this.#plot;
    this.#touchTimer = window.setTimeout(() => over.dispatchEvent(new MouseEvent('mouseleave')), TOUCH_CURSOR_MS);
  }

  get #widthPx(): number {
    return this.#area.widthPx - Y_AXIS_PX;
  }

  /** @param index into the data; null for the newest that each series has */
  #readOut(index: number | null): void {
    const data = this.#data;
    if (data === null) return;
    const told = data.told ?? data.y;
    this.card.readOut(
      this.#spec.series.flatMap(({ format, isUntold }, column) => {
        if (isUntold === true) return [];
        const values = told[column]!;
        return format(index === null ? (values.findLast((value) => value !== null) ?? null) : (values[index] ?? null));
      }),
    );
  }

  #empty(): uPlot.AlignedData {
    return [[], ...this.#spec.series.map(() => [])] as unknown as uPlot.AlignedData;
  }

  #options({ onCursor, onZoom, onZoomOut }: TimeChartEvents): uPlot.Options {
    const spec = this.#spec;
    const axis = { stroke: () => colour('soft'), font: FONT, ticks: { show: false } } as const;
    return {
      width: 0,
      height: 0,
      padding: [6, 18, 0, 0],
      legend: { show: false },
      series: [{}, ...spec.series.map(seriesOptions)],
      ...(spec.band === undefined ? {} : { bands: [bandOptions(spec.band)] }),
      scales: {
        x: { time: false, range: () => this.#xRange() },
        y:
          spec.isLogarithmic === true
            ? { distr: LOGARITHMIC, range: () => [LEAST_LOGARITHMIC, this.#top] }
            : { range: () => [0, this.#top] },
      },
      axes: [
        {
          ...axis,
          size: X_AXIS_PX,
          gap: 3,
          grid: { show: false },
          splits: (_, __, from, to) => this.#timeTicks(from, to),
          values: (_, ticks) => this.#timeLabels(ticks),
        },
        {
          ...axis,
          size: Y_AXIS_PX,
          gap: 3,
          space: 26,
          grid: { show: spec.isRows !== true, stroke: () => colour('rule'), width: 1 },
          ...(spec.isRows === true ? { splits: () => this.#rowMiddles() } : {}),
          ...(spec.isLogarithmic === true ? { splits: (_, __, ___, most) => decades(most) } : {}),
          ...(spec.isInteger === true ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000] } : {}),
          values: (_, ticks) =>
            // Of decades those are null that there is no room to name.
            (ticks as readonly (number | null)[]).map((tick) =>
              tick === null ? '' : spec.isRows === true ? this.#rowName(tick) : shortNumber(tick),
            ),
        },
      ],
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false },
        sync: { key: SYNC_KEY, scales: ['x', null], filters: { pub: (type) => type === 'mousemove' } },
        bind: {
          dblclick: () => () => {
            onZoomOut();
            return null;
          },
        },
      },
      hooks: {
        draw: [(plot) => this.#paint(plot)],
        setCursor: [
          (plot) => {
            const { left = -1 } = plot.cursor;
            this.#isHovered = left >= 0;
            // Not uPlot's own index, which is that of the nearest beginning of a bin: often the next bin's.
            if (left >= 0) this.#readOut(indexAt(this.#data?.x ?? [], plot.posToVal(left, 'x')));
            else if (this.#spec.summary === undefined) this.#readOut(null);
            // The others follow; those that are not drawn now would place it wrongly.
            if (this.#hasPointer) onCursor(left >= 0 ? plot.posToVal(left, 'x') : null);
          },
        ],
        setSelect: [
          (plot) => {
            const { left, width } = plot.select;
            if (width <= 2) return;
            plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            onZoom(plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x'));
          },
        ],
      },
    };
  }

  #paint(plot: uPlot): void {
    if (this.#frame === null || this.#spec.paint === undefined) return;
    const { left, top, width, height } = plot.bbox;
    plot.ctx.save();
    plot.ctx.beginPath();
    plot.ctx.rect(left, top, width, height);
    plot.ctx.clip();
    this.#spec.paint(plot, this.#frame);
    plot.ctx.restore();
  }

  #xRange(): [number, number] {
    if (this.#frame === null) return [0, 1];
    const { range, originMs } = this.#frame;
    return [(range.fromMs - originMs) / 1000, (range.toMs - originMs) / 1000];
  }

  /** Of as many rows as there is room to name. */
  #rowMiddles(): number[] {
    const step = Math.max(1, Math.ceil((this.#top * ROW_NAME_PX) / Math.max(1, this.#area.heightPx - X_AXIS_PX)));
    const middles: number[] = [];
    for (let row = 0; row < this.#top; row += step) middles.push(this.#top - row - 0.5);
    return middles;
  }

  #rowName(middle: number): string {
    return String(Math.round(this.#top - middle - 0.5));
  }

  #timeTicks(from: number, to: number): number[] {
    const step = timeStep((to - from) / Math.max(2, this.#widthPx / 90));
    const ticks: number[] = [];
    if (this.#frame?.isFromStart === true) {
      for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) ticks.push(tick);
    } else {
      for (let tick = to; tick >= from; tick -= step) ticks.unshift(tick);
    }
    return ticks;
  }

  #timeLabels(ticks: readonly number[]): string[] {
    const last = ticks.at(-1) ?? 0;
    const isFine = ticks.length > 1 && ticks[1]! - ticks[0]! < 1;
    return ticks.map((tick) => (this.#frame?.isFromStart === true ? elapsed(tick, isFine ? 2 : 0) : ago(last - tick)));
  }
}

function topOf({ isRows, isInteger }: TimeChartSpec, { top }: ChartData): number {
  if (isRows === true) return top;
  return isInteger === true ? Math.max(4, niceTop(top)) : niceTop(top);
}

function seriesOptions({ draw, colour: name, dash, width = 1.5, fill }: SeriesSpec): uPlot.Series {
  const { stepped, bars, linear } = uPlot.paths;
  const paths = {
    line: linear!(),
    area: stepped!({ align: 1 }),
    steps: stepped!({ align: 1 }),
    bars: bars!({ align: 1, size: [0.86, 40] }),
    nothing: () => null,
  }[draw];
  const isFilled = draw === 'bars' || fill !== undefined;
  return {
    paths,
    points: { show: false },
    width: draw === 'bars' ? 0 : width,
    ...(draw === 'nothing' ? {} : { stroke: () => colour(name) }),
    ...(dash === undefined ? {} : { dash: [...dash] }),
    ...(isFilled ? { fill: () => faded(name, fill ?? 1) } : {}),
  };
}

function bandOptions([upper, lower, name]: readonly [number, number, ColourName]): uPlot.Band {
  return { series: [upper + 1, lower + 1], fill: () => faded(name, 0.2) };
}

/** The browser gives `rgb(…)` for the page's opaque colours. */
function faded(name: ColourName, opacity: number): string {
  const opaque = colour(name);
  return opacity === 1 ? opaque : opaque.replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);
}

function shortNumber(value: number): string {
  return value >= 10_000 ? `${value / 1000}k` : String(Number(value.toPrecision(3)));
}
