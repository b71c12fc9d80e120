import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { Event } from '../domain/event.js';
import { SimulatedScaler } from '../../simulator/sim/simulated-scaler.js';
import { ActuatorDelay } from './actuator-delay.js';
import { InstanceAllocation } from './instance-allocation.js';
import type { ResizeResult } from './scaler.js';

const RESTING = { runningThreads: 0, isAtOnce: false };

interface Options {
  /** Request → in force, in force → told and refused, of each resize in turn; 1 ms, 0 ms and no by default. */
  readonly delaysMs?: readonly number[];
  readonly readBacksMs?: readonly number[];
  readonly refused?: readonly boolean[];
  readonly expectedDelayMs?: number;
  readonly instance?: number | null;
}

/** Begins on two cores of sixteen. */
class Bench {
  readonly clock = new VirtualClock();
  readonly events: Event[] = [];
  readonly answers: (readonly [ResizeResult['kind'], isSettled: boolean])[] = [];
  /** In the kernel, whether anybody was told or not. */
  inForceMillicores = 2000;
  readonly allocation: InstanceAllocation;
  readonly delay: ActuatorDelay;

  constructor({ delaysMs = [], readBacksMs = [], refused = [], expectedDelayMs = 1, instance = 3 }: Options = {}) {
    let [delays, readBacks, refusals] = [0, 0, 0];
    const scaler = new SimulatedScaler({
      clock: this.clock,
      limits: { minMillicores: 100, maxMillicores: 16_000, stepMillicores: 100 },
      cpuMillicores: 2000,
      delayMs: () => delaysMs[delays++] ?? 1,
      readBackMs: () => readBacksMs[readBacks++] ?? 0,
      expectedDelayMs,
      isRefused: () => refused[refusals++] ?? false,
      apply: (cpuMillicores) => (this.inForceMillicores = cpuMillicores),
    });
    let resizeId = 0;
    this.delay = new ActuatorDelay(expectedDelayMs);
    this.allocation = new InstanceAllocation({
      clock: this.clock,
      scaler,
      delay: this.delay,
      instance,
      initialMillicores: 2000,
      nextResizeId: () => ++resizeId,
      emit: (event) => this.events.push(event),
      onAnswer: (result, isSettled) => this.answers.push([result.kind, isSettled]),
    });
  }

  get state(): readonly [granted: number, requested: number, held: number] {
    const { grantedMillicores, requestedMillicores, heldMillicores } = this.allocation;
    return [grantedMillicores, requestedMillicores, heldMillicores];
  }
}

