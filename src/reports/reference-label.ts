import { textWidthPx } from './chart.js';
import { boxAround, sharedArea, type Box } from './label-placement.js';

/* Where the name of a vertical line is written: beside it, at the highest place that covers no point. */

export const LABEL_HEIGHT_PX = 15;
const POINT_PX = 6;
const GAP_PX = 5;

/** @param at of the line   @param points that are not to be covered */
export function referenceLabel(
  text: string,
  at: number,
  { width, height }: { readonly width: number; readonly height: number },
  points: readonly { readonly x: number; readonly y: number }[],
): Box {
  const labelWidth = textWidthPx(text);
  const x = at + GAP_PX + labelWidth > width ? at - GAP_PX - labelWidth : at + GAP_PX;
  const taken = points.map((point) => boxAround(point.x, point.y, POINT_PX));
  const places = Array.from({ length: Math.floor(height / LABEL_HEIGHT_PX) }, (_, row) => ({
    x,
    y: row * LABEL_HEIGHT_PX,
    width: labelWidth,
    height: LABEL_HEIGHT_PX,
  }));
  return places.find((place) => taken.every((point) => sharedArea(place, point) === 0)) ?? places[0]!;
}
