import { describe, expect, it } from 'vitest';
import { AllocationLedger } from './allocation-ledger.js';

const ONE = { existing: 1, ready: 1, startingMillicores: 1000 };

describe('the allocation ledger', () => {
  it('charges growth from its request, and shows what was granted beside it', () => {
    const ledger = new AllocationLedger(0, 1000, ONE);
    ledger.observe({ kind: 'resize-requested', atMs: 500, resizeId: 1, fromMillicores: 1000, toMillicores: 3000 });
    ledger.observe({ kind: 'resized', atMs: 1500, resizeId: 1, cpuMillicores: 3000, isWritten: true, tookMs: 1000 });
    const report = ledger.report(2000, 0);
    // 0.5 s × 1 + 1.5 s × 3 = 5 charged; 1.5 s × 1 + 0.5 s × 3 = 3 granted
    expect(report.coreSeconds).toBeCloseTo(5, 12);
    expect(report.grantedCoreSeconds).toBeCloseTo(3, 12);
    expect(report.heldMs).toEqual([[1000, 500], [3000, 1500]]); // prettier-ignore
    // first second: 0.5 × 1 + 0.5 × 3 = 2 cores; second one: 3 cores
    expect(report.coresBySecond).toEqual([2, 3]);
    expect(report.resizes).toBe(1);
  });

  it('gives the mean cores of a last second that is cut short', () => {
    const report = new AllocationLedger(0, 2000, ONE).report(1500, 0);
    expect(report.coresBySecond).toEqual([2, 2]);
  });

  it('charges instances that are starting, and grants those that are ready', () => {
    const ledger = new AllocationLedger(0, 1000, ONE);
    ledger.observe({ kind: 'instances-requested', atMs: 0, fromInstances: 1, toInstances: 4 });
    ledger.observe({ kind: 'instances-changed', atMs: 3000, instances: 4 });
    const report = ledger.report(4000, 0);
    // 4 cores for 4 s; 1 core for 3 s and 4 for 1 s
    expect(report.coreSeconds).toBeCloseTo(16, 12);
    expect(report.grantedCoreSeconds).toBeCloseTo(7, 12);
  });

  it('does not believe a worker that used more than it was charged', () => {
    expect(() => new AllocationLedger(0, 1000, ONE).report(1000, 1.1)).toThrow('used 1.1 core-seconds of 1');
  });

  it('takes what was set before the run began as where the run begins', () => {
    const ledger = new AllocationLedger(0, 16_000, ONE);
    ledger.observe({ kind: 'resize-requested', atMs: -400, resizeId: 1, fromMillicores: 16_000, toMillicores: 2000 });
    ledger.observe({ kind: 'resized', atMs: -399, resizeId: 1, cpuMillicores: 2000, isWritten: true, tookMs: 1 });
    expect(ledger.report(1000, 0).coreSeconds).toBeCloseTo(2, 12);
  });
});
