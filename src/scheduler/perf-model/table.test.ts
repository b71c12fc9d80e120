import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LatencyPoint } from './curve.js';
import { fittedLatencyMs } from './fit.js';
import { MonotoneTable } from './table.js';

/** Any subset of a 4 × 4 grid with any latencies at all: gaps and disorder included. */
const pointsArbitrary = fc
  .array(fc.option(fc.double({ min: 0.1, max: 5000, noNaN: true }), { freq: 3 }), { minLength: 16, maxLength: 16 })
  .map((latencies) =>
    latencies.flatMap((latencyMs, i): LatencyPoint[] =>
      latencyMs === null
        ? []
        : [{ batchSize: [1, 2, 4, 9][i >> 2]!, cpuMillicores: [250, 1000, 1750, 6000][i & 3]!, latencyMs }],
    ),
  )
  .filter((points) => points.length > 0);

function grid(
  batchSizes: readonly number[],
  millicores: readonly number[],
  latencyMs: (b: number, c: number) => number,
) {
  return batchSizes.flatMap((batchSize) =>
    millicores.map((cpuMillicores) => ({ batchSize, cpuMillicores, latencyMs: latencyMs(batchSize, cpuMillicores) })),
  );
}

describe('the monotone table', () => {
  it('never falls with b and never rises with c, inside the grid and beyond it, whatever was measured', () => {
    const b = fc.integer({ min: 1, max: 20 });
    const c = fc.integer({ min: 50, max: 20_000 });
    fc.assert(
      fc.property(
        pointsArbitrary,
        b,
        c,
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 3000 }),
        (points, b, c, moreB, moreC) => {
          const table = new MonotoneTable(points);
          const here = table.latencyMs(b, c);
          expect(here).toBeGreaterThan(0);
          // One part in 10^12 is rounding.
          expect(table.latencyMs(b + moreB, c)).toBeGreaterThanOrEqual(here * (1 - 1e-12));
          expect(table.latencyMs(b, c + moreC)).toBeLessThanOrEqual(here * (1 + 1e-12));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('gives back measured cells that are in order', () => {
    const points = grid([1, 2, 4, 8], [500, 1000, 2000, 4000], (b, c) => 5 * b + (20_000 * b) / c);
    const table = new MonotoneTable(points);
    for (const { batchSize, cpuMillicores, latencyMs } of points) {
      expect(table.latencyMs(batchSize, cpuMillicores)).toBeCloseTo(latencyMs, 9);
    }
  });

  it('agrees with the four-term formula everywhere within a grid measured from it', () => {
    const truth = { gamma: 40, epsilon: 10, delta: 2, eta: 5 };
    const table = new MonotoneTable(grid([1, 4, 16], [250, 1000, 4000], (b, c) => fittedLatencyMs(truth, b, c)));
    for (const b of [1, 2, 3, 7, 15, 16]) {
      for (const c of [250, 300, 1700, 3999, 4000]) {
        expect(table.latencyMs(b, c)).toBeCloseTo(fittedLatencyMs(truth, b, c), 9);
      }
    }
  });

  it('fills a cell that was not measured from its row and column', () => {
    // 3·b·(1 + 1000/c) is linear in b and in 1/c, so interpolation along both is exact: 3·4·(1 + 1/2) = 18.
    const points = grid([1, 4, 8], [1000, 2000, 4000], (b, c) => 3 * b * (1 + 1000 / c));
    const table = new MonotoneTable(points.filter((point) => point.batchSize !== 4 || point.cpuMillicores !== 2000));
    expect(table.latencyMs(4, 2000)).toBeCloseTo(18, 9);
  });

  it('extends a corner that was not measured along its row and column, but no further than in proportion', () => {
    const points = [
      { batchSize: 1, cpuMillicores: 1000, latencyMs: 10 },
      { batchSize: 1, cpuMillicores: 2000, latencyMs: 6 },
      { batchSize: 2, cpuMillicores: 2000, latencyMs: 20 },
    ];
    // One neighbour each way, 20 ms in its row and 10 ms in its column: 15, their mean. Less CPU cannot be faster than the
    // row's 20, and a filled cell weighs 1 % of a measured one: pooled, (15·20¹⁰⁰)^(1/101) = 19.94.
    expect(new MonotoneTable(points).latencyMs(2, 1000)).toBeCloseTo(19.94, 2);

    // b = 4 on 1 core from b = 1, 2: 10 + 30·3 = 100 by its column's slope, cut at 40·4/2 = 80, in proportion to b = 2.
    const steep = grid([1, 2, 4], [1000, 2000], (b) => (b === 1 ? 10 : 40)).map((point) =>
      point.batchSize === 4 ? { ...point, latencyMs: 60 } : point,
    );
    const table = new MonotoneTable(steep.filter((point) => point.batchSize !== 4 || point.cpuMillicores !== 1000));
    // Its row has one other cell, which is worth less than a column of two.
    expect(table.latencyMs(4, 1000)).toBeCloseTo(80, 9);
  });

  it('pools neighbours that are out of order into their geometric mean', () => {
    const table = new MonotoneTable([
      { batchSize: 1, cpuMillicores: 1000, latencyMs: 20 },
      { batchSize: 2, cpuMillicores: 1000, latencyMs: 5 },
      { batchSize: 3, cpuMillicores: 1000, latencyMs: 30 },
    ]);
    // √(20·5) = 10
    expect(table.latencyMs(1, 1000)).toBeCloseTo(10, 6);
    expect(table.latencyMs(2, 1000)).toBeCloseTo(10, 6);
    expect(table.latencyMs(3, 1000)).toBeCloseTo(30, 6);
  });

  it('believes beyond the grid only what must be so', () => {
    const table = new MonotoneTable(grid([2, 4], [500, 1000], (b, c) => (b * 10_000) / c));
    expect(table.latencyMs(4, 8000)).toBeCloseTo(40, 9); // 4·10000/1000: more CPU than measured helps no further
    expect(table.latencyMs(4, 250)).toBeCloseTo(160, 9); // 80·500/250: less costs in proportion
    expect(table.latencyMs(8, 1000)).toBeCloseTo(80, 9); // 40·8/4: so do larger batches
    expect(table.latencyMs(1, 1000)).toBeCloseTo(20, 9); // smaller ones cost what the smallest measured does
  });
});
