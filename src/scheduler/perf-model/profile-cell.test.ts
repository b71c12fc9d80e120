import { describe, expect, it } from 'vitest';
import { profileCell } from './profile-cell.js';

describe('a profile cell', () => {
  const cell = { batchSize: 2, cpuMillicores: 1500, threadCount: 2 };

  it('interpolates quantiles between ranks and keeps samples as they came', () => {
    const samplesMs = [50, 10, 40, 20, 30];
    // Positions 0.5·4 = 2, 0.95·4 = 3.8, 0.99·4 = 3.96 in 10 20 30 40 50.
    const { p50Ms, p95Ms, p99Ms, ...rest } = profileCell(cell, samplesMs);
    expect(rest).toEqual({ ...cell, samplesMs });
    expect(p50Ms).toBe(30);
    expect(p95Ms).toBeCloseTo(48, 9);
    expect(p99Ms).toBeCloseTo(49.6, 9);
  });

  it('of one run has that run for every quantile', () => {
    expect(profileCell(cell, [7])).toMatchObject({ p50Ms: 7, p95Ms: 7, p99Ms: 7 });
  });
});