describe('an allocation', () => {
  it('holds the more of what is in force and what was asked for, until the answer', () => {
    const bench = new Bench();
    bench.allocation.resizeTo(5000);
    expect(bench.state).toEqual([2000, 5000, 5000]);
    bench.clock.advanceTo(1);
    expect(bench.state).toEqual([5000, 5000, 5000]);
    bench.allocation.resizeTo(300);
    expect(bench.state).toEqual([5000, 300, 5000]);
    bench.clock.advanceTo(2);
    expect(bench.state).toEqual([300, 300, 300]);
  });

  it('tells of each request and of its answer, and whose it is', () => {
    const bench = new Bench();
    bench.allocation.resizeTo(5000);
    bench.clock.advanceTo(10);
    expect(bench.events).toEqual([
      { kind: 'resize-requested', atMs: 0, resizeId: 1, instance: 3, fromMillicores: 2000, toMillicores: 5000 },
      { kind: 'resized', atMs: 1, resizeId: 1, instance: 3, cpuMillicores: 5000, isWritten: true, tookMs: 1 },
    ]);
    const ofAll = new Bench({ instance: null });
    ofAll.allocation.resizeTo(5000);
    expect(ofAll.events[0]).not.toHaveProperty('instance');
  });

  it('is worth another try after a pause that doubles while resizes are refused', () => {
    const bench = new Bench({ refused: [true, true, false, true] });
    const pausesMs = [1, 2, 3, 4].map((attempt) => {
      bench.allocation.resizeTo(1000 * attempt);
      bench.clock.advanceBy(1);
      return bench.allocation.mayResizeAtMs - bench.clock.nowMs();
    });
    expect(pausesMs).toEqual([100, 200, -Infinity, 100]);
  });

  it('stays as it is where a resize is refused, and says why', () => {
    const bench = new Bench({ refused: [true] });
    bench.allocation.resizeTo(5000);
    bench.clock.advanceTo(1);
    expect(bench.state).toEqual([2000, 2000, 2000]);
    expect(bench.events.at(-1)).toMatchObject({ kind: 'resize-refused', resizeId: 1, message: 'simulated refusal' });
    expect(bench.answers).toEqual([['refused', true]]);
  });

  it('is settled only by the answer to what was asked for last', () => {
    const bench = new Bench({ delaysMs: [1, 5] });
    bench.allocation.resizeTo(5000);
    bench.allocation.resizeTo(7000);
    bench.clock.advanceTo(1);
    expect(bench.state).toEqual([2000, 7000, 7000]);
    bench.clock.advanceTo(5);
    expect(bench.state).toEqual([7000, 7000, 7000]);
    expect(bench.answers).toEqual([['applied', false], ['applied', true]]); // prettier-ignore
  });

  it('is awaited while a quick resize is under way, not while a slow one is', () => {
    const quick = new Bench();
    expect(quick.allocation.isAwaited).toBe(false);
    quick.allocation.resizeTo(5000);
    expect(quick.allocation.isAwaited).toBe(true);
    quick.clock.advanceTo(1);
    expect(quick.allocation.isAwaited).toBe(false);
    const slow = new Bench({ expectedDelayMs: 1000 });
    slow.allocation.resizeTo(5000);
    expect(slow.allocation.isAwaited).toBe(false);
  });

  it('learns that resizes are slow though each is superseded before it is in force', () => {
    const bench = new Bench({ delaysMs: new Array<number>(20).fill(700) });
    for (let resize = 0; resize < 12; resize++) {
      bench.allocation.resizeTo(3000 + 100 * resize);
      bench.clock.advanceBy(100);
    }
    // Six were answered by then, at 700 … 1200; nothing was ever written. Five of nine make the median.
    expect(bench.inForceMillicores).toBe(2000);
    expect(bench.delay.isSlow).toBe(true);
  });

  it('does not learn from what was in force already that resizes are quick', () => {
    const bench = new Bench({ expectedDelayMs: 700 });
    for (let resize = 0; resize < 9; resize++) {
      bench.allocation.resizeTo(2000);
      bench.clock.advanceBy(100);
    }
    expect(bench.delay.typicalMs).toBe(700);
  });

  it('does not believe an older answer that comes after a newer one', () => {
    // The first is in force at 1 and told of at 11; the second is in force and told of at 2.
    const bench = new Bench({ delaysMs: [1, 1], readBacksMs: [10, 0] });
    bench.allocation.resizeTo(5000);
    bench.clock.advanceTo(1);
    bench.allocation.resizeTo(400);
    bench.clock.advanceTo(2);
    expect(bench.allocation.grantedMillicores).toBe(400);
    bench.clock.advanceTo(11);
    expect(bench.state).toEqual([400, 400, 400]);
  });

  it('holds a growth that may be in force until its own answer, though less was asked for since', () => {
    // In force at 1, but told of only at 11: meanwhile a shrink is asked for, which takes until 21.
    const bench = new Bench({ delaysMs: [1, 20], readBacksMs: [10, 0] });
    bench.allocation.resizeTo(8000);
    bench.clock.advanceTo(1);
    bench.allocation.resizeTo(1000);
    expect(bench.inForceMillicores).toBe(8000);
    expect(bench.allocation.heldMillicores).toBe(8000);
    bench.clock.advanceTo(11);
    expect(bench.allocation.heldMillicores).toBe(8000);
    bench.clock.advanceTo(21);
    expect(bench.state).toEqual([1000, 1000, 1000]);
  });

  it('is at rest once everything was answered, where the newest request was refused before an older one was read back', () => {
    // 8000 is in force at 1 and told of at 11; what was asked for at 1 is refused at 2.
    const bench = new Bench({ delaysMs: [1, 1], readBacksMs: [10, 0], refused: [false, true] });
    bench.allocation.resizeTo(8000);
    bench.clock.advanceTo(1);
    bench.allocation.resizeTo(1000);
    bench.clock.advanceTo(2);
    expect(bench.allocation.heldMillicores).toBe(8000);
    bench.clock.advanceTo(11);
    expect(bench.state).toEqual([8000, 8000, 8000]);
    expect(bench.allocation.isAwaited).toBe(false);
  });
});

