/*
 * Where to write names beside points so that they cover neither each other nor the points. Greedy, the most crowded first,
 * then a few rounds in which each may move again; the same input gives the same places.
 */

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Anchor {
  readonly x: number;
  readonly y: number;
  readonly labelWidth: number;
  readonly labelHeight: number;
}

export interface Placed extends Box {
  /** The side that faces the point. */
  readonly align: 'left' | 'right' | 'center';
  /** Where a line from the point to its far label ends; null where the label is close. */
  readonly lineTo: readonly [x: number, y: number] | null;
}

export interface PlacementOptions {
  readonly frame: Box;
  /** Not to be covered, besides the points: whiskers, lines, other texts. */
  readonly obstacles: readonly Box[];
  /** Of a point, half its size. */
  readonly pointPx: number;
}

/** From the point to the nearest side of its label, nearest first. */
const DISTANCES_PX = [4, 12, 22, 34, 48, 64, 84, 110];
/** Right first: that is where one looks. */
const DIRECTIONS = [0, 180, -45, 45, -135, 135, -90, 90, -20, 20, -160, 160];
const CLOSE_PX = 4;
const ROUNDS = 4;

// Costs: px² of what is covered, weighed by how bad that is.
const COVERS_LABEL = 60;
const COVERS_POINT = 30;
const COVERS_OBSTACLE = 6;
const OUTSIDE = 1000;
const CROSSES_LABEL = 400;
const PER_DISTANCE_PX = 4;
const PER_DIRECTION = 1;

export function placeLabels(anchors: readonly Anchor[], options: PlacementOptions): Placed[] {
  const points = anchors.map(({ x, y }) => boxAround(x, y, options.pointPx));
  const crowdOf = (index: number): number =>
    anchors.filter((other) => Math.hypot(other.x - anchors[index]!.x, other.y - anchors[index]!.y) < 80).length;
  const order = anchors.map((_, index) => index).sort((a, b) => crowdOf(b) - crowdOf(a) || a - b);
  const placed: (Placed | undefined)[] = anchors.map(() => undefined);
  for (let round = 0; round < ROUNDS; round++) {
    for (const index of order) {
      placed[index] = undefined;
      const others = placed.filter((each) => each !== undefined);
      let [best, least]: [Placed | undefined, number] = [undefined, Infinity];
      for (const { label, cost } of candidatesOf(anchors[index]!, options.pointPx)) {
        if (cost >= least) break; // So do all that follow.
        const total = cost + costOf(label, index, points, others, options);
        if (total < least) [best, least] = [label, total];
      }
      placed[index] = best;
    }
  }
  return placed.map((each) => each!);
}

/** The cheapest first. */
function candidatesOf({ x, y, labelWidth: width, labelHeight: height }: Anchor, pointPx: number) {
  return DISTANCES_PX.flatMap((distance) =>
    DIRECTIONS.map((degrees, preference) => {
      const cos = Math.cos((degrees * Math.PI) / 180);
      const sin = Math.sin((degrees * Math.PI) / 180);
      // The label's nearest side or corner lies on a circle around the point.
      const reach = pointPx + distance;
      const isBeside = Math.abs(cos) > 0.1;
      const left = isBeside ? x + cos * reach - (cos < 0 ? width : 0) : x - width / 2;
      const top = y + sin * reach - (Math.abs(sin) < 0.1 ? height / 2 : sin < 0 ? height : 0);
      const edge: readonly [number, number] = [isBeside ? x + cos * reach : x, y + sin * reach];
      const align = isBeside ? (cos < 0 ? 'right' : 'left') : 'center';
      const label: Placed = { x: left, y: top, width, height, align, lineTo: distance > CLOSE_PX * 3 ? edge : null };
      return { label, cost: distance * PER_DISTANCE_PX + preference * PER_DIRECTION };
    }),
  ).sort((a, b) => a.cost - b.cost);
}

function costOf(
  label: Placed,
  index: number,
  points: readonly Box[],
  others: readonly Placed[],
  { frame, obstacles }: PlacementOptions,
): number {
  const own = points[index]!;
  const sum = (boxes: readonly Box[], weight: number): number =>
    boxes.reduce((total, box) => total + weight * sharedArea(label, box), 0);
  const crossed = (line: Placed['lineTo'], from: Box, boxes: readonly Box[]): number =>
    line === null ? 0 : boxes.filter((box) => isOnLine(from, line, box)).length;
  return (
    sum(others, COVERS_LABEL) +
    sum(points, COVERS_POINT) +
    sum(obstacles, COVERS_OBSTACLE) +
    CROSSES_LABEL * crossed(label.lineTo, own, [...others, ...points.filter((point) => sharedArea(point, own) === 0)]) +
    OUTSIDE * (label.width * label.height - sharedArea(label, frame))
  );
}

export function boxAround(x: number, y: number, half: number): Box {
  return { x: x - half, y: y - half, width: 2 * half, height: 2 * half };
}

/** In px². */
export function sharedArea(a: Box, b: Box): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  return width > 0 && height > 0 ? width * height : 0;
}

const LINE_SAMPLES = 12;

function isOnLine(from: Box, [toX, toY]: readonly [number, number], box: Box): boolean {
  const x = from.x + from.width / 2;
  const y = from.y + from.height / 2;
  return Array.from({ length: LINE_SAMPLES }, (_, i) => (i + 1) / (LINE_SAMPLES + 1)).some((t) => {
    const [atX, atY] = [x + (toX - x) * t, y + (toY - y) * t];
    return atX > box.x && atX < box.x + box.width && atY > box.y && atY < box.y + box.height;
  });
}
