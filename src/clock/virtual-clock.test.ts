import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from './virtual-clock.js';

describe('VirtualClock', () => {
  it('walks through time: at 10 the first fires, at 14 the second, each seeing its own instant', () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    clock.schedule(14, () => seen.push(`b at ${clock.nowMs()}`));
    clock.schedule(10, () => seen.push(`a at ${clock.nowMs()}`));
    clock.advanceTo(9.999);
    expect(seen).toEqual([]);
    clock.advanceTo(10);
    expect(seen).toEqual(['a at 10']);
    clock.advanceBy(10);
    expect(seen).toEqual(['a at 10', 'b at 14']);
    expect(clock.nowMs()).toBe(20);
  });

  it('fires equal instants in the order they were scheduled, also those scheduled while firing', () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    clock.schedule(5, () => {
      seen.push('first');
      clock.schedule(5, () => seen.push('third'));
    });
    clock.schedule(5, () => seen.push('second'));
    clock.advanceTo(5);
    expect(seen).toEqual(['first', 'second', 'third']);
  });

  it('never fires inside schedule, and puts a past instant at now', () => {
    const clock = new VirtualClock({ startAtMs: 100 });
    const seen: number[] = [];
    clock.schedule(40, () => seen.push(clock.nowMs()));
    expect(seen).toEqual([]);
    clock.advanceBy(0);
    expect(seen).toEqual([100]);
  });

  it('fires timers late by as much as it was told, and the world exactly', () => {
    const clock = new VirtualClock({ timerLatenessMs: 1 });
    const seen: string[] = [];
    clock.schedule(10, () => seen.push(`timer at ${clock.nowMs()}`));
    clock.scheduleExact(10.5, () => seen.push(`arrival at ${clock.nowMs()}`));
    clock.schedule(-5, () => seen.push(`past timer at ${clock.nowMs()}`));
    expect(clock.runUntilIdle()).toBe(3);
    // 10 + 1 = 11 for the timer; the past one is due now, 0 + 1 = 1.
    expect(seen).toEqual(['past timer at 1', 'arrival at 10.5', 'timer at 11']);
  });

  it('does not fire what was cancelled, also when it is cancelled by an event of the same instant', () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    const early = clock.schedule(1, () => seen.push('early'));
    clock.schedule(2, () => late.cancel());
    const late = clock.schedule(2, () => seen.push('late'));
    early.cancel();
    early.cancel();
    expect(clock.pendingCount).toBe(2);
    expect(clock.runUntilIdle()).toBe(1);
    expect(seen).toEqual([]);
    expect(clock.pendingCount).toBe(0);
  });

  it('ignores a cancel after the event fired', () => {
    const clock = new VirtualClock();
    const timer = clock.schedule(1, () => undefined);
    clock.schedule(2, () => undefined);
    clock.advanceTo(1);
    timer.cancel();
    expect(clock.pendingCount).toBe(1);
    expect(clock.nextAtMs()).toBe(2);
  });

  it('keeps few entries when one far timer is re-armed again and again', () => {
    const clock = new VirtualClock();
    let timer = clock.schedule(1e9, () => undefined);
    for (let round = 0; round < 10_000; round += 1) {
      timer.cancel();
      timer = clock.schedule(1e9 + round, () => undefined);
    }
    expect(clock.pendingCount).toBe(1);
    expect((clock as unknown as { heap: unknown[] }).heap.length).toBeLessThanOrEqual(64);
  });

  it('refuses to go back, to be advanced from inside an event, and to run for ever', () => {
    const clock = new VirtualClock({ startAtMs: 5 });
    expect(() => clock.advanceTo(4)).toThrow('time cannot go from 5 ms to 4 ms');
    expect(() => clock.advanceTo(NaN)).toThrow('time cannot go');
    expect(() => clock.schedule(NaN, () => undefined)).toThrow('NaN');

    clock.schedule(6, () => clock.advanceTo(7));
    expect(() => clock.advanceTo(6)).toThrow('from inside an event');

    const endless = (): void => void clock.schedule(clock.nowMs() + 1, endless);
    endless();
    expect(() => clock.runUntilIdle(100)).toThrow('not idle after 100 events, at 106 ms: 1 pending');
  });

  it('fires any mix of scheduled and cancelled events as a stable sort by instant would', () => {
    const plan = fc.array(fc.record({ atMs: fc.integer({ min: 0, max: 20 }), isCancelled: fc.boolean() }), {
      maxLength: 300,
    });
    fc.assert(
      fc.property(plan, (events) => {
        const clock = new VirtualClock();
        const fired: number[] = [];
        const timers = events.map(({ atMs }, index) => clock.schedule(atMs, () => fired.push(index)));
        events.forEach(({ isCancelled }, index) => {
          if (isCancelled) timers[index]!.cancel();
        });
        clock.runUntilIdle();
        const expected = events
          .map((event, index) => ({ ...event, index }))
          .filter(({ isCancelled }) => !isCancelled)
          .sort((a, b) => a.atMs - b.atMs)
          .map(({ index }) => index);
        expect(fired).toEqual(expected);
      }),
    );
  });
});
