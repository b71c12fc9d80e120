import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BandwidthTrace } from './bandwidth-trace.js';

/** The same by walking step after step. Exact where all numbers are whole, up to one division. */
function naiveEndAtMs(stepMs: readonly number[], bytesPerMs: readonly number[], startAtMs: number, bytes: number) {
  const durationMs = stepMs.reduce((sum, lengthMs) => sum + lengthMs, 0);
  let borderAtMs = Math.floor(startAtMs / durationMs) * durationMs;
  let left = bytes;
  for (let step = 0; left > 0; step = (step + 1) % stepMs.length) {
    const endAtMs = borderAtMs + stepMs[step]!;
    const fromAtMs = Math.max(startAtMs, borderAtMs);
    const capacity = Math.max(0, endAtMs - fromAtMs) * bytesPerMs[step]!;
    if (capacity >= left) return fromAtMs + left / bytesPerMs[step]!;
    left -= capacity;
    borderAtMs = endAtMs;
  }
  return startAtMs;
}

/** Whole numbers, many outages. */
const wholeSteps = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 9 }))), {
    minLength: 1,
    maxLength: 12,
  })
  .filter((steps) => steps.some(([, rate]) => rate > 0));
/** Like a measured log: bytes/ms, about a second each. */
const measuredSteps = fc
  .array(
    fc.tuple(
      fc.double({ min: 700, max: 1100, noNaN: true }),
      fc.oneof(
        { weight: 1, arbitrary: fc.constant(0) },
        { weight: 4, arbitrary: fc.double({ min: 50, max: 7000, noNaN: true }) },
      ),
    ),
    { minLength: 1, maxLength: 30 },
  )
  .filter((steps) => steps.some(([, rate]) => rate > 0));

const anySteps = fc.oneof(wholeSteps, measuredSteps);
const instant = fc.oneof(fc.integer({ min: -500, max: 2000 }), fc.double({ min: -1e5, max: 1e6, noNaN: true }));
const size = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 50_000_000 }));

const traceOf = (steps: readonly (readonly [number, number])[]): BandwidthTrace =>
  new BandwidthTrace(
    steps.map(([lengthMs]) => lengthMs),
    steps.map(([, rate]) => rate),
  );
/** Rounding of instants and of what is left, over the slowest bandwidth above, 1 byte/ms. */
const roundingMs = (atMs: number): number => 1e-3 + 1e-9 * Math.abs(atMs);

