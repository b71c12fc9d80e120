import { niceTop } from './axis.js';
import { makeCard, type Card } from './card.js';
import { duration } from './format.js';
import type { ModelState } from './model-state.js';
import { colour } from './palette.js';
import { FONT, watchPlotArea, type PlotArea } from './plot-area.js';
import { requestsAt, typicalBatchMs, type PresentRequest } from './queue-at.js';

/*
 * Everyone who is there at one instant, by deadline: a bar from now to its deadline, so that the queue is seen running out of
 * time. Left of the line "a batch takes" not even being next is enough, unless that batch is faster than those of late.
 */

const AXIS_PX = 18;
/** Of a row with its gap; more requests make it lower. */
const ROW_PX = 7;
/** The scale goes down slowly, lest it jump with each batch. */
const KEPT_TOP = 0.6;

export class QueueStrip {
  readonly card: Card;
  readonly #canvas: HTMLCanvasElement;
  readonly #area: PlotArea;
  #topMs = 1000;
  #drawnAtMs = NaN;
  #waiting = 0;
  #running = 0;
  #typicalMs: number | null = null;

  constructor() {
    this.card = makeCard({
      id: 'queue',
      title: 'Queue by deadline',
      unit: 'ms to deadline',
      about:
        'Each request that waits or runs, by deadline: a bar as long as the time it has left. The dashed line is the time that ' +
        'a batch has taken recently: at that pace a waiting request left of it will be late.',
      legend: [
        { label: 'waiting', colour: 'depth', look: 'block' },
        { label: 'short of time', colour: 'late', look: 'block' },
        { label: 'running', colour: 'left', look: 'block' },
      ],
    });
    this.#canvas = document.createElement('canvas');
    this.#canvas.setAttribute('role', 'img');
    this.#canvas.setAttribute('aria-label', 'Requests in the queue by the time left to their deadlines');
    this.card.content.append(this.#canvas);
    this.#area = watchPlotArea(this.card.root, this.card.content, ({ widthPx, heightPx }) => {
      this.#canvas.width = Math.round(widthPx * devicePixelRatio);
      this.#canvas.height = Math.round(heightPx * devicePixelRatio);
      this.#canvas.style.width = `${widthPx}px`;
      this.#canvas.style.height = `${heightPx}px`;
      this.#drawnAtMs = NaN;
    });
  }

  invalidate(): void {
    this.#drawnAtMs = NaN;
  }

  draw(model: ModelState, instantMs: number): void {
    const { isOnScreen, widthPx, heightPx } = this.#area;
    if (!isOnScreen || widthPx === 0 || instantMs === this.#drawnAtMs) return;
    this.#drawnAtMs = instantMs;
    const present = requestsAt(model, instantMs);
    this.#running = present.filter(({ isRunning }) => isRunning).length;
    this.#waiting = present.length - this.#running;
    this.#topMs = this.#scaleFor(present);
    const context = this.#canvas.getContext('2d')!;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, widthPx, heightPx);
    this.#drawAxis(context);
    this.#drawBars(context, present);
    this.#drawTypical(context);
  }

  /** The slow part of what it shows: text. @param when of the instant, for people */
  tell(model: ModelState, instantMs: number, when: string): void {
    this.#typicalMs = typicalBatchMs(model, instantMs);
    const short = this.#typicalMs;
    const present = requestsAt(model, instantMs).filter(({ isRunning }) => !isRunning);
    const inDanger = short === null ? 0 : present.filter(({ leftMs }) => leftMs < short).length;
    // What a pipeline holds waits or runs at one of its steps.
    this.card.rename(model.pipeline === null ? ['waiting', 'short of time', 'running'] : ['held', null, null]);
    this.card.readOut([String(this.#waiting), String(inDanger), String(this.#running)]);
    const batch = short === null ? '' : `; a batch recently took ${duration(short)}`;
    this.card.note(`${when}${batch}`);
  }

  #scaleFor(present: readonly PresentRequest[]): number {
    if (present.length === 0) return this.#topMs;
    const most = present.reduce((top, { leftMs }) => Math.max(top, leftMs), 0);
    const wanted = niceTop(most);
    return most > this.#topMs || wanted < this.#topMs * KEPT_TOP ? Math.max(10, wanted) : this.#topMs;
  }

  /** A twelfth of the width is for those that are overdue. */
  #x(leftMs: number): number {
    const zero = this.#area.widthPx / 12;
    return zero + (leftMs / this.#topMs) * (this.#area.widthPx - zero - 8);
  }

  #drawAxis(context: CanvasRenderingContext2D): void {
    context.font = FONT;
    context.textBaseline = 'bottom';
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((fraction) => fraction * this.#topMs);
    for (const [index, tick] of ticks.entries()) {
      const x = Math.round(this.#x(tick)) + 0.5;
      context.strokeStyle = colour(index === 0 ? 'soft' : 'rule');
      context.beginPath();
      context.moveTo(x, 0);
      context.lineTo(x, this.#area.heightPx - AXIS_PX);
      context.stroke();
      context.fillStyle = colour('soft');
      context.textAlign = index === 4 ? 'right' : 'center';
      context.fillText(
        index === 0 ? 'now' : String(Number(tick.toPrecision(3))),
        index === 4 ? x + 8 : x,
        this.#area.heightPx - 2,
      );
    }
  }

  #drawBars(context: CanvasRenderingContext2D, present: readonly PresentRequest[]): void {
    const room = this.#area.heightPx - AXIS_PX;
    const row = Math.min(ROW_PX, room / Math.max(1, present.length));
    // Whole pixels where rows are lower than that, or their edges would make a pattern.
    const height = row > 3 ? row - 1.5 : Math.ceil(row);
    const zero = this.#x(0);
    present.forEach(({ isRunning, leftMs }, index) => {
      const y = row > 3 ? index * row : Math.floor(index * row);
      const x = Math.max(0, this.#x(leftMs));
      const isShort = leftMs < (this.#typicalMs ?? 0);
      context.fillStyle = colour(isRunning ? 'left' : isShort ? 'late' : 'depth');
      context.globalAlpha = isRunning ? 0.55 : 1;
      context.fillRect(Math.min(zero, x), y, Math.max(2, Math.abs(x - zero)), height);
    });
    context.globalAlpha = 1;
  }

  #drawTypical(context: CanvasRenderingContext2D): void {
    if (this.#typicalMs === null) return;
    const x = Math.round(this.#x(this.#typicalMs)) + 0.5;
    context.strokeStyle = colour('ink');
    context.setLineDash([4, 3]);
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, this.#area.heightPx - AXIS_PX);
    context.stroke();
    context.setLineDash([]);
  }
}
