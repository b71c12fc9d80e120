import { describe, expect, it } from 'vitest';
import { Prng } from '../scheduler/random/prng.js';
import { boxAround, placeLabels, sharedArea, type Anchor, type Box, type Placed } from './label-placement.js';

const frame: Box = { x: 0, y: 0, width: 480, height: 340 };
const options = { frame, obstacles: [], pointPx: 6 };
const anchor = (x: number, y: number, labelWidth = 60): Anchor => ({ x, y, labelWidth, labelHeight: 15 });

function overlaps(boxes: readonly Box[]): number {
  return boxes.filter((box, i) => boxes.slice(0, i).some((other) => sharedArea(box, other) > 0)).length;
}

function isInside({ x, y, width, height }: Placed): boolean {
  return x >= 0 && y >= 0 && x + width <= frame.width && y + height <= frame.height;
}

describe('labels', () => {
  it('stand to the right of their points, without a line, where nothing is in the way', () => {
    const [label] = placeLabels([anchor(100, 100)], options);
    // 6 px of the point and 4 px of air; centred on the point.
    expect(label).toEqual({ x: 110, y: 92.5, width: 60, height: 15, align: 'left', lineTo: null });
  });

  it('turn to the left at the right edge, and face their point', () => {
    const [label] = placeLabels([anchor(470, 100)], options);
    expect(label).toMatchObject({ x: 470 - 10 - 60, align: 'right', lineTo: null });
  });

  it('cover nothing they should not', () => {
    const wall: Box = { x: 112, y: 0, width: 2, height: 340 };
    const [label] = placeLabels([anchor(100, 100)], { ...options, obstacles: [wall] });
    expect(sharedArea(label!, wall)).toBe(0);
  });

  it('make room for each other where several points are one, far ones with a line to their point', () => {
    const labels = placeLabels(
      Array.from({ length: 6 }, () => anchor(200, 150)),
      options,
    );
    expect(overlaps(labels)).toBe(0);
    expect(labels.some(({ lineTo }) => lineTo !== null)).toBe(true);
  });

  it('cover neither each other nor points nor leave the frame, for fifteen policies anywhere', () => {
    const prng = new Prng(5);
    let covered = 0;
    for (let round = 0; round < 40; round++) {
      const anchors = Array.from({ length: 15 }, () =>
        anchor(20 + prng.uniform() * 440, 20 + prng.uniform() * 300, 30 + prng.uniform() * 70),
      );
      const labels = placeLabels(anchors, options);
      const points = anchors.map(({ x, y }) => boxAround(x, y, 6));
      expect(labels.filter((label) => !isInside(label))).toEqual([]);
      covered +=
        overlaps(labels) + labels.filter((label) => points.some((point) => sharedArea(label, point) > 0)).length;
    }
    // Of 600.
    expect(covered).toBeLessThanOrEqual(3);
  });

  it('are placed the same each time', () => {
    const anchors = [anchor(50, 50), anchor(60, 55), anchor(65, 48)];
    expect(placeLabels(anchors, options)).toEqual(placeLabels(anchors, options));
  });
});
