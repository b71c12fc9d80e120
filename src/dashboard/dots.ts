import type uPlot from '/uplot/uPlot.esm.js';
import { colour, type ColourName } from './palette.js';

/*
 * Many small marks on a plot, as one path: thousands of arcs a drawing would take longer than the rest of it. A mark that
 * would cover another one is left out.
 */

const DOT_CSS_PX = 3;

export interface Dots {
  readonly plot: uPlot;
  readonly colour: ColourName;
  readonly count: number;
  /** In the units of the plot's scales; NaN for none. */
  readonly x: (index: number) => number;
  readonly y: (index: number) => number;
}

export function paintDots({ plot, colour: name, count, x, y }: Dots): void {
  const { ctx, bbox } = plot;
  const size = Math.max(2, Math.round(DOT_CSS_PX * devicePixelRatio));
  const columns = Math.ceil(bbox.width) + 1;
  const taken = new Uint8Array(columns * (Math.ceil(bbox.height) + 1));
  ctx.beginPath();
  for (let index = 0; index < count; index++) {
    const left = Math.round(plot.valToPos(x(index), 'x', true));
    const top = Math.round(plot.valToPos(y(index), 'y', true));
    const cell = (top - Math.floor(bbox.top)) * columns + (left - Math.floor(bbox.left));
    // Outside of the plot or no number: no such cell.
    if (!(cell >= 0 && cell < taken.length) || taken[cell] === 1) continue;
    taken[cell] = 1;
    ctx.rect(left - size / 2, top - size / 2, size, size);
  }
  ctx.fillStyle = colour(name);
  ctx.fill();
}
