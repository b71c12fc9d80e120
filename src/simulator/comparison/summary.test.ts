import { describe, expect, it } from 'vitest';
import type { SeedResult } from './run-seed.js';
import { summarise, summarisePolicy, wilson95 } from './summary.js';

function result(seed: number, fields: Partial<SeedResult> = {}): SeedResult {
  return {
    policy: 'sponge',
    seed,
    sent: 100,
    onTime: 90,
    late: 4,
    rejectedInfeasible: 1,
    rejectedOverload: 2,
    expired: 1,
    cancelled: 2,
    failed: 0,
    infeasibleOnArrival: 3,
    infeasibleOnTime: 1,
    violationRate: 0,
    violationRateFeasible: 0,
    durationSec: 10,
    coreSeconds: 20,
    grantedCoreSeconds: 19,
    cpuSecondsUsed: 12,
    boundCoreSeconds: 8,
    instances: 1,
    instanceReference: null,
    restingFloorCoreSeconds: 0,
    resizes: 5,
    batches: 20,
    batchedRequests: 50,
    eventHash: 'a',
    wallMs: 1,
    heldMs: [[1000, 9900], [16_000, 100]], // prettier-ignore
    coresBySecond: [],
    sentBySecond: [],
    violatedBySecond: [],
    latenciesMs: Float64Array.of(100, 200),
    ...fields,
  };
}

describe('the summary of a policy', () => {
  it('adds counts and core-seconds up and pools the rest', () => {
    const summary = summarisePolicy([
      result(1),
      result(2, { coreSeconds: 40, batches: 5, heldMs: [[4000, 10_000]], latenciesMs: Float64Array.of(300) }),
    ]);
    expect(summary).toMatchObject({ sent: 200, onTime: 180, coreSeconds: 60, boundCoreSeconds: 16, resizes: 10 });
    // 1 − 180 / (200 − 4); of the feasible: 1 − (180 − 2) / (200 − 4 − 6)
    expect(summary.violationRate).toBeCloseTo(1 - 180 / 196, 12);
    expect(summary.violationRateFeasible).toBeCloseTo(1 - 178 / 190, 12);
    expect(summary.meanCores).toBe(3);
    expect(summary.meanBatch).toBe(4);
    expect(summary.latencyMs).toEqual({ p50: 200, p95: 290, p99: 298 });
    // 20 s in all: 4 cores cover 19.9 of them
    expect(summary.p99Cores).toBe(4);
    expect(summary.peakCores).toBe(16);
    expect(summary.perSeed.map(({ meanCores }) => meanCores)).toEqual([2, 4]);
  });

  it('has no bound where a seed has none, and no latencies where nothing was answered', () => {
    const summary = summarisePolicy([result(1, { boundCoreSeconds: null, latenciesMs: new Float64Array() })]);
    expect(summary.boundCoreSeconds).toBeNull();
    expect(summary.latencyMs).toEqual({ p50: null, p95: null, p99: null });
  });
});

describe('the summary of a simulation', () => {
  const summaryOf = (results: readonly SeedResult[], reference: number | null): ReturnType<typeof summarise> =>
    summarise({
      scenario: 'x',
      seed: 1,
      seeds: results.length,
      results: [results],
      references: results.map(({ seed }) => ({
        seed,
        coreSeconds: reference,
        reason: reference === null ? 'why' : null,
        servableCoreSeconds: reference ?? 1,
        unavoidable: 0,
      })),
      wallSeconds: 0.5,
    });

  it('says what was simulated in a second, and why there is no reference', () => {
    const summary = summaryOf([result(1), result(2)], 7);
    expect(summary.referenceCoreSeconds).toBe(14);
    expect(summary.simulatedRequestsPerSec).toBe(400);
    expect(summaryOf([result(1)], null)).toMatchObject({ referenceCoreSeconds: null, referenceReason: 'seed 1: why' });
  });

  it('has a hash of all runs', () => {
    expect(summaryOf([result(1)], 7).eventHash).toBe(summaryOf([result(1)], 8).eventHash);
    expect(summaryOf([result(1)], 7).eventHash).not.toBe(summaryOf([result(1, { eventHash: 'b' })], 7).eventHash);
  });
});

describe('the interval of a share', () => {
  it('is Wilson’s', () => {
    // 0 of 100: upper end z² / (n + z²) = 3.8415 / 103.8415
    expect(wilson95(0, 100)).toEqual([0, expect.closeTo(3.8415 / 103.8415, 4)]);
    // 10 of 100: [0.0552, 0.1744]
    expect(wilson95(10, 100)).toEqual([expect.closeTo(0.0552, 4), expect.closeTo(0.1744, 4)]);
    expect(wilson95(0, 0)).toEqual([0, 1]);
  });
});
