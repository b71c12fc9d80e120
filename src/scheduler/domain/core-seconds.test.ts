import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CoreSeconds, WINDOW_MS } from './core-seconds.js';
import type { Event } from './event.js';

/** @param instance where each has an allocation of its own */
function requested(atMs: number, toMillicores: number, resizeId = 1, instance?: number): Event {
  const owner = instance === undefined ? {} : { instance };
  return { kind: 'resize-requested', atMs, resizeId, ...owner, fromMillicores: 0, toMillicores };
}

function resized(atMs: number, cpuMillicores: number, resizeId = 1, instance?: number): Event {
  const owner = instance === undefined ? {} : { instance };
  return { kind: 'resized', atMs, resizeId, ...owner, cpuMillicores, isWritten: true, tookMs: 1 };
}

describe('CoreSeconds', () => {
  it('charges the idle floor: 100 millicores for 10 s are 1 core-second', () => {
    const ledger = new CoreSeconds(5000, 100);
    expect(ledger.totalSeconds(15_000)).toBeCloseTo(1, 12);
  });

  it('charges growth from the request for it', () => {
    const ledger = new CoreSeconds(0, 1000);
    ledger.observe(requested(1000, 3000));
    ledger.observe(resized(1500, 3000));
    // 1 s × 1 core + (2 − 1) s × 3 cores = 4
    expect(ledger.totalSeconds(2000)).toBeCloseTo(4, 12);
  });

  it('charges a shrink only from its read-back', () => {
    const ledger = new CoreSeconds(0, 3000);
    ledger.observe(requested(1000, 1000));
    expect(ledger.chargedMillicores).toBe(3000);
    ledger.observe(resized(1500, 1000));
    // 1.5 s × 3 cores + 0.5 s × 1 core = 5
    expect(ledger.totalSeconds(2000)).toBeCloseTo(5, 12);
  });

  it('charges an instance from the request for it, its cold start included, until it is gone', () => {
    const ledger = new CoreSeconds(0, 1000, { existing: 1, ready: 1, startingMillicores: 500 });
    ledger.observe({ kind: 'instances-requested', atMs: 1000, fromInstances: 1, toInstances: 3 });
    ledger.observe({ kind: 'instances-changed', atMs: 4000, instances: 3 });
    ledger.observe({ kind: 'instances-requested', atMs: 5000, fromInstances: 3, toInstances: 2 });
    ledger.observe({ kind: 'instances-changed', atMs: 5500, instances: 2 });
    // 1 s × 1 core + 3 s × (1 + 2 × 0.5) cores + 1.5 s × 3 cores + 0.5 s × 2 cores = 12.5
    expect(ledger.totalSeconds(6000)).toBeCloseTo(12.5, 12);
  });

  it('takes a refused growth back from the refusal on', () => {
    const ledger = new CoreSeconds(0, 1000);
    ledger.observe(requested(0, 2000));
    ledger.observe({ kind: 'resize-refused', atMs: 1000, resizeId: 1, message: 'no rights' });
    // 1 s × 2 cores + 1 s × 1 core = 3
    expect(ledger.totalSeconds(2000)).toBeCloseTo(3, 12);
  });

  it('charges a growth until its own answer, whatever is requested or answered meanwhile', () => {
    const ledger = new CoreSeconds(0, 1000);
    ledger.observe(requested(0, 4000, 1));
    ledger.observe(requested(1000, 500, 2));
    ledger.observe(resized(2000, 1000, 1)); // superseded: what is in force has not changed
    ledger.observe(resized(3000, 500, 2));
    // 2 s × 4 cores + 1 s × 1 core + 1 s × 0.5 cores = 9.5
    expect(ledger.totalSeconds(4000)).toBeCloseTo(9.5, 12);
  });

  it('charges a growth that is in force but not read back, when an older request is answered and a shrink is asked for', () => {
    const ledger = new CoreSeconds(0, 2000);
    ledger.observe(requested(0, 4000, 1));
    ledger.observe(requested(100, 8000, 2));
    ledger.observe(resized(500, 2000, 1));
    ledger.observe(requested(600, 1000, 3));
    expect(ledger.chargedMillicores).toBe(8000);
    ledger.observe(resized(900, 8000, 2));
    ledger.observe({ kind: 'resize-refused', atMs: 1000, resizeId: 3, message: 'no' });
    expect(ledger.chargedMillicores).toBe(8000);
  });

  it('counts used CPU in the windows where it exceeds what was granted, and only there', () => {
    const ledger = new CoreSeconds(0, 1000);
    ledger.closeWindow(0, 7); // The counter need not begin at zero.
    ledger.closeWindow(100, 7.15); // granted 0.1, used 0.15 → 0.15
    ledger.closeWindow(200, 7.17); // granted 0.1, used 0.02 → 0.10
    expect(ledger.totalSeconds(200)).toBeCloseTo(0.25, 12);
    expect(ledger.totalSeconds(250)).toBeCloseTo(0.25 + 0.05, 12);
  });

  it('goes on when the counter begins anew with a new group, and where there is none', () => {
    const ledger = new CoreSeconds(0, 1000);
    ledger.closeWindow(0, 50);
    ledger.closeWindow(100, 0.3); // began anew: 0.3 used since
    ledger.closeWindow(200, null); // granted 0.1
    ledger.closeWindow(300, 90); // no reading to compare with: granted 0.1
    expect(ledger.totalSeconds(300)).toBeCloseTo(0.3 + 0.1 + 0.1, 12);
  });

  it('adds nothing for an event stamped before the last reading', () => {
    const ledger = new CoreSeconds(0, 1000);
    ledger.closeWindow(1000, null);
    ledger.observe(requested(999.5, 2000));
    // 1 s × 1 core + 1 s × 2 cores
    expect(ledger.totalSeconds(2000)).toBeCloseTo(3, 12);
  });

  it('adds up what each instance holds, where each has an allocation of its own', () => {
    const ledger = new CoreSeconds(0, [3000, 100], { existing: 2, ready: 2, startingMillicores: 0 });
    expect(ledger.chargedMillicores).toBe(3100);
    ledger.observe(requested(1000, 2000, 1, 1));
    ledger.observe(requested(1000, 100, 2, 0));
    // The growth of one counts from its request, the shrink of the other from its read-back.
    expect(ledger.chargedMillicores).toBe(5000);
    ledger.observe(resized(1500, 100, 2, 0));
    ledger.observe(resized(2000, 2000, 1, 1));
    // 1 s × 3.1 cores + 0.5 s × 5 cores + 1 s × 2.1 cores = 7.7
    expect(ledger.totalSeconds(2500)).toBeCloseTo(7.7, 12);
  });

  it('takes the refused growth of one instance back, and not that of another', () => {
    const ledger = new CoreSeconds(0, [100, 100]);
    ledger.observe(requested(0, 2000, 1, 0));
    ledger.observe(requested(0, 3000, 2, 1));
    ledger.observe({ kind: 'resize-refused', atMs: 1000, resizeId: 1, instance: 0, message: 'no' });
    // 1 s × 5 cores + 1 s × 3.1 cores = 8.1
    expect(ledger.totalSeconds(2000)).toBeCloseTo(8.1, 12);
  });

  it('counts used CPU of all instances against what all were granted', () => {
    const ledger = new CoreSeconds(0, [1000, 1000]);
    ledger.closeWindow(0, 0);
    ledger.closeWindow(100, 0.25); // granted 0.2, used 0.25 → 0.25
    ledger.closeWindow(200, 0.3); // granted 0.2, used 0.05 → 0.20
    expect(ledger.totalSeconds(200)).toBeCloseTo(0.45, 12);
  });

  it('ignores events that are no resizes', () => {
    const ledger = new CoreSeconds(0, 1000);
    ledger.observe({ kind: 'worker-ready', atMs: 500 });
    expect(ledger.totalSeconds(1000)).toBeCloseTo(1, 12);
  });

  it('never decreases, and is at least the CPU used, whatever happens', () => {
    const step = fc.record({
      kind: fc.constantFrom('requested', 'resized', 'refused', 'none'),
      millicores: fc.integer({ min: 100, max: 4000 }),
      usedMs: fc.integer({ min: 0, max: 1000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const ledger = new CoreSeconds(0, 1000);
        ledger.closeWindow(0, 0);
        let usedSeconds = 0;
        let lastTotal = 0;
        steps.forEach(({ kind, millicores, usedMs }, index) => {
          const atMs = (index + 1) * WINDOW_MS;
          if (kind === 'requested') ledger.observe(requested(atMs - 50, millicores));
          if (kind === 'resized') ledger.observe(resized(atMs - 50, millicores));
          if (kind === 'refused') ledger.observe({ kind: 'resize-refused', atMs: atMs - 50, resizeId: 1, message: '' });
          usedSeconds += usedMs / 1000;
          const open = ledger.totalSeconds(atMs);
          ledger.closeWindow(atMs, usedSeconds);
          const closed = ledger.totalSeconds(atMs);
          expect(open).toBeGreaterThanOrEqual(lastTotal);
          expect(closed).toBeGreaterThanOrEqual(open - 1e-9);
          expect(closed).toBeGreaterThanOrEqual(usedSeconds - 1e-9);
          lastTotal = closed;
        });
      }),
    );
  });
});
