import { describe, expect, it } from 'vitest';
import { cleanUtilisation, losingUtilisation, staticLoads } from './static-load.js';

describe('static 8, one request at a time', () => {
  it('is below or above a utilisation of 1 depending on which published latency one believes', () => {
    const { mean, p95, p99, fit, table } = staticLoads(8);
    expect(mean.utilisation).toBeCloseTo((20 * 47.719) / 1000, 9);
    expect(p95.utilisation).toBeCloseTo((20 * 54.4) / 1000, 9);
    expect(p99.utilisation).toBeCloseTo((20 * 57.431) / 1000, 9);
    // 0.88 · (140.435/8 + 25.239 − 50.842/8 + 22.136) = 51.5 ms, and exp(0.07²/2) of that on average.
    expect(fit.latencyMs).toBeCloseTo(0.88 * (17.554 + 25.239 - 6.355 + 22.136) * 1.00245, 1);
    expect(fit.utilisation).toBeGreaterThan(1);
    expect(table.utilisation).toBeLessThan(1);
  });

  it('has no constant speed that is clean for 62 s and lost 38 s later', () => {
    // H_20/20 = 0.17989: (1 + 0.17989 + 62) / 63.
    expect(cleanUtilisation(62)).toBeCloseTo(1.00286, 5);
    expect(losingUtilisation(38, 3)).toBeCloseTo(1 + 3 / 38, 9);
    expect(losingUtilisation(38, 3)).toBeGreaterThan(cleanUtilisation(62));
  });
});
