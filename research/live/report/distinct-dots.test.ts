import { describe, expect, it } from 'vitest';
import { distinctDots } from './distinct-dots.js';

describe('distinct dots', () => {
  it('keeps the first of those that would lie on each other', () => {
    const dots = [
      { x: 0.2, y: 10 },
      { x: 0.4, y: 12 },
      { x: 1.2, y: 10 },
    ];
    expect(distinctDots(dots, { xPerDot: 1, yPerDot: 5 })).toEqual([dots[0], dots[2]]);
  });

  it('keeps the one outlier among thousands', () => {
    const crowd = Array.from({ length: 5000 }, (_, index) => ({ x: index / 5000, y: 0.5 }));
    const kept = distinctDots([...crowd, { x: 0.5, y: 90 }], { xPerDot: 0.1, yPerDot: 1 });
    expect(kept).toContainEqual({ x: 0.5, y: 90 });
    expect(kept).toHaveLength(11);
  });

  it('has cells on both sides of zero', () => {
    const dots = [
      { x: -0.1, y: 0 },
      { x: 0.1, y: 0 },
    ];
    expect(distinctDots(dots, { xPerDot: 1, yPerDot: 1 })).toEqual(dots);
  });
});