describe('a bandwidth trace', () => {
  // 10 ms of 5 bytes/ms, 20 ms of nothing, 10 ms of 2 bytes/ms: 70 bytes in 40 ms.
  const trace = new BandwidthTrace([10, 20, 10], [5, 0, 2]);

  it('has the bandwidth of the step that an instant is in, again and again', () => {
    expect([0, 9.9, 10, 29, 30, 39.9].map((atMs) => trace.bytesPerMsAt(atMs))).toEqual([5, 5, 0, 0, 2, 2]);
    expect([40, 50, 4e6, -1, -10, -11, -40, -41].map((atMs) => trace.bytesPerMsAt(atMs))).toEqual([
      5, 0, 5, 2, 2, 0, 5, 2,
    ]);
    expect(trace.durationMs).toBe(40);
  });

  it.each([
    [0, 0, 0],
    [15, 0, 15],
    [2, 20, 6], // 20 / 5
    [0, 50, 10], // just full
    [0, 60, 35], // 50 before the outage, 10 / 2 after it
    [15, 10, 35],
    [35, 20, 42], // 10 in 5 ms, 10 / 5 in the next period
    [0, 70, 40],
    [0, 700, 400], // ten periods
    [-40, 60, -5],
    [-41, 2, -40],
  ])('from %d ms moves %d bytes by %d ms', (startAtMs, bytes, endAtMs) => {
    expect(trace.transferEndAtMs(startAtMs, bytes)).toBeCloseTo(endAtMs, 9);
  });

  it.each([
    [15, 0, 15],
    [6, 20, 2],
    [10, 50, 0],
    [25, 50, 0], // nothing passes from 10 to 30: begun at 0 it is there by 10
    [35, 10, 30], // from 10 on would do as little as from 30 on; the latest is asked for
    [35, 60, 0],
    [0, 20, -10],
    [0, 21, -30.2],
    [400, 700, 0],
  ])('by %d ms has moved %d bytes if begun at %d ms, no later', (endAtMs, bytes, startAtMs) => {
    expect(trace.latestStartAtMs(endAtMs, bytes)).toBeCloseTo(startAtMs, 9);
  });

  it('may begin and end in an outage, and be of one step', () => {
    const outages = new BandwidthTrace([5, 5, 5], [0, 3, 0]);
    // 15 bytes a period of 15 ms, all of them from 5 to 10.
    expect(outages.transferEndAtMs(0, 15)).toBe(10);
    expect(outages.transferEndAtMs(0, 16)).toBeCloseTo(20 + 1 / 3, 9);
    expect(outages.latestStartAtMs(4, 15)).toBe(-10);
    const even = BandwidthTrace.even(1000, [2]);
    expect(even.transferEndAtMs(123, 10_000)).toBe(5123);
    expect(even.latestStartAtMs(123, 10_000)).toBe(-4877);
  });

  it('can be scaled', () => {
    const half = trace.scaled(0.5);
    expect([0, 10, 30].map((atMs) => half.bytesPerMsAt(atMs))).toEqual([2.5, 0, 1]);
    expect(half.transferEndAtMs(0, 30)).toBeCloseTo(35, 9);
    for (const factor of [0, -1, NaN, Infinity]) expect(() => trace.scaled(factor)).toThrow(RangeError);
  });

  it('can be met at another moment, and repeats as before', () => {
    fc.assert(
      fc.property(
        wholeSteps,
        fc.integer({ min: -500, max: 500 }),
        fc.integer({ min: -500, max: 500 }),
        (steps, a, b) => {
          const any = traceOf(steps);
          const moved = any.startingAt(a);
          expect(moved.durationMs).toBe(any.durationMs);
          expect(moved.bytesPerMsAt(b)).toBe(any.bytesPerMsAt(a + b));
          expect(moved.transferEndAtMs(b, 100)).toBeCloseTo(any.transferEndAtMs(a + b, 100) - a, 6);
        },
      ),
    );
    expect(trace.startingAt(12.5).bytesPerMsAt(-2.5)).toBe(0);
    expect(trace.startingAt(12.5).bytesPerMsAt(-2.6)).toBe(5);
    expect(() => trace.startingAt(NaN)).toThrow(RangeError);
  });

  it('refuses steps that make no trace and transfers that make no sense', () => {
    for (const [stepMs, bytesPerMs] of [
      [[], []],
      [[1], [1, 2]],
      [[0], [1]],
      [[Infinity], [1]],
      [[1], [-1]],
      [[1], [NaN]],
      [
        [1, 1],
        [0, 0],
      ],
    ] as const) {
      expect(() => new BandwidthTrace(stepMs, bytesPerMs)).toThrow(RangeError);
    }
    for (const [atMs, bytes] of [
      [NaN, 1],
      [Infinity, 1],
      [0, -1],
      [0, NaN],
      [0, Infinity],
    ] as const) {
      expect(() => trace.transferEndAtMs(atMs, bytes)).toThrow(RangeError);
      expect(() => trace.latestStartAtMs(atMs, bytes)).toThrow(RangeError);
    }
  });

  it('ends transfers when step-by-step integration does', () => {
    const equals = (steps: readonly (readonly [number, number])[], startAtMs: number, bytes: number): void => {
      const endAtMs = traceOf(steps).transferEndAtMs(startAtMs, bytes);
      const [stepMs, rates] = [steps.map(([lengthMs]) => lengthMs), steps.map(([, rate]) => rate)];
      const naive = naiveEndAtMs(stepMs, rates, startAtMs, bytes);
      expect(Math.abs(endAtMs - naive)).toBeLessThanOrEqual(1e-9 * Math.max(1, Math.abs(naive)));
    };
    fc.assert(
      fc.property(wholeSteps, fc.integer({ min: -500, max: 2000 }), fc.integer({ min: 0, max: 3000 }), equals),
      { numRuns: 2000 },
    );
    const withoutOutages = measuredSteps.filter((steps) => steps.every(([, rate]) => rate > 0));
    fc.assert(
      fc.property(withoutOutages, instant, fc.integer({ min: 0, max: 5_000_000 }), (steps, startAtMs, bytes) => {
        const naive = naiveEndAtMs(
          steps.map(([lengthMs]) => lengthMs),
          steps.map(([, rate]) => rate),
          startAtMs,
          bytes,
        );
        // Up to a thousandth of a byte of rounding at 50 bytes/ms is 0.00002 ms.
        expect(Math.abs(traceOf(steps).transferEndAtMs(startAtMs, bytes) - naive)).toBeLessThan(3e-5);
      }),
    );
  });

  it('ends a transfer no earlier for a later start or more bytes', () => {
    fc.assert(
      fc.property(anySteps, instant, instant, size, size, (steps, oneAtMs, otherAtMs, oneBytes, otherBytes) => {
        const any = traceOf(steps);
        const [early, late] = [Math.min(oneAtMs, otherAtMs), Math.max(oneAtMs, otherAtMs)];
        const [few, many] = [Math.min(oneBytes, otherBytes), Math.max(oneBytes, otherBytes)];
        const endAtMs = any.transferEndAtMs(early, few);
        expect(endAtMs).toBeGreaterThanOrEqual(early);
        const tolerance = roundingMs(endAtMs);
        expect(any.transferEndAtMs(late, few)).toBeGreaterThanOrEqual(endAtMs - tolerance);
        expect(any.transferEndAtMs(early, many)).toBeGreaterThanOrEqual(endAtMs - tolerance);
      }),
      { numRuns: 2000 },
    );
  });

  it('knows the latest start: from there a transfer is in time, from a little later it is not', () => {
    fc.assert(
      fc.property(anySteps, instant, size, (steps, endAtMs, bytes) => {
        const any = traceOf(steps);
        const startAtMs = any.latestStartAtMs(endAtMs, bytes);
        expect(startAtMs).toBeLessThanOrEqual(endAtMs);
        expect(any.transferEndAtMs(startAtMs, bytes)).toBeLessThanOrEqual(endAtMs + roundingMs(endAtMs));
        // A hundredth of a ms at 1 byte/ms or more is ten times the rounding of 0.001 bytes.
        const laterMs = 0.01 + 1e-9 * Math.abs(startAtMs);
        expect(any.transferEndAtMs(startAtMs + laterMs, bytes)).toBeGreaterThan(endAtMs);
      }),
      { numRuns: 2000 },
    );
  });

  it('carries between two instants what a transfer between them moves', () => {
    // 10 × 5, and the 4 ms of 2 bytes/ms before 34; a period is 70 bytes.
    expect(new BandwidthTrace([10, 20, 10], [5, 0, 2]).bytesBetween(0, 34)).toBe(58);
    expect(new BandwidthTrace([10, 20, 10], [5, 0, 2]).bytesBetween(-3, 81)).toBe(6 + 140 + 5);
    fc.assert(
      fc.property(anySteps, instant, size, (steps, startAtMs, bytes) => {
        const trace = traceOf(steps);
        const moved = trace.bytesBetween(startAtMs, trace.transferEndAtMs(startAtMs, bytes));
        expect(Math.abs(moved - bytes)).toBeLessThan(0.01 + 1e-8 * (bytes + 7000 * roundingMs(startAtMs)));
      }),
    );
  });

  it('does not wait out an outage for what is left by rounding alone', () => {
    // 0.1 + 0.2 > 0.3 in doubles: the two steps carry 30.000000000000004 bytes, ten times their sum hardly ever exactly.
    const any = new BandwidthTrace([0.1, 0.2, 1000], [100, 100, 0]);
    for (let period = 0; period < 1000; period += 1) {
      const startAtMs = period * any.durationMs;
      expect(any.transferEndAtMs(startAtMs, 30) - startAtMs).toBeLessThan(0.301);
    }
  });
});
