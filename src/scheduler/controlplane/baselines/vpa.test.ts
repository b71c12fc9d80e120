import { describe, expect, it } from 'vitest';
import { plannerView } from '../../../../test/fixtures/planner-views.js';
import { vpaPlanner } from './vpa.js';

const LIMITS = { minMillicores: 100, maxMillicores: 4000, stepMillicores: 10 };

/** Allocations at each tick of 15 s, the start first; use is what is demanded, as far as the allocation goes. */
class Loop {
  readonly #planner = vpaPlanner();
  #usedSeconds = 0;
  #nowMs = 0;
  cpuMillicores: number;

  constructor(startMillicores = 4000) {
    const current = { ...plannerView().current, cpuMillicores: startMillicores };
    this.cpuMillicores = this.#ask({ current });
  }

  /** Four readings: one recommendation. */
  minute(demandedCores: number): number {
    for (let reading = 0; reading < 4; reading++) {
      this.#nowMs += 15_000;
      this.#usedSeconds += 15 * Math.min(demandedCores, this.cpuMillicores / 1000);
      this.cpuMillicores = this.#ask();
    }
    return this.cpuMillicores;
  }

  restartWorker(): void {
    this.#usedSeconds = 0;
  }

  #ask(fields = {}): number {
    const usedSeconds = this.#usedSeconds;
    const readCounters = () => ({ usedSeconds, periods: 0, throttledPeriods: 0, throttledSeconds: 0 });
    const view = plannerView({ nowMs: this.#nowMs, limits: LIMITS, readCounters, ...fields });
    const { plan } = this.#planner.plan(view);
    expect(plan).toMatchObject({ kind: 'feasible', instances: 1, batchSize: 8 });
    return plan.cpuMillicores;
  }
}

describe('a recommender of the CPU that was used', () => {
  it('begins with what there is, and after a minute has the use and 15 %, rounded up', () => {
    const loop = new Loop();
    expect(loop.cpuMillicores).toBe(4000);
    // One core is in the bucket that ends at 1.01628; · 1.15 = 1.16872.
    expect(loop.minute(1)).toBe(1170);
    expect(loop.minute(1)).toBe(1170);
  });

  it('takes the 90th percentile by what was granted at the time', () => {
    const loop = new Loop();
    // Three minutes of 0.5: readings weigh 4 × 4, then 0.6 each. 0.5 is in the bucket that ends at 0.51113.
    expect([0.5, 0.5, 0.5].map((cores) => loop.minute(cores))).toEqual([590, 590, 590]);
    // Use of 3 is cut to 0.59, in the bucket up to 0.62323. Its four readings weigh 4·0.59 of 16 + 8·0.59 + 4·0.59: 10.2 %.
    expect(loop.minute(3)).toBe(720);
  });

  it('lets what was used on more CPU count for more', () => {
    const loop = new Loop();
    // The first minute's readings weigh 4 · 4. Then 0.3 are used of 0.3: 4 · 0.3 of 17.2 is 7 %, 8 · 0.3 of 18.4 is 13 %.
    expect([0.25, 3, 3].map((cores) => loop.minute(cores))).toEqual([300, 300, 360]);
  });

  it('grows by its margin and a bucket a minute when it is starved: it does not see what waits', () => {
    const loop = new Loop(200);
    const minutes = Array.from({ length: 6 }, () => loop.minute(3));
    // 0.2 cores used → the bucket up to 0.21579 → · 1.15 = 0.24816 → 250, and so on.
    expect(minutes).toEqual([250, 300, 360, 450, 550, 680]);
  });

  it('keeps to the limits', () => {
    expect(new Loop().minute(0)).toBe(100);
    expect(new Loop().minute(4)).toBe(4000);
  });

  it('skips the reading in which a counter began anew', () => {
    const loop = new Loop();
    loop.minute(1);
    loop.restartWorker();
    expect(loop.minute(1)).toBe(1170);
  });

  it('is not put off by timers that are late, more or less', () => {
    const planner = vpaPlanner();
    const allocations = [2, 15_004, 30_003, 45_005, 60_000].map((nowMs, reading) => {
      const counters = { usedSeconds: 15 * reading, periods: 0, throttledPeriods: 0, throttledSeconds: 0 };
      return planner.plan(plannerView({ nowMs, limits: LIMITS, readCounters: () => counters })).plan.cpuMillicores;
    });
    // The last one comes 2 ms too soon after the first.
    expect(allocations).toEqual([4000, 4000, 4000, 4000, 1170]);
  });

  it('changes nothing where the platform has no counters, and reads them no more often than every 15 s', () => {
    const planner = vpaPlanner();
    for (let nowMs = 0; nowMs <= 120_000; nowMs += 15_000) {
      expect(planner.plan(plannerView({ nowMs })).plan).toMatchObject({
        cpuMillicores: 16_000,
        boundBy: { kind: 'start' },
      });
    }
    let readings = 0;
    const readCounters = () => {
      readings += 1;
      return { usedSeconds: 0, periods: 0, throttledPeriods: 0, throttledSeconds: 0 };
    };
    const eager = vpaPlanner();
    for (let nowMs = 0; nowMs < 29_000; nowMs += 500) eager.plan(plannerView({ nowMs, readCounters }));
    expect(readings).toBe(2);
    expect(eager).toMatchObject({ name: 'vpa', tickMs: 15_000, isEventDriven: false, appliesAtOnce: true });
  });
});
