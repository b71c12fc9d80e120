import { expect, it } from 'vitest';
import { latencyOf } from './latency-grid.js';

/** γ b/c + ε/c + δ b + η, of which any grid of two points is enough. */
const formula = (b: number, millicores: number): number => ((20 * b + 8) * 1000) / millicores + 2 * b + 5;
const batchSizes = [1, 4, 16];
const millicores = [200, 1000, 4000];
const grid = { batchSizes, millicores, plannedMs: batchSizes.map((b) => millicores.map((c) => formula(b, c))) };

it('is the formula between its points, and its ends beyond them', () => {
  const model = latencyOf(grid);
  const plannedLatencyMs = (size: number, each: number): number => model.plannedLatencyMs(size, each);
  for (const b of [1, 2, 4, 7, 16]) {
    for (const c of [200, 350, 1000, 2500, 4000]) expect(plannedLatencyMs(b, c)).toBeCloseTo(formula(b, c), 9);
  }
  expect(plannedLatencyMs(64, 100)).toBe(formula(16, 200));
  expect(plannedLatencyMs(1, 9000)).toBe(formula(1, 4000));
});
