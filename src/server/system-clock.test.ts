import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SystemClock } from './system-clock.js';

/** Time as the clock reads it, set by hand; Node's timers are faked beside it, so that the two can disagree. */
let monotonicMs = 0;
const clock = new SystemClock({ readNowMs: () => monotonicMs });

beforeEach(() => {
  monotonicMs = 1000;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
});

afterEach(() => {
  vi.useRealTimers();
});

/** Lets `durationMs` pass for Node's timers, and `monotonicPassedMs` for the clock before any of them fires. */
function pass(durationMs: number, monotonicPassedMs = durationMs): void {
  monotonicMs += monotonicPassedMs;
  vi.advanceTimersByTime(durationMs);
}

describe('SystemClock', () => {
  it('rounds a fractional deadline up to a whole timer: due in 9.2 ms, it waits for 10', () => {
    const fire = vi.fn();
    clock.schedule(1009.2, fire);
    pass(9, 9.3);
    expect(fire).not.toHaveBeenCalled();
    pass(1);
    expect(fire).toHaveBeenCalledTimes(1);
  });

  it('arms again when Node fires early, so that nothing ever runs before its instant', () => {
    const fire = vi.fn();
    clock.schedule(1010, fire);
    pass(10, 8.5);
    expect(fire).not.toHaveBeenCalled();
    pass(1);
    expect(fire).not.toHaveBeenCalled();
    pass(1);
    // 1000 + 8.5 + 1 + 1 = 1010.5
    expect(fire).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('fires what is due already soon, but not inside the call', () => {
    const fire = vi.fn();
    clock.schedule(1000, fire);
    clock.schedule(-5, fire);
    expect(fire).not.toHaveBeenCalled();
    pass(0);
    expect(fire).toHaveBeenCalledTimes(2);
  });

  it('reaches instants beyond the longest timer in several steps', () => {
    const fire = vi.fn();
    const step = 2 ** 31 - 1;
    clock.schedule(1000 + step + 500, fire);
    pass(step);
    expect(fire).not.toHaveBeenCalled();
    pass(499);
    expect(fire).not.toHaveBeenCalled();
    pass(1);
    expect(fire).toHaveBeenCalledTimes(1);
  });

  it('cancels at every stage: before firing, after an early firing, when due at once', () => {
    const fire = vi.fn();
    clock.schedule(1010, fire).cancel();
    clock.schedule(0, fire).cancel();
    const early = clock.schedule(1010, fire);
    pass(10, 9);
    early.cancel();
    pass(100);
    early.cancel();
    expect(fire).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is settled at the end of the turn, not inside the call', () => {
    const act = vi.fn();
    clock.whenSettled(act);
    expect(act).not.toHaveBeenCalled();
    pass(0);
    expect(act).toHaveBeenCalledTimes(1);
  });

  it('refuses NaN, which Node would take for 1 ms', () => {
    expect(() => clock.schedule(NaN, () => undefined)).toThrow('NaN');
  });

  it('reads a monotonic clock that never decreases', () => {
    const live = new SystemClock();
    const before = live.nowMs();
    expect(live.nowMs()).toBeGreaterThanOrEqual(before);
  });
});
