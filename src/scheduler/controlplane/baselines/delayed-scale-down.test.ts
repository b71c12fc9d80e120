import { describe, expect, it } from 'vitest';
import { DelayedScaleDown } from './delayed-scale-down.js';

describe('a delayed scale-down', () => {
  it('goes up at once, and down when fewer have sufficed for its time', () => {
    const scaleDown = new DelayedScaleDown(10_000, 1);
    expect(scaleDown.next(0, 4)).toBe(4);
    expect(scaleDown.next(1000, 2)).toBe(4);
    expect(scaleDown.next(10_999, 3)).toBe(4);
    expect(scaleDown.next(11_000, 3)).toBe(3);
    // From there on again.
    expect(scaleDown.next(12_000, 1)).toBe(3);
    expect(scaleDown.next(22_000, 1)).toBe(1);
  });

  it('begins to count anew when all are needed once', () => {
    const scaleDown = new DelayedScaleDown(10_000, 4);
    expect(scaleDown.next(0, 2)).toBe(4);
    expect(scaleDown.next(9000, 4)).toBe(4);
    expect(scaleDown.next(10_000, 2)).toBe(4);
    expect(scaleDown.next(19_999, 2)).toBe(4);
    expect(scaleDown.next(20_000, 2)).toBe(2);
  });
});
