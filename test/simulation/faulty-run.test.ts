import { describe, expect, it } from 'vitest';
import { faultyRun, type RunReport } from './faulty-run.js';

const SEEDS = Array.from({ length: 12 }, (_, index) => 8700 + index);

function expectSound(report: RunReport, seed: number): void {
  expect(report.violations, `repeat with: npm run simulate -- --seed ${seed}`).toEqual([]);
}

describe('the real planes on a virtual clock', () => {
  it.each(SEEDS)(
    'give every request exactly one outcome under crashes, poison, stalls, refusals and cancellations (seed %i)',
    (seed) => {
      for (const planner of ['sponge', 'paper'] as const) {
        expectSound(faultyRun({ seed, planner, durationMs: 12_000, ratePerSec: 60, faults: true }), seed);
      }
    },
  );

  it('meet nearly every deadline at a load that they can carry, and resize on the way', () => {
    const report = faultyRun({ seed: 1, planner: 'sponge', durationMs: 60_000, ratePerSec: 40, faults: false });
    expectSound(report, 1);
    const { outcomes } = report;
    const judged = report.sent - outcomes.rejected_infeasible - outcomes.cancelled;
    expect(outcomes.completed_on_time / judged).toBeGreaterThan(0.97);
    expect(report.largestBatch).toBeGreaterThanOrEqual(2);
    expect(Math.min(...report.allocations)).toBeLessThan(1000);
    expect(Math.max(...report.allocations)).toBeGreaterThan(2000);
  });

  it('shed at an overload instead of letting everything be late', () => {
    const report = faultyRun({ seed: 2, planner: 'sponge', durationMs: 30_000, ratePerSec: 400, faults: false });
    expectSound(report, 2);
    expect(report.outcomes.rejected_overload).toBeGreaterThan(1000);
    // 4 cores carry about 8 / l(8, 4 cores) = 8 / 30.75 ms = 260 small requests a second, fewer with the large ones.
    expect(report.outcomes.completed_on_time).toBeGreaterThan(30 * 100);
    expect(report.lateAgainstStated).toBeLessThan(0.02 * report.outcomes.completed_on_time);
  });

  it('repeat bit for bit from their seed', () => {
    const run = (): string =>
      faultyRun({ seed: 42, planner: 'sponge', durationMs: 5000, ratePerSec: 80, faults: true }).log;
    const first = run();
    expect(first.length).toBeGreaterThan(10_000);
    expect(run()).toBe(first);
  });
});
