import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Timer } from './clock.js';
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

  it('forgets what is cancelled at once: one far timer that is re-armed again and again is one pending event', () => {
    const clock = new VirtualClock();
    let timer = clock.schedule(1e9, () => undefined);
    for (let round = 0; round < 10_000; round += 1) {
      timer.cancel();
      timer = clock.schedule(1e9 + round, () => undefined);
      expect(clock.pendingCount).toBe(1);
    }
    expect(clock.nextAtMs()).toBe(1e9 + 9999);
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

  it('fires whatever is scheduled, cancelled and reached in between as a stable sort by instant would', () => {
    // Few instants, so that many are equal; more events than a block holds.
    const step = fc.record({
      kind: fc.constantFrom('schedule', 'schedule', 'schedule', 'schedule', 'cancel', 'fire'),
      inMs: fc.integer({ min: 0, max: 12 }),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 200, maxLength: 1000 }), (steps) => {
        const clock = new VirtualClock();
        const fired: number[] = [];
        const expected: number[] = [];
        const timers: Timer[] = [];
        /** By instant, then order of scheduling. */
        let pending: { readonly index: number; readonly atMs: number }[] = [];
        for (const { kind, inMs, pick } of steps) {
          const index = timers.length;
          if (kind === 'schedule') {
            const atMs = clock.nowMs() + inMs;
            timers.push(clock.schedule(atMs, () => fired.push(index)));
            const later = pending.findIndex((each) => each.atMs > atMs);
            pending.splice(later === -1 ? pending.length : later, 0, { index, atMs });
          } else if (kind === 'cancel' && index > 0) {
            // Any so far: many have fired, some are cancelled already.
            timers[pick % index]!.cancel();
            pending = pending.filter((each) => each.index !== pick % index);
          } else if (kind === 'fire' && clock.fireNext()) expected.push(pending.shift()!.index);
          expect(clock.pendingCount).toBe(pending.length);
          expect(clock.nextAtMs()).toBe(pending[0]?.atMs ?? Infinity);
        }
        clock.runUntilIdle();
        expect(fired).toEqual([...expected, ...pending.map(({ index }) => index)]);
      }),
      { numRuns: 50 },
    );
  });
});
