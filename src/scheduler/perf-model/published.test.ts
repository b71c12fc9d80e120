import { describe, expect, it } from 'vitest';
import { cellPoints, type LatencyPoint } from './curve.js';
import { fittedLatencyMs, ordinaryLeastSquares, robustFit, type LatencyCoefficients } from './fit.js';
import { publishedProfile, PUBLISHED_PROFILE_NAMES, type PublishedProfileName } from './published.js';

/** As the authors fit: latencies truncated to whole milliseconds. */
function truncatedPoints(name: PublishedProfileName, quantile: 'p95Ms' | 'p99Ms'): LatencyPoint[] {
  return cellPoints(publishedProfile(name), quantile).map((point) => ({
    ...point,
    latencyMs: Math.trunc(point.latencyMs),
  }));
}

/** Mean and largest |predicted/actual − 1|, percent. */
function percentErrors(fit: LatencyCoefficients, points: readonly LatencyPoint[]): { mean: number; max: number } {
  const errors = points.map(
    ({ batchSize, cpuMillicores, latencyMs }) =>
      100 * Math.abs(fittedLatencyMs(fit, batchSize, cpuMillicores) / latencyMs - 1),
  );
  return { mean: errors.reduce((sum, error) => sum + error, 0) / errors.length, max: Math.max(...errors) };
}

function expectCoefficients(fit: LatencyCoefficients | null, expected: readonly number[], digits: number): void {
  const [gamma, delta, epsilon, eta] = expected;
  expect(fit?.gamma).toBeCloseTo(gamma!, digits);
  expect(fit?.delta).toBeCloseTo(delta!, digits);
  expect(fit?.epsilon).toBeCloseTo(epsilon!, digits);
  expect(fit?.eta).toBeCloseTo(eta!, digits);
}

// γ, δ, ε, η as `scipy.optimize.curve_fit` gives them for the authors' data; digits as far as they were kept.
const ANCHORS = [
  {
    name: 'yolov5s',
    quantile: 'p99Ms',
    expected: [140.435157, 25.238768, -50.841515, 22.13587],
    digits: 5,
    mean: 5.6,
    max: 21,
  },
  { name: 'yolov5s', quantile: 'p95Ms', expected: [126.112, 24.225, -19.835, 13.634], digits: 2, mean: 6.5, max: 19 },
  {
    name: 'yolov5n',
    quantile: 'p99Ms',
    expected: [75.086079, 14.501456, -62.234767, 7.732639],
    digits: 5,
    mean: 14.8,
    max: 56,
  },
  { name: 'resnet18', quantile: 'p95Ms', expected: [18.14, 4.757, 45.943, 0.196], digits: 2, mean: 13.2, max: 53 },
  { name: 'resnet18', quantile: 'p99Ms', expected: [32.355, 4.261, 23.183, 3.587], digits: 2, mean: 9.4, max: 32 },
  {
    name: 'yolov5n-series-307',
    quantile: 'p95Ms',
    expected: [314.181, -28.87, 261.27, -13.55],
    digits: 2,
    mean: 47.5,
    max: 149,
  },
] as const;

describe('the published tables', () => {
  for (const { name, quantile, expected, digits, mean, max } of ANCHORS) {
    it(`give the authors’ coefficients by ordinary least squares: ${name} ${quantile}`, () => {
      const points = truncatedPoints(name, quantile);
      const fit = ordinaryLeastSquares(points)!;
      expectCoefficients(fit, expected, digits);
      const errors = percentErrors(fit, points);
      expect(Math.abs(errors.mean - mean)).toBeLessThan(0.06);
      expect(Math.abs(errors.max - max)).toBeLessThan(0.6);
    });
  }

  it('give the authors’ worked ResNet18 example, whose own list has 169.030 at b = 16 on 4 cores', () => {
    const points = truncatedPoints('resnet18', 'p95Ms').map((point) =>
      point.batchSize === 16 && point.cpuMillicores === 4000 ? { ...point, latencyMs: 169 } : point,
    );
    const fit = ordinaryLeastSquares(points)!;
    expectCoefficients(fit, [18.290086, 4.488037, 45.468846, 1.045813], 5);
    // Their answer to 100 requests/s: c = 5, b = 10 at 18.290·10/5 + 45.469/5 + 4.488·10 + 1.046 = 91.6 ms, truncated.
    expect(Math.trunc(fittedLatencyMs(fit, 10, 5000))).toBe(91);
    // Throughput alone needs c = 4, b = 14: 14 in 18.290·14/4 + 45.469/4 + 4.488·14 + 1.046 = 139.3 ms are 100.5/s.
    expect(14_000 / fittedLatencyMs(fit, 14, 4000)).toBeCloseTo(100.5, 1);
  });

  it('are fitted better, relatively, by the robust non-negative fit', () => {
    for (const name of PUBLISHED_PROFILE_NAMES) {
      const points = truncatedPoints(name, 'p99Ms');
      const ours = percentErrors(robustFit(points), points);
      const theirs = percentErrors(ordinaryLeastSquares(points)!, points);
      expect(ours.mean).toBeLessThan(theirs.mean);
    }
  });

  it('are complete: every batch size at every allocation, quantiles in order', () => {
    const sizes = { yolov5s: 4 * 5, yolov5n: 5 * 5, 'yolov5n-series-307': 5 * 5, resnet18: 5 * 6 };
    for (const name of PUBLISHED_PROFILE_NAMES) {
      const { cells } = publishedProfile(name);
      expect(cells).toHaveLength(sizes[name]);
      for (const cell of cells) {
        expect(cell.p50Ms).toBeLessThanOrEqual(cell.p95Ms);
        expect(cell.p95Ms).toBeLessThanOrEqual(cell.p99Ms);
      }
    }
  });

  it('do not determine four coefficients from one batch size', () => {
    expect(
      ordinaryLeastSquares(truncatedPoints('yolov5s', 'p99Ms').filter((point) => point.batchSize === 1)),
    ).toBeNull();
  });
});
