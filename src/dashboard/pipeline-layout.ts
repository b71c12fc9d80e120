/*
 * Where the steps of a pipeline are drawn: in layers from the door to the answer, each step behind all that it waits for; from left to right
 * where there is room for it, else from above. Pure; in CSS pixels.
 *
 * A line from one layer to the one after next has a lane of its own between the steps that it passes. What follows from other lines is not
 * drawn: where b waits for a, and c for both, a leads to b and b to c.
 */

export interface Place {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A line that leads into a box: nodes are the door (0), the steps (1 + their index), and the answer. */
export interface Edge {
  readonly from: number;
  readonly to: number;
  /** From the border of the one to the border of the other, by the lanes between. */
  readonly points: readonly Point[];
}

export interface PipelineLayout {
  /** From above, instead of from left to right. */
  readonly isUpright: boolean;
  readonly width: number;
  readonly height: number;
  /** By node. */
  readonly boxes: readonly Place[];
  readonly edges: readonly Edge[];
}

/** Of a step's box: what its texts need. */
const LEAST_WIDTH = 106;
const MOST_WIDTH = 190;
const STEP_HEIGHT = 126;
/** The door and the answer. */
const END_WIDTH = 104;
const END_HEIGHT = 80;
/** Room for a line and how many parts it stands for, and for what is lost there. */
const GAP = 30;
const UPRIGHT_GAP = 30;
/** Below each box, for what is lost before it. */
const DRAIN = 20;
const LANE_GAP = 18;
const LANE = 8;
/** A stroke must not be cut off. */
const MARGIN = 2;

interface Item {
  /** Null: only a line passes. */
  readonly node: number | null;
}

/** @param steps each with the indexes of those that it waits for, all before it   @param width that there is */
export function layoutOf(steps: readonly { readonly before: readonly number[] }[], width: number): PipelineLayout {
  const end = steps.length + 1;
  const links = linksOf(steps);
  const layers = layersOf(links, end);
  const { rows, chains } = arrange(links, layers, end);
  const count = rows.length;
  const stepLayers = count - 2;
  const least = stepLayers * LEAST_WIDTH + 2 * END_WIDTH + (count - 1) * GAP + 2 * MARGIN;
  const draw = width >= least ? lyingDown : standing;
  return draw(rows, links, chains, width);
}

/** Without those that follow from others. */
function linksOf(steps: readonly { readonly before: readonly number[] }[]): readonly (readonly [number, number])[] {
  const end = steps.length + 1;
  const before: number[][] = [
    [],
    ...steps.map((step) => (step.before.length === 0 ? [0] : step.before.map((each) => each + 1))),
  ];
  const last = steps.map((_, index) => index + 1).filter((node) => !before.some((nodes) => nodes.includes(node)));
  before[end] = last.length === 0 ? [0] : last;
  // Of each node all that come before it, in whatever way.
  const ancestors: Set<number>[] = [];
  before.forEach((nodes, node) => {
    ancestors[node] = new Set(nodes.flatMap((each) => [each, ...ancestors[each]!]));
  });
  return before.flatMap((nodes, to) =>
    nodes
      .filter((from) => !nodes.some((other) => other !== from && ancestors[other]!.has(from)))
      .map((from) => [from, to] as const),
  );
}

/** The longest way from the door. */
function layersOf(links: readonly (readonly [number, number])[], end: number): readonly number[] {
  const layers = new Array<number>(end + 1).fill(0);
  for (const [from, to] of links) layers[to] = Math.max(layers[to]!, layers[from]! + 1);
  return layers;
}

interface Arranged {
  /** Items of each layer, in the order in which they are drawn. */
  readonly rows: readonly (readonly Item[])[];
  /** By link: the lanes that it takes, in layers that follow each other. */
  readonly chains: readonly (readonly Item[])[];
}

function arrange(links: readonly (readonly [number, number])[], layers: readonly number[], end: number): Arranged {
  const rows: Item[][] = Array.from({ length: layers[end]! + 1 }, () => []);
  const items = layers.map((layer, node): Item => {
    const item = { node };
    rows[layer]!.push(item);
    return item;
  });
  const origins = new Map<Item, Item[]>();
  const leadsTo = (from: Item, to: Item): unknown => origins.set(to, [...(origins.get(to) ?? []), from]);
  const chains = links.map(([from, to]) => {
    const chain: Item[] = [];
    for (let layer = layers[from]! + 1; layer < layers[to]!; layer++) {
      const lane: Item = { node: null };
      rows[layer]!.push(lane);
      chain.push(lane);
    }
    [items[from]!, ...chain].forEach((item, index) => leadsTo(item, chain[index] ?? items[to]!));
    return chain;
  });
  // Beside those that they come from: fewer lines cross.
  for (let layer = 1; layer < rows.length; layer++) {
    const place = new Map(
      rows[layer - 1]!.map((item, index) => [item, index / Math.max(1, rows[layer - 1]!.length - 1)]),
    );
    const middle = (item: Item): number => {
      const from = origins.get(item) ?? [];
      return from.reduce((sum, each) => sum + (place.get(each) ?? 0.5), 0) / Math.max(1, from.length);
    };
    rows[layer] = rows[layer]!.map((item) => ({ item, middle: middle(item) }))
      .sort((a, b) => a.middle - b.middle)
      .map(({ item }) => item);
  }
  return { rows, chains };
}

type Draw = (
  rows: readonly (readonly Item[])[],
  links: readonly (readonly [number, number])[],
  chains: readonly (readonly Item[])[],
  width: number,
) => PipelineLayout;

const lyingDown: Draw = (rows, links, chains, width) => {
  const stepLayers = rows.length - 2;
  const free = width - 2 * MARGIN - 2 * END_WIDTH - (rows.length - 1) * GAP;
  const stepWidth = Math.min(MOST_WIDTH, free / Math.max(1, stepLayers));
  // What is left over makes the lines longer.
  const gap = GAP + (free - stepLayers * stepWidth) / (rows.length - 1);
  const heightOf = (item: Item): number => (item.node === null ? LANE : STEP_HEIGHT + DRAIN);
  const rowHeight = (row: readonly Item[]): number =>
    row.reduce((sum, item) => sum + heightOf(item), 0) + (row.length - 1) * LANE_GAP;
  const height = Math.max(...rows.map(rowHeight)) + 2 * MARGIN;
  const places = new Map<Item, Place>();
  let x = MARGIN;
  rows.forEach((row, layer) => {
    const isEnd = layer === 0 || layer === rows.length - 1;
    const own = isEnd ? END_WIDTH : stepWidth;
    let y = (height - rowHeight(row)) / 2;
    for (const item of row) {
      const full = item.node === null ? LANE : STEP_HEIGHT;
      const boxHeight = isEnd ? END_HEIGHT : full;
      places.set(item, { x, y: y + (full - boxHeight) / 2, width: own, height: boxHeight });
      y += heightOf(item) + LANE_GAP;
    }
    x += own + gap;
  });
  return finished(false, rows, links, chains, places, { width, height }, (place, isStart) => ({
    x: isStart ? place.x + place.width : place.x,
    y: place.y + place.height / 2,
  }));
};

const standing: Draw = (rows, links, chains, width) => {
  const room = width - 2 * MARGIN;
  const widest = Math.max(
    ...rows.map((row) => {
      const steps = row.filter(({ node }) => node !== null).length;
      return steps * LEAST_WIDTH + (row.length - steps) * LANE + (row.length - 1) * LANE_GAP;
    }),
  );
  // Wider than there is room for: it is scrolled.
  const full = Math.max(room, widest);
  const places = new Map<Item, Place>();
  let y = MARGIN;
  rows.forEach((row, layer) => {
    const isEnd = layer === 0 || layer === rows.length - 1;
    const steps = row.filter(({ node }) => node !== null).length;
    const left = full - (row.length - steps) * LANE - (row.length - 1) * LANE_GAP;
    const own = Math.min(2 * MOST_WIDTH, left / Math.max(1, steps));
    const used = full - left + steps * own;
    let x = MARGIN + (full - used) / 2;
    const height = isEnd ? END_HEIGHT : STEP_HEIGHT;
    for (const item of row) {
      const itemWidth = item.node === null ? LANE : own;
      places.set(item, { x, y, width: itemWidth, height });
      x += itemWidth + LANE_GAP;
    }
    y += height + UPRIGHT_GAP;
  });
  const size = { width: full + 2 * MARGIN, height: y - UPRIGHT_GAP + MARGIN };
  return finished(true, rows, links, chains, places, size, (place, isStart) => ({
    x: place.x + place.width / 2,
    y: isStart ? place.y + place.height : place.y,
  }));
};

function finished(
  isUpright: boolean,
  rows: readonly (readonly Item[])[],
  links: readonly (readonly [number, number])[],
  chains: readonly (readonly Item[])[],
  places: ReadonlyMap<Item, Place>,
  size: { readonly width: number; readonly height: number },
  border: (place: Place, isStart: boolean) => Point,
): PipelineLayout {
  const boxes: Place[] = [];
  for (const item of rows.flat()) if (item.node !== null) boxes[item.node] = places.get(item)!;
  const edges = links.map(([from, to], link): Edge => {
    const lanes = chains[link]!.map((lane) => places.get(lane)!);
    const points = [
      border(boxes[from]!, true),
      // Straight through the layer that it passes.
      ...lanes.flatMap((lane) => [border(lane, false), border(lane, true)]),
      border(boxes[to]!, false),
    ];
    return { from, to, points };
  });
  return { isUpright, ...size, boxes, edges };
}

/** An SVG path along the points, which leaves and arrives straight. */
export function pathOf(points: readonly Point[], isUpright: boolean): string {
  const [first, ...rest] = points.map(({ x, y }) => ({ x: round(x), y: round(y) }));
  let at = first!;
  let path = `M${at.x} ${at.y}`;
  for (const next of rest) {
    const [middleX, middleY] = [round((at.x + next.x) / 2), round((at.y + next.y) / 2)];
    path += isUpright
      ? `C${at.x} ${middleY} ${next.x} ${middleY} ${next.x} ${next.y}`
      : `C${middleX} ${at.y} ${middleX} ${next.y} ${next.x} ${next.y}`;
    at = next;
  }
  return path;
}

function round(value: number): number {
  return Math.round(10 * value) / 10;
}
