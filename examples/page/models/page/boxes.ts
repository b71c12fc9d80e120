/*
 * Where there is text: the regions of a map of probabilities, each with the smallest rectangle around it, however that is turned.
 */

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Around its middle; `angle` of its longer side against the horizontal, in (−π/2, π/2]. */
export interface Rectangle {
  readonly middle: Point;
  readonly width: number;
  readonly height: number;
  readonly angle: number;
}

/** PaddleOCR's: of a pixel, and of the mean of a region. */
const TEXT_PROBABILITY = 0.3;
const REGION_PROBABILITY = 0.6;
const LEAST_SIDE = 3;
/** What the detector marks is the middle of a line; the line is larger by this share of area over circumference. */
const GROWTH = 1.5;

/** @param map row-major [height, width]   @returns from the top, lines beside each other from the left */
export function rectanglesIn(map: Float32Array, width: number, height: number): readonly Rectangle[] {
  const seen = new Uint8Array(width * height);
  const rectangles: Rectangle[] = [];
  for (let start = 0; start < map.length; start++) {
    if (seen[start] !== 0 || map[start]! <= TEXT_PROBABILITY) continue;
    const region = regionFrom(start, map, width, height, seen);
    const mean = region.reduce((sum, place) => sum + map[place]!, 0) / region.length;
    if (mean < REGION_PROBABILITY) continue;
    const tight = smallestAround(region.map((place) => ({ x: place % width, y: Math.floor(place / width) })));
    if (Math.min(tight.width, tight.height) < LEAST_SIDE) continue;
    rectangles.push(grown(tight));
  }
  return inReadingOrder(rectangles);
}

function regionFrom(
  start: number,
  map: Float32Array,
  width: number,
  height: number,
  seen: Uint8Array,
): readonly number[] {
  const region = [start];
  seen[start] = 1;
  const visit = (next: number): void => {
    if (seen[next] !== 0 || map[next]! <= TEXT_PROBABILITY) return;
    seen[next] = 1;
    region.push(next);
  };
  for (let index = 0; index < region.length; index++) {
    const place = region[index]!;
    const x = place % width;
    if (x > 0) visit(place - 1);
    if (x < width - 1) visit(place + 1);
    if (place >= width) visit(place - width);
    if (place < width * (height - 1)) visit(place + width);
  }
  return region;
}

/** One of its sides lies on a side of the convex hull (Freeman and Shapira 1975). */
function smallestAround(points: readonly Point[]): Rectangle {
  const hull = hullOf(points);
  let best: Rectangle | null = null;
  for (const [index, from] of hull.entries()) {
    const to = hull[(index + 1) % hull.length]!;
    const angle = Math.atan2(to.y - from.y, to.x - from.x);
    const rectangle = aroundAt(hull, angle);
    if (best === null || rectangle.width * rectangle.height < best.width * best.height) best = rectangle;
  }
  return alongLongerSide(best ?? aroundAt(points, 0));
}

function aroundAt(points: readonly Point[], angle: number): Rectangle {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const along = points.map(({ x, y }) => x * cos + y * sin);
  const across = points.map(({ x, y }) => y * cos - x * sin);
  const [left, right, top, bottom] = [Math.min(...along), Math.max(...along), Math.min(...across), Math.max(...across)];
  const [u, v] = [(left + right) / 2, (top + bottom) / 2];
  return {
    middle: { x: u * cos - v * sin, y: u * sin + v * cos },
    width: right - left + 1,
    height: bottom - top + 1,
    angle,
  };
}

function alongLongerSide({ middle, width, height, angle }: Rectangle): Rectangle {
  const isUpright = width < height;
  let turned = angle + (isUpright ? Math.PI / 2 : 0);
  while (turned > Math.PI / 2) turned -= Math.PI;
  while (turned <= -Math.PI / 2) turned += Math.PI;
  return { middle, width: Math.max(width, height), height: Math.min(width, height), angle: turned };
}

/** Andrew's monotone chain. */
function hullOf(points: readonly Point[]): readonly Point[] {
  const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  const half = (ordered: readonly Point[]): Point[] => {
    const chain: Point[] = [];
    for (const point of ordered) {
      while (chain.length >= 2 && turnOf(chain.at(-2)!, chain.at(-1)!, point) <= 0) chain.pop();
      chain.push(point);
    }
    chain.pop();
    return chain;
  };
  return [...half(sorted), ...half([...sorted].reverse())];
}

function turnOf(a: Point, b: Point, c: Point): number {
  return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

function grown({ middle, width, height, angle }: Rectangle): Rectangle {
  const margin = (width * height * GROWTH) / (2 * (width + height));
  return { middle, width: width + 2 * margin, height: height + 2 * margin, angle };
}

function inReadingOrder(rectangles: readonly Rectangle[]): readonly Rectangle[] {
  const byTop = [...rectangles].sort((a, b) => a.middle.y - b.middle.y);
  const rows: Rectangle[][] = [];
  for (const rectangle of byTop) {
    const row = rows.at(-1);
    const isBeside = row !== undefined && rectangle.middle.y - row[0]!.middle.y < row[0]!.height / 2;
    if (isBeside) row.push(rectangle);
    else rows.push([rectangle]);
  }
  return rows.flatMap((row) => row.sort((a, b) => a.middle.x - b.middle.x));
}

/** Clockwise from the upper left. */
export function cornersOf({ middle, width, height, angle }: Rectangle): readonly Point[] {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const corner = (u: number, v: number): Point => ({
    x: middle.x + (u * width * cos - v * height * sin) / 2,
    y: middle.y + (u * width * sin + v * height * cos) / 2,
  });
  return [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
}
