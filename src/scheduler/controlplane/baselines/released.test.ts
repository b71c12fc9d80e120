import { describe, expect, it } from 'vitest';
import { ordinaryLeastSquares, type LatencyCoefficients } from '../../perf-model/fit.js';
import { publishedProfile } from '../../perf-model/published.js';
import {
  RELEASED_FITS,
  RELEASED_SLO_FRACTION,
  releasedLatencyMs,
  releasedPlan,
  WORKED_EXAMPLE_SLO_FRACTION,
  type ReleasedPlan,
} from './released.js';

const START: ReleasedPlan = { cores: 16, batchSize: 1 };

interface Load {
  readonly coefficients: LatencyCoefficients;
  readonly arrivalRatePerSec: number;
  readonly maxBatchSize: number;
  readonly sloFraction: number;
}

function planAt(load: Load, networkDelayMs: number): readonly [cores: number, batchSize: number] | 'infeasible' {
  const { isFeasible, plan } = releasedPlan({ ...load, networkDelayMs, sloMs: 1000, maxCores: 16, current: START });
  return isFeasible ? [plan.cores, plan.batchSize] : 'infeasible';
}

describe('released rule', () => {
  it('gives the worked example: ResNet18 at 100/s, SLO 1000, the whole SLO usable', () => {
    const load = {
      coefficients: RELEASED_FITS.resnet18,
      arrivalRatePerSec: 100,
      maxBatchSize: 16,
      sloFraction: WORKED_EXAMPLE_SLO_FRACTION,
    };
    // l(10, 5) = trunc(36.6 + 44.9 + 9.1 + 1.0) = 91; 10 batches · 91 + 50 = 960 ≤ 1000.
    expect(releasedLatencyMs(RELEASED_FITS.resnet18, 10, 5)).toBe(91);
    expect([50, 100, 200, 300, 400, 405].map((delayMs) => planAt(load, delayMs))).toEqual([
      [5, 10],
      [6, 8],
      [7, 10],
      [10, 10],
      [16, 10],
      'infeasible',
    ]);
  });

  it('gives the evaluation: YOLOv5s at 20/s, nine tenths of the SLO usable', () => {
    const load = {
      coefficients: RELEASED_FITS.yolov5s,
      arrivalRatePerSec: 20,
      maxBatchSize: 8,
      sloFraction: RELEASED_SLO_FRACTION,
    };
    // l(5, 16) = trunc(43.9 + 126.2 − 3.2 + 22.1) = 189; 4 batches · 189 + 144 = 900 = 0.9 · 1000, and 145 is too much.
    expect([0, 40, 60, 80, 100, 120, 144, 145].map((delayMs) => planAt(load, delayMs))).toEqual([
      [9, 4],
      [10, 5],
      [11, 5],
      [12, 5],
      [13, 5],
      [14, 5],
      [16, 5],
      'infeasible',
    ]);
  });

  it('gives the evaluation at half the rate', () => {
    const load = {
      coefficients: RELEASED_FITS.yolov5s,
      arrivalRatePerSec: 10,
      maxBatchSize: 8,
      sloFraction: RELEASED_SLO_FRACTION,
    };
    expect([0, 200, 300, 400, 500].map((delayMs) => planAt(load, delayMs))).toEqual([
      [3, 1],
      [4, 1],
      [5, 2],
      [7, 5],
      [13, 5],
    ]);
  });

  it('keeps the plan in force where nothing fits, as before any traffic, when the delay reads as the whole SLO', () => {
    const current = { cores: 11, batchSize: 5 };
    const answer = releasedPlan({
      coefficients: RELEASED_FITS.yolov5s,
      arrivalRatePerSec: 20,
      sloMs: 1000,
      networkDelayMs: 1000,
      sloFraction: RELEASED_SLO_FRACTION,
      maxCores: 16,
      maxBatchSize: 8,
      current,
    });
    expect(answer).toEqual({ isFeasible: false, plan: current });
  });

  it('has the coefficients that the published tables give by plain least squares', () => {
    for (const name of ['yolov5s', 'yolov5n'] as const) {
      const points = publishedProfile(name).cells.map((cell) => ({ ...cell, latencyMs: Math.trunc(cell.p99Ms) }));
      const fit = ordinaryLeastSquares(points)!;
      for (const term of ['gamma', 'delta', 'epsilon', 'eta'] as const) {
        expect(fit[term], `${name} ${term}`).toBeCloseTo(RELEASED_FITS[name][term], 5);
      }
    }
  });
});
