import { cornersOf, rectanglesIn, type Rectangle } from './boxes.js';
import type { Bytes, Floats } from './tensors.js';

/*
 * A page and where there is text on it → each line by itself, straightened, 48 high, as the recogniser wants it: channels blue, green, red,
 * values (v/255 − 0.5)/0.5, and what is left of its width at 0.
 */

const HEIGHT = 48;
/** Lines of one width can share a batch; wider ones are squeezed into the last. */
const WIDTHS = [160, 320, 480, 640, 960] as const;
const FRONT_WIDTH = 192;

export default function cut({ page, map }: { readonly page: Bytes; readonly map: Floats }): {
  box: Floats;
  line: Floats[];
  front: Floats[];
} {
  const [height = 1, width = 1] = page.shape;
  const [, , mapHeight = 1, mapWidth = 1] = map.shape;
  const [scaleX, scaleY] = [width / mapWidth, height / mapHeight];
  const rectangles = rectanglesIn(map.data, mapWidth, mapHeight).map((each): Rectangle => ({
    middle: { x: each.middle.x * scaleX, y: each.middle.y * scaleY },
    width: each.width * scaleX,
    height: each.height * scaleY,
    angle: each.angle,
  }));
  const corners = rectangles.flatMap(cornersOf).flatMap(({ x, y }) => [x, y]);
  return {
    box: { shape: [rectangles.length, 4, 2], data: Float32Array.from(corners) },
    line: rectangles.map((rectangle) => lineOf(page, rectangle, widthOf(rectangle))),
    front: rectangles.map((rectangle) => lineOf(page, rectangle, FRONT_WIDTH)),
  };
}

function widthOf({ width, height }: Rectangle): number {
  const needed = (HEIGHT * width) / height;
  return WIDTHS.find((each) => each >= needed) ?? WIDTHS.at(-1)!;
}

/** Bilinear, along the rectangle. A page has a million of these pixels: nothing is made in the inner loops. */
function lineOf(
  { shape, data: pixels }: Bytes,
  { middle, width, height, angle }: Rectangle,
  lineWidth: number,
): Floats {
  const pageHeight = shape[0] ?? 1;
  const pageWidth = shape[1] ?? 1;
  const usedWidth = Math.max(1, Math.min(lineWidth, Math.round((HEIGHT * width) / height)));
  const plane = HEIGHT * lineWidth;
  const line = new Float32Array(3 * plane);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  for (let row = 0; row < HEIGHT; row++) {
    const v = ((row + 0.5) / HEIGHT - 0.5) * height;
    for (let column = 0; column < usedWidth; column++) {
      const u = ((column + 0.5) / usedWidth - 0.5) * width;
      const x = Math.min(pageWidth - 1.001, Math.max(0, middle.x + u * cos - v * sin));
      const y = Math.min(pageHeight - 1.001, Math.max(0, middle.y + u * sin + v * cos));
      const left = Math.floor(x);
      const top = Math.floor(y);
      const fx = x - left;
      const fy = y - top;
      const corner = (top * pageWidth + left) * 3;
      const right = left + 1 < pageWidth ? 3 : 0;
      const below = top + 1 < pageHeight ? 3 * pageWidth : 0;
      for (let channel = 0; channel < 3; channel++) {
        const at = corner + 2 - channel;
        const upper = pixels[at]! * (1 - fx) + pixels[at + right]! * fx;
        const lower = pixels[at + below]! * (1 - fx) + pixels[at + below + right]! * fx;
        line[channel * plane + row * lineWidth + column] = (upper * (1 - fy) + lower * fy) / 127.5 - 1;
      }
    }
  }
  return { shape: [1, 3, HEIGHT, lineWidth], data: line };
}