describe('growth', () => {
  it('is asked for at once, also while another is under way that is quick', () => {
    const bench = new Bench();
    bench.allocation.growTo(5000);
    bench.allocation.growTo(5100);
    expect(bench.allocation.requestedMillicores).toBe(5100);
  });

  it('does not call off a slow one that is well under way, unless it wants much more', () => {
    const bench = new Bench({ expectedDelayMs: 1000, delaysMs: [1000] });
    bench.allocation.growTo(8500);
    // 10 000 × 0.85 = 8500: well under way; 10 100 × 0.85 = 8585 is not
    bench.allocation.growTo(10_000);
    expect(bench.allocation.requestedMillicores).toBe(8500);
    bench.allocation.growTo(10_100);
    expect(bench.allocation.requestedMillicores).toBe(10_100);
  });
});

describe('a shrink', () => {
  it('is worth it from five per cent on', () => {
    const bench = new Bench();
    // 2000 × 0.95 = 1900
    expect(bench.allocation.shrinkTo(1901, RESTING)).toBeNull();
    expect(bench.allocation.requestedMillicores).toBe(2000);
    expect(bench.allocation.shrinkTo(1900, RESTING)).toBeNull();
    expect(bench.allocation.requestedMillicores).toBe(1900);
  });

  it('waits for 50 ms after the last resize, and says until when', () => {
    const bench = new Bench();
    bench.clock.advanceTo(100);
    bench.allocation.resizeTo(5000);
    bench.clock.advanceTo(120);
    // 100 + 50
    expect(bench.allocation.shrinkTo(1000, RESTING)).toBe(150);
    bench.clock.advanceTo(150);
    expect(bench.allocation.shrinkTo(1000, RESTING)).toBeNull();
    expect(bench.allocation.requestedMillicores).toBe(1000);
  });

  it('need not wait for resizes that are forgotten', () => {
    const bench = new Bench();
    bench.allocation.resizeTo(5000);
    bench.clock.advanceTo(1);
    bench.allocation.forgetDwell();
    bench.allocation.shrinkTo(1000, RESTING);
    expect(bench.allocation.requestedMillicores).toBe(1000);
  });

  it('leaves the running batch its threads', () => {
    const bench = new Bench();
    // 900 millicores are for one thread; 1100 for two
    bench.allocation.shrinkTo(900, { runningThreads: 2, isAtOnce: false });
    expect(bench.allocation.requestedMillicores).toBe(2000);
    bench.allocation.shrinkTo(1100, { runningThreads: 2, isAtOnce: false });
    expect(bench.allocation.requestedMillicores).toBe(1100);
  });

  it('minds nothing where it is to be at once', () => {
    const bench = new Bench();
    bench.allocation.resizeTo(2000);
    bench.allocation.shrinkTo(1950, { runningThreads: 2, isAtOnce: true });
    expect(bench.allocation.requestedMillicores).toBe(1950);
  });

  it('does not call off a slow growth that is under way', () => {
    const bench = new Bench({ expectedDelayMs: 1000, delaysMs: [1000] });
    bench.allocation.growTo(8000);
    bench.clock.advanceTo(500);
    expect(bench.allocation.shrinkTo(1000, RESTING)).toBeNull();
    expect(bench.allocation.requestedMillicores).toBe(8000);
    bench.clock.advanceTo(1000);
    bench.allocation.shrinkTo(1000, RESTING);
    expect(bench.allocation.requestedMillicores).toBe(1000);
  });
});
