import { describe, expect, it } from 'vitest';
import { p99Ms, paperPercent, paperViolations, type ServedSecond } from './paper-violations.js';

/** Twenty requests, all in 500 ms but the last ones. */
function second(...last: readonly number[]): ServedSecond {
  return { serverMs: [...Array.from({ length: 20 - last.length }, () => 500), ...last], unanswered: 0 };
}

describe('the paper’s measure', () => {
  it('counts a P99 above 1 s once, however many were late', () => {
    // P99 lies at rank 18.81 of 0 … 19: 0.19 · 500 + 0.81 · 1120 = 1002.2 ms; with 1110 ms it is 994.1.
    expect(p99Ms(second(1120).serverMs)).toBeCloseTo(1002.2, 9);
    expect(paperViolations([second(), second(1110), second(1120), second(1500, 1500, 1500)], 3000)).toEqual([
      0, 0, 1, 1,
    ]);
  });

  it('counts each dropped reply and the P99 that it lifts: never one at 3 s', () => {
    expect(paperViolations([second(2999), second(3000), second(3000, 4000)], 3000)).toEqual([1, 2, 3]);
    // With the limit of 1 s a reply can be dropped while the P99 is not above it.
    expect(paperViolations([second(1000), second(1200, 1300)], 1000)).toEqual([1, 3]);
  });

  it('takes a request without a reply for a drop, and a second without any for none', () => {
    expect(paperViolations([{ serverMs: [500, 500], unanswered: 18 }], 3000)).toEqual([18]);
    expect(paperViolations([{ serverMs: [], unanswered: 0 }], 3000)).toEqual([0]);
  });

  it('is divided by 40 or 20 a second, whatever was sent', () => {
    // 69 violations in 600 s of 40.
    const violations = [...Array.from({ length: 61 }, () => 1), 2, 2, 2, 2, ...Array.from({ length: 535 }, () => 0)];
    expect(paperPercent(violations, 40)).toBeCloseTo(0.2875, 9);
    expect(paperPercent(violations, 20)).toBeCloseTo(0.575, 9);
    // Twenty drops and one for the P99 are more than all.
    expect(paperPercent([21], 20)).toBe(105);
  });
});
