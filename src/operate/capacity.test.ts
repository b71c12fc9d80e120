import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { whatIf } from '../scheduler/controlplane/what-if.js';
import { exactLatency, type LatencyModel } from '../scheduler/domain/latency.js';
import { capacityPerSec, capacityTable, leastMillicoresFor, meetableBudgets } from './capacity.js';

const LIMITS = { minMillicores: 500, maxMillicores: 4000, stepMillicores: 500 };

/** γ b/c + ε/c + δ b + η, whole milliseconds on whole cores. */
function formula(gamma: number, epsilon: number, delta: number, eta: number): LatencyModel {
  return exactLatency((b, millicores) => ((gamma * b + epsilon) * 1000) / millicores + delta * b + eta);
}

const MODEL = formula(20, 10, 2, 3);
const ONE = { latency: MODEL, maxBatchSize: 8, instances: 1 };

describe('what a pod can do', () => {
  it('of one budget is what the planning question without a queue answers, at that rate and at every lower one', () => {
    fc.assert(
      fc.property(
        fc.record({
          gamma: fc.integer({ min: 1, max: 60 }),
          epsilon: fc.integer({ min: 0, max: 60 }),
          delta: fc.integer({ min: 0, max: 10 }),
          eta: fc.integer({ min: 1, max: 20 }),
          sloMs: fc.integer({ min: 20, max: 1500 }),
          maxBatchSize: fc.integer({ min: 1, max: 8 }),
          millicores: fc.constantFrom(500, 1000, 2500, 4000),
        }),
        ({ gamma, epsilon, delta, eta, sloMs: wholeMs, maxBatchSize, millicores }) => {
          // No sum of latencies is exactly this, so nothing hangs on the last bit.
          const sloMs = wholeMs + 0.37;
          const latency = formula(gamma, epsilon, delta, eta);
          const mix = { latency, maxBatchSize, instances: 1, budgetsMs: [sloMs] };
          const mostPerSec = capacityPerSec(mix, millicores, LIMITS.minMillicores);
          const isMet = (arrivalRatePerSec: number): boolean => {
            const limits = { minMillicores: millicores, maxMillicores: millicores, stepMillicores: 1 };
            return whatIf({ model: latency, arrivalRatePerSec, sloMs, networkDelayMs: 0, limits, maxBatchSize })
              .feasible;
          };
          for (let part = 1; part <= 20; part++) {
            if (mostPerSec > 0) expect(isMet((mostPerSec * part) / 20 - 1e-9)).toBe(true);
          }
          // Just above it is not met: it is the first such rate.
          expect(isMet(mostPerSec * (1 + 1e-9) + 1e-9)).toBe(false);
        },
      ),
    );
  });

  it('is worked out by hand', () => {
    // On 1 core: l(1) = 35, l(2) = 57, l(3) = 79 ms. Within 200 ms: 2 l(2) + 1/λ ≤ 200 needs λ ≥ 11.7/s, and l(1) sustains 28.6/s: so on to
    // 2/57 ms = 35.1/s. Then 2 l(3) + 2/λ ≤ 200 needs 47.6/s, which is not reached.
    expect(capacityPerSec({ ...ONE, budgetsMs: [200] }, 1000, 500)).toBeCloseTo(2000 / 57, 9);
    expect(capacityPerSec({ ...ONE, budgetsMs: [69] }, 1000, 500)).toBe(0);
  });

  it('lets loose budgets fill batches that tight ones could not wait for', () => {
    const tight = capacityPerSec({ ...ONE, budgetsMs: [150] }, 2000, 500);
    const mixed = capacityPerSec({ ...ONE, budgetsMs: [150, 2000, 2000, 2000] }, 2000, 500);
    const loose = capacityPerSec({ ...ONE, budgetsMs: [2000] }, 2000, 500);
    expect(mixed).toBeGreaterThan(tight);
    expect(loose).toBeGreaterThanOrEqual(mixed);
  });

  it('of instances side by side is the best number of them', () => {
    const one = capacityPerSec({ ...ONE, budgetsMs: [400] }, 2000, 500);
    const upToFour = capacityPerSec({ ...ONE, instances: 4, budgetsMs: [400] }, 2000, 500);
    expect(upToFour).toBeGreaterThan(one);
    // Four on less than the least allocation each are none.
    expect(capacityPerSec({ ...ONE, instances: 4, budgetsMs: [400] }, 600, 500)).toBe(
      capacityPerSec({ ...ONE, budgetsMs: [400] }, 600, 500),
    );
  });

  it('never falls with cores, and the least allocation for a rate is in the table', () => {
    const table = capacityTable({ ...ONE, budgetsMs: [300, 900] }, LIMITS);
    expect(table.ratesPerSec).toEqual([...table.ratesPerSec].sort((a, b) => a - b));
    expect(leastMillicoresFor(table, 0)).toBe(0);
    table.millicores.forEach((millicores, step) => {
      const rate = table.ratesPerSec[step]!;
      if (rate > (table.ratesPerSec[step - 1] ?? 0)) expect(leastMillicoresFor(table, rate)).toBe(millicores);
    });
    expect(leastMillicoresFor(table, table.ratesPerSec.at(-1)! + 1)).toBe(Infinity);
  });
});

describe('budgets that count', () => {
  const of = (budgetsMs: readonly number[], attainment = 0.99): readonly number[] =>
    meetableBudgets(budgetsMs, { latency: MODEL, limits: LIMITS, attainment });

  it('are not those that no allocation meets: they are load only', () => {
    // On 4 cores one takes 7.5 + 5 = 12.5 ms, and as long for whoever runs before it.
    expect(of([20, 25, 400])).toEqual([25, 400, Infinity]);
    expect(of([1, 1])).toEqual([Infinity, Infinity]);
  });

  it('are not the tightest that the attainment does without', () => {
    expect(of([100, 500, 500, 500], 0.75)).toEqual([500, 500, 500, Infinity]);
  });

  it('are few groups, each by its tightest', () => {
    const many = Array.from({ length: 240 }, (_, index) => 100 + index);
    const groups = of(many, 1);
    expect(groups).toHaveLength(12);
    expect(groups[0]).toBe(100);
    expect(groups[1]).toBe(120);
  });
});
