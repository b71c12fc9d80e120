import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../random/prng.js';
import type { LatencyPoint } from './curve.js';
import { FittedCurve, fittedLatencyMs, robustFit, type LatencyCoefficients } from './fit.js';

const BATCH_SIZES = [1, 2, 4, 8, 16];
const MILLICORES = [250, 500, 1000, 2000, 3000, 4000, 8000, 16000];

const coefficientsArbitrary = fc.record({
  gamma: fc.double({ min: 1, max: 200, noNaN: true }),
  epsilon: fc.double({ min: 0, max: 100, noNaN: true }),
  delta: fc.double({ min: 0, max: 50, noNaN: true }),
  eta: fc.double({ min: 0, max: 30, noNaN: true }),
});

function gridPoints(truth: LatencyCoefficients, noiseOf: () => number = () => 1): LatencyPoint[] {
  return BATCH_SIZES.flatMap((batchSize) =>
    MILLICORES.map((cpuMillicores) => ({
      batchSize,
      cpuMillicores,
      latencyMs: fittedLatencyMs(truth, batchSize, cpuMillicores) * noiseOf(),
    })),
  );
}

/** Multiplies 8 of the 40 points (20 %) by factors from 1/50 to 1/1.5 or from 1.5 to 50. */
function corrupt(points: readonly LatencyPoint[], prng: Prng): LatencyPoint[] {
  const corrupted = [...points];
  const untouched = [...points.keys()];
  for (let i = 0; i < points.length / 5; i++) {
    const [index] = untouched.splice(prng.int(untouched.length), 1);
    const factor = 1.5 * (50 / 1.5) ** prng.uniform();
    const point = points[index!]!;
    corrupted[index!] = { ...point, latencyMs: point.latencyMs * (prng.int(2) === 0 ? factor : 1 / factor) };
  }
  return corrupted;
}

/** Largest relative error of a fit's predictions over the grid. */
function worstError(fit: LatencyCoefficients, truth: LatencyCoefficients): number {
  const errors = gridPoints(truth).map(({ batchSize, cpuMillicores, latencyMs }) =>
    Math.abs(fittedLatencyMs(fit, batchSize, cpuMillicores) / latencyMs - 1),
  );
  return Math.max(...errors);
}

describe('the robust fit', () => {
  it('recovers known coefficients when 20 % of the points are corrupted', () => {
    fc.assert(
      fc.property(coefficientsArbitrary, fc.nat(), (truth, seed) => {
        const fit = robustFit(corrupt(gridPoints(truth), new Prng(seed)));
        expect(worstError(fit, truth)).toBeLessThan(0.001);
        for (const term of ['gamma', 'epsilon', 'delta', 'eta'] as const) {
          // 0.5 % of the coefficient, and 0.01 for those next to nothing.
          expect(Math.abs(fit[term] - truth[term])).toBeLessThan(0.005 * truth[term] + 0.01);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('predicts typically within 3 % and always within 20 % when the sound points carry ±5 % noise as well', () => {
    const worstErrors: number[] = [];
    fc.assert(
      fc.property(coefficientsArbitrary, fc.nat(), (truth, seed) => {
        const prng = new Prng(seed);
        const points = corrupt(
          gridPoints(truth, () => 0.95 + 0.1 * prng.uniform()),
          prng,
        );
        worstErrors.push(worstError(robustFit(points), truth));
      }),
      { numRuns: 300 },
    );
    worstErrors.sort((a, b) => a - b);
    expect(worstErrors[150]).toBeLessThan(0.03);
    expect(worstErrors.at(-1)).toBeLessThan(0.2);
  });

  it('is not moved when every corrupted point is wrong in the same way', () => {
    const truth = { gamma: 22, epsilon: 3, delta: 0.6, eta: 1.5 };
    // All five batch sizes at 250 millicores, and three at 500, were measured while something else ran: three times slower.
    const points = gridPoints(truth).map((point, i) => {
      const isHit = point.cpuMillicores === 250 || (point.cpuMillicores === 500 && i < 20);
      return isHit ? { ...point, latencyMs: 3 * point.latencyMs } : point;
    });
    expect(points.filter((point, i) => point.latencyMs !== gridPoints(truth)[i]!.latencyMs)).toHaveLength(8);
    expect(worstError(robustFit(points), truth)).toBeLessThan(0.001);
  });

  it('never has a negative coefficient, whatever the points', () => {
    const pointArbitrary = fc.record({
      batchSize: fc.integer({ min: 1, max: 32 }),
      cpuMillicores: fc.integer({ min: 100, max: 16_000 }),
      latencyMs: fc.double({ min: 0.1, max: 5000, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(pointArbitrary, { minLength: 1, maxLength: 30 }), (points) => {
        const { gamma, epsilon, delta, eta } = robustFit(points);
        for (const coefficient of [gamma, epsilon, delta, eta]) expect(coefficient).toBeGreaterThanOrEqual(0);
        expect(gamma + epsilon + delta + eta).toBeGreaterThan(0);
      }),
    );
  });

  it('fits what one batch size can tell: latencies over CPU at b = 1', () => {
    // 12/c + 3 at b = 1: which of the terms in b carry it cannot be known.
    const points = MILLICORES.map((cpuMillicores) => ({
      batchSize: 1,
      cpuMillicores,
      latencyMs: 12_000 / cpuMillicores + 3,
    }));
    const fit = robustFit(points);
    for (const { cpuMillicores, latencyMs } of points) {
      expect(fittedLatencyMs(fit, 1, cpuMillicores)).toBeCloseTo(latencyMs, 6);
    }
  });

  it('refits from a known fit to within half a percent of a full search', () => {
    const prng = new Prng(4);
    const truth = { gamma: 40, epsilon: 10, delta: 2, eta: 5 };
    const points = gridPoints(truth, () => 0.95 + 0.1 * prng.uniform());
    const searched = robustFit(points);
    const refitted = robustFit(points, { ...searched, gamma: 1.05 * searched.gamma });
    expect(worstError(refitted, searched)).toBeLessThan(0.005);
  });
});

describe('the fitted curve', () => {
  it('is the paper’s formula, with c in cores', () => {
    const coefficients = { gamma: 40, epsilon: 10, delta: 2, eta: 5 };
    // 40·4/2 + 10/2 + 2·4 + 5 = 80 + 5 + 8 + 5
    expect(fittedLatencyMs(coefficients, 4, 2000)).toBe(98);
    expect(new FittedCurve(coefficients).latencyMs(4, 2000)).toBe(98);
  });
});
