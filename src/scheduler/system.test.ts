import { describe, expect, it } from 'vitest';
import { dueAt, modelsOf, TEN_MS_EACH, tenMsEach } from '../../test/simulation/fixed-latency.js';
import { VirtualClock } from './clock/virtual-clock.js';
import { pricedPlanner } from './controlplane/priced-planner.js';
import { edfPolicy } from './dataplane/policy.js';
import type { Event } from './domain/event.js';
import { outcomeName } from './domain/outcome.js';
import { SimulatedScaler } from '../simulator/sim/simulated-scaler.js';
import { SimulatedWorker } from '../simulator/sim/simulated-worker.js';
import { createSystem, type System } from './system.js';

/** Both planes: 10·b/c ms, 1 … 4 cores, resizes and staging at once, CPU kept while idle. */
class Bench {
  readonly clock = new VirtualClock();
  readonly events: Event[] = [];
  readonly told: string[] = [];
  readonly system: System;

  constructor() {
    const { clock } = this;
    const limits = { minMillicores: 1000, maxMillicores: 4000, stepMillicores: 1000 };
    const workers = new SimulatedWorker({
      clock,
      threadCounts: [1, 2, 4],
      maxBatchSize: 8,
      cpuMillicores: 4000,
      latencyMs: tenMsEach,
      noise: () => 1,
      stagingMs: 0,
      restartMs: 100,
    });
    const scaler = new SimulatedScaler({
      clock,
      limits,
      cpuMillicores: 4000,
      delayMs: () => 0,
      expectedDelayMs: 0,
      isRefused: () => false,
      apply: (cpuMillicores) => workers.setAllocation(cpuMillicores),
    });
    this.system = createSystem({
      clock,
      workers,
      scalers: [scaler],
      policy: {
        name: 'sponge',
        dispatch: edfPolicy,
        planner: pricedPlanner({ prefer: 'cpu' }),
        isAllocationFixed: false,
      },
      models: modelsOf(TEN_MS_EACH),
      config: {
        queueLimits: { maxRequests: 100, maxBytes: 1000 },
        maxBatchBytes: 1000,
        limits,
        idleMillicores: 1000,
        idleReleaseMs: null,
      },
      onEvent: (event) => this.events.push(event),
    });
    clock.advanceTo(1000);
  }

  send(sequence: number, dueAtMs: number): void {
    this.system.submit(dueAt(sequence, dueAtMs), (outcome) =>
      this.told.push(`${this.clock.nowMs()} ${sequence} ${outcomeName(outcome)}`),
    );
  }
}

describe('the system', () => {
  it('grows for a tight request and runs it on what it was granted', () => {
    const bench = new Bench();
    expect(bench.system.status().grantedMillicores).toBe(1000);
    bench.send(1, 1014);
    bench.clock.advanceTo(1100);
    // 10/c ≤ 14 − 10 of margin: c ≥ 2.5, that is 3 cores, on which it may use 2 threads: it takes 10/2 = 5 ms.
    expect(bench.events.find((event) => event.kind === 'batch-started')).toMatchObject({
      cpuMillicores: 3000,
      threadCount: 2,
    });
    expect(bench.told).toEqual(['1005 1 completed_on_time']);
  });

  it('tells causes before their effects', () => {
    const bench = new Bench();
    bench.events.length = 0;
    bench.send(1, 1009);
    bench.clock.advanceTo(1002);
    expect(bench.events.map((event) => event.kind)).toEqual([
      'request-received',
      'request-admitted',
      'planned',
      'resize-requested',
      'resized',
      'batch-started',
    ]);
  });

  it('refuses while it drains, and ends what is left when it stops', () => {
    const bench = new Bench();
    const drained: number[] = [];
    bench.send(1, 1500);
    bench.send(2, 1500);
    bench.system.drain(() => drained.push(bench.clock.nowMs()));
    bench.send(3, 1500);
    bench.system.stop();
    expect(bench.told).toEqual(['1000 3 failed', '1000 1 failed', '1000 2 failed']);
    expect(drained).toEqual([1000]);
    expect(bench.clock.runUntilIdle(100)).toBeLessThan(10); // no tick goes on
  });
});

describe('lending the worker', () => {
  it('lends it only while nothing is held, or on request while no batch runs', () => {
    const bench = new Bench();
    bench.send(1, 1500);
    expect(bench.system.lease('idle', () => undefined)).toBeNull();
    bench.clock.advanceTo(1005);
    expect(bench.system.lease('free', () => undefined)).toBeNull(); // its batch runs until 1010
    bench.clock.advanceTo(1020);
    const lease = bench.system.lease('idle', () => undefined);
    expect(lease).not.toBeNull();
    expect(bench.system.lease('free', () => undefined)).toBeNull();
    lease!.release();
    expect(bench.system.lease('idle', () => undefined)).not.toBeNull();
  });

  it('says once that a request wants it, and dispatches nothing before it is given back', () => {
    const bench = new Bench();
    let wantedCount = 0;
    const lease = bench.system.lease('idle', () => (wantedCount += 1))!;
    bench.send(1, 1500);
    bench.send(2, 1500);
    expect(wantedCount).toBe(1);
    bench.clock.advanceTo(1050);
    expect(bench.events.some((event) => event.kind === 'batch-started')).toBe(false);
    lease.release();
    bench.clock.advanceTo(1100);
    expect(bench.told).toEqual(['1060 1 completed_on_time', '1070 2 completed_on_time']);
  });

  it('runs the first batch after a loan on what it needs, not on what the borrower had', () => {
    const bench = new Bench();
    const lease = bench.system.lease('idle', () => undefined)!;
    lease.resize(4000, () => undefined);
    bench.clock.advanceTo(1050);
    bench.send(1, 1500);
    lease.release();
    bench.clock.advanceTo(1100);
    expect(bench.events.find((event) => event.kind === 'batch-started')).toMatchObject({
      cpuMillicores: 1000,
      threadCount: 1,
    });
  });

  it('lets the borrower resize, plans nothing meanwhile, and takes its own plan up again', () => {
    const bench = new Bench();
    const lease = bench.system.lease('idle', () => undefined)!;
    bench.events.length = 0;
    const applied: unknown[] = [];
    lease.resize(4000, (result) => applied.push(result));
    bench.clock.advanceTo(5000); // ticks pass
    expect(applied).toMatchObject([{ kind: 'applied', cpuMillicores: 4000 }]);
    expect(bench.events.map((event) => event.kind)).toEqual(['resize-requested', 'resized']);
    lease.release();
    bench.clock.advanceTo(6000);
    expect(bench.system.status().grantedMillicores).toBe(1000);
  });

  it('is given back once, whoever holds it by then', () => {
    const bench = new Bench();
    const first = bench.system.lease('idle', () => undefined)!;
    first.release();
    const second = bench.system.lease('idle', () => undefined)!;
    first.release();
    bench.send(1, 1500);
    bench.clock.advanceTo(1050);
    expect(bench.told).toEqual([]);
    second.release();
    bench.clock.advanceTo(1100);
    expect(bench.told).toEqual(['1060 1 completed_on_time']);
  });
});
