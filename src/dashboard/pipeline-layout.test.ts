import { describe, expect, it } from 'vitest';
import { layoutOf, pathOf, type PipelineLayout, type Place } from './pipeline-layout.js';

const stepsOf = (...before: readonly (readonly number[])[]) => before.map((each) => ({ before: each }));

const linesOf = ({ edges }: PipelineLayout): string[] => edges.map(({ from, to }) => `${from}→${to}`);

const overlap = (a: Place, b: Place): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/** No two boxes have a pixel in common, all are within, and each line leads from box to box without going through another. */
function expectDrawable({ boxes, edges, width, height }: PipelineLayout): void {
  boxes.forEach((box, node) => {
    expect(Math.min(box.x, box.y), `box ${node}`).toBeGreaterThanOrEqual(0);
    expect(box.x + box.width, `box ${node}`).toBeLessThanOrEqual(width + 0.001);
    expect(box.y + box.height, `box ${node}`).toBeLessThanOrEqual(height + 0.001);
    boxes
      .slice(node + 1)
      .forEach((other, index) => expect(overlap(box, other), `${node}, ${node + 1 + index}`).toBe(false));
  });
  for (const { from, to, points } of edges) {
    for (const { x, y } of points) {
      const through = boxes.findIndex(
        (box, node) =>
          node !== from && node !== to && x > box.x && x < box.x + box.width && y > box.y && y < box.y + box.height,
      );
      expect(through, `${from}→${to} at ${x}, ${y}`).toBe(-1);
    }
  }
}

describe('the picture of a pipeline', () => {
  it('goes from the door through a chain to the answer, from left to right where there is room', () => {
    const layout = layoutOf(stepsOf([], [0], [1]), 1000);
    expect(linesOf(layout)).toEqual(['0→1', '1→2', '2→3', '3→4']);
    expect(layout.isUpright).toBe(false);
    expect(layout.boxes.map(({ x }) => x)).toEqual(layout.boxes.map(({ x }) => x).sort((a, b) => a - b));
    // On one line.
    expect(new Set(layout.edges.flatMap(({ points }) => points.map(({ y }) => y))).size).toBe(1);
    expect(layout.width).toBe(1000);
    expectDrawable(layout);
  });

  it('goes from above where there is not', () => {
    const layout = layoutOf(stepsOf([], [0], [1]), 400);
    expect(layout.isUpright).toBe(true);
    expect(layout.boxes.map(({ y }) => y)).toEqual(layout.boxes.map(({ y }) => y).sort((a, b) => a - b));
    expect(layout.width).toBe(400);
    expectDrawable(layout);
  });

  it('leaves out lines that follow from others', () => {
    // The third takes what the first makes too, and the last from all.
    expect(linesOf(layoutOf(stepsOf([], [0], [0, 1], [0, 1, 2]), 1000))).toEqual(['0→1', '1→2', '2→3', '3→4', '4→5']);
  });

  it('draws branches beside each other, and joins them', () => {
    const layout = layoutOf(stepsOf([], [0], [0], [1, 2]), 1000);
    expect(linesOf(layout)).toEqual(['0→1', '1→2', '1→3', '2→4', '3→4', '4→5']);
    const [, first, left, right, last] = layout.boxes as [Place, Place, Place, Place, Place];
    expect(left.x).toBe(right.x);
    expect(left.y).not.toBe(right.y);
    // Those before and behind them stand in the middle.
    expect(first.y).toBeCloseTo((left.y + right.y) / 2, 6);
    expect(last.y).toBeCloseTo(first.y, 6);
    expectDrawable(layout);
  });

  it('leads a line that passes a step around it', () => {
    // Two ways of unlike lengths: 0 → 1 → 2 → 4 and 0 → 3 → 4.
    const layout = layoutOf(stepsOf([], [0], [1], [0], [2, 3]), 1000);
    const passing = layout.edges.find(({ from, to }) => from === 4 && to === 5)!;
    expect(passing.points).toHaveLength(4);
    expectDrawable(layout);
    expectDrawable(layoutOf(stepsOf([], [0], [1], [0], [2, 3]), 330));
  });

  it('is drawn whatever the steps are, at any width', () => {
    // A small generator of its own: graphs of up to 12 steps.
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    for (let run = 0; run < 300; run++) {
      const steps = stepsOf(
        ...Array.from({ length: 1 + random(12) }, (_, index) =>
          Array.from({ length: Math.min(index, random(3)) }, () => random(index)),
        ),
      );
      const layout = layoutOf(steps, [320, 700, 1240, 1650][random(4)]!);
      expectDrawable(layout);
      expect(layout.boxes).toHaveLength(steps.length + 2);
      // Everything is between the door and the answer.
      for (const node of layout.boxes.keys()) {
        if (node > 0) expect(linesOf(layout).some((line) => line.endsWith(`→${node}`))).toBe(true);
        if (node <= steps.length) expect(linesOf(layout).some((line) => line.startsWith(`${node}→`))).toBe(true);
      }
    }
  });

  it('has lines that leave and arrive straight', () => {
    const points = [
      { x: 0, y: 10 },
      { x: 20, y: 30 },
    ];
    expect(pathOf(points, false)).toBe('M0 10C10 10 10 30 20 30');
    expect(pathOf(points, true)).toBe('M0 10C0 20 20 20 20 30');
  });
});
