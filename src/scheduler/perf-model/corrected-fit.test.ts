import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorrectedFit } from './corrected-fit.js';
import type { LatencyPoint } from './curve.js';
import { fittedLatencyMs, type LatencyCoefficients } from './fit.js';

/** (40·b + 10)/c + 2·b + 5 ms. */
const FIT: LatencyCoefficients = { gamma: 40, epsilon: 10, delta: 2, eta: 5 };
const SIZES = [1, 2, 4, 8];
const MILLICORES = [1000, 2000, 4000, 8000];

/** A grid whose cells are so many times the fit. */
function gridOf(ratioOf: (batchSize: number, cpuMillicores: number) => number): LatencyPoint[] {
  return SIZES.flatMap((batchSize) =>
    MILLICORES.map((cpuMillicores) => ({
      batchSize,
      cpuMillicores,
      latencyMs: ratioOf(batchSize, cpuMillicores) * fittedLatencyMs(FIT, batchSize, cpuMillicores),
    })),
  );
}

/** Twelve per cent less for one on one core, up to 15 % more elsewhere. */
const UNEVEN = gridOf((b, c) => (b === 1 && c === 1000 ? 0.88 : 1 + 0.05 * ((b + c / 1000) % 4)));

describe('a corrected fit', () => {
  it('says of a measured cell what was measured, where there is no noise', () => {
    const curve = new CorrectedFit(FIT, UNEVEN);
    for (const { batchSize, cpuMillicores, latencyMs } of UNEVEN) {
      expect(curve.latencyMs(batchSize, cpuMillicores)).toBeCloseTo(latencyMs, 9);
    }
    // (40 + 10)/1 + 2 + 5 = 57 ms, and 12 % less
    expect(curve.latencyMs(1, 1000)).toBeCloseTo(50.16, 9);
  });

  it('is the fit where the cells are, within and beyond them', () => {
    const curve = new CorrectedFit(
      FIT,
      gridOf(() => 1),
    );
    for (const [batchSize, cpuMillicores] of [
      [1, 1000],
      [8, 4000],
      [16, 1000],
      [1, 500],
      [20, 16_000],
    ] as const) {
      expect(curve.latencyMs(batchSize, cpuMillicores)).toBeCloseTo(fittedLatencyMs(FIT, batchSize, cpuMillicores), 9);
    }
    // Linear in b and in 1/c, as the table between cells is
    expect(curve.latencyMs(3, 3000)).toBeCloseTo(fittedLatencyMs(FIT, 3, 3000), 9);
  });

  it('takes over a correction that all cells share everywhere', () => {
    const curve = new CorrectedFit(
      FIT,
      gridOf(() => 1.2),
    );
    for (const [batchSize, cpuMillicores] of [
      [3, 2000],
      [5, 4000],
      [16, 500],
      [1, 20_000],
    ] as const) {
      const fitted = fittedLatencyMs(FIT, batchSize, cpuMillicores);
      expect(curve.latencyMs(batchSize, cpuMillicores)).toBeCloseTo(1.2 * fitted, 9);
    }
  });

  it('has between cells a correction between theirs', () => {
    const curve = new CorrectedFit(
      FIT,
      gridOf((b) => (b <= 2 ? 1 : 1.3)),
    );
    const ratio = curve.latencyMs(3, 2000) / fittedLatencyMs(FIT, 3, 2000);
    expect(ratio).toBeGreaterThan(1.02);
    expect(ratio).toBeLessThan(1.28);
  });

  it('has beyond the edges the form of the fit, from the edge on', () => {
    const curve = new CorrectedFit(FIT, UNEVEN);
    const ratio = (batchSize: number, cpuMillicores: number): number =>
      curve.latencyMs(batchSize, cpuMillicores) / fittedLatencyMs(FIT, batchSize, cpuMillicores);
    // Less and more CPU, larger batches, both
    expect(ratio(4, 250)).toBeCloseTo(ratio(4, 1000), 9);
    expect(ratio(4, 32_000)).toBeCloseTo(ratio(4, 8000), 9);
    expect(ratio(64, 2000)).toBeCloseTo(ratio(8, 2000), 9);
    expect(ratio(64, 250)).toBeCloseTo(ratio(8, 1000), 9);
  });

  it('has below the smallest batch that was measured the form of the fit too', () => {
    const curve = new CorrectedFit(FIT, UNEVEN.filter(({ batchSize }) => batchSize >= 4)); // prettier-ignore
    const fitted = fittedLatencyMs(FIT, 1, 2000) / fittedLatencyMs(FIT, 4, 2000);
    expect(curve.latencyMs(1, 2000)).toBeCloseTo(fitted * curve.latencyMs(4, 2000), 9);
  });

  it('shrinks corrections towards the fit by as much of their variance as is noise', () => {
    const points = gridOf(() => 1.2);
    // Variance of the logarithms about the fit: (ln 1.2)²; of a quarter of it being noise, three quarters are believed.
    const variance = Math.log(1.2) ** 2;
    const at = (noise: number): number => new CorrectedFit(FIT, points, noise).latencyMs(4, 2000);
    const fitted = fittedLatencyMs(FIT, 4, 2000);
    expect(at(0.25 * variance)).toBeCloseTo(fitted * 1.2 ** 0.75, 9);
    // Where all of it may be chance, the fit is all there is.
    expect(at(variance)).toBeCloseTo(fitted, 9);
    expect(at(9 * variance)).toBeCloseTo(fitted, 9);
  });

  it('knows of one cell what was measured there, and the form of the fit elsewhere', () => {
    const curve = new CorrectedFit(FIT, [{ batchSize: 2, cpuMillicores: 2000, latencyMs: 108 }]);
    // The fit: (80 + 10)/2 + 4 + 5 = 54; twice of it
    expect(curve.latencyMs(2, 2000)).toBeCloseTo(108, 9);
    expect(curve.latencyMs(4, 500)).toBeCloseTo(2 * fittedLatencyMs(FIT, 4, 500), 9);
  });

  it('never falls with b and never rises with c between the cells, whatever was measured', () => {
    const ratios = fc.array(fc.double({ min: 0.2, max: 5, noNaN: true }), { minLength: 16, maxLength: 16 });
    const batchSize = fc.integer({ min: 1, max: 8 });
    const cpuMillicores = fc.integer({ min: 1000, max: 8000 });
    fc.assert(
      fc.property(ratios, batchSize, batchSize, cpuMillicores, cpuMillicores, (ratios, b, otherB, c, otherC) => {
        let cell = 0;
        const curve = new CorrectedFit(
          FIT,
          gridOf(() => ratios[cell++]!),
        );
        const [fewer, more] = [Math.min(b, otherB), Math.max(b, otherB)];
        const [less, most] = [Math.min(c, otherC), Math.max(c, otherC)];
        expect(curve.latencyMs(fewer, c)).toBeGreaterThan(0);
        // One part in 10^9 is rounding.
        expect(curve.latencyMs(more, c)).toBeGreaterThanOrEqual(curve.latencyMs(fewer, c) * (1 - 1e-9));
        expect(curve.latencyMs(b, most)).toBeLessThanOrEqual(curve.latencyMs(b, less) * (1 + 1e-9));
      }),
      { numRuns: 1000 },
    );
  });

  // A known fault, to be made an ordinary test by whoever mends it: where the repaired table is flat, the fit's form beyond an edge
  // may bend it the wrong way, by a few per cent.
  it.fails('never falls with b and never rises with c beyond the cells either', () => {
    // All cells alike: flat in b and in c.
    const flat = gridOf((b, c) => 100 / fittedLatencyMs(FIT, b, c));
    const curve = new CorrectedFit(FIT, flat);
    expect(curve.latencyMs(4, 4000)).toBeCloseTo(100, 9);
    expect(curve.latencyMs(8, 16_000)).toBeGreaterThanOrEqual(curve.latencyMs(1, 16_000));
  });
});
