import { describe, expect, it } from 'vitest';
import { dueAt } from '../../test/simulation/fixed-latency.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import { Deadlines } from './deadlines.js';

function watching(timerLatenessMs = 0): { clock: VirtualClock; deadlines: Deadlines; due: (readonly number[])[] } {
  const clock = new VirtualClock({ timerLatenessMs });
  const due: (readonly number[])[] = [];
  return { clock, due, deadlines: new Deadlines(clock, (sequence, nowMs) => due.push([sequence, nowMs])) };
}

describe('deadlines', () => {
  it('fire each at its instant, in order of instants and not of calls', () => {
    const { clock, deadlines, due } = watching();
    deadlines.watch(dueAt(1, 30));
    deadlines.watch(dueAt(2, 10));
    deadlines.watch(dueAt(3, 20));
    clock.advanceTo(100);
    expect(due).toEqual([[2, 10], [3, 20], [1, 30]]); // prettier-ignore
  });

  it('fire no later than a timer is late, for several at once', () => {
    const { clock, deadlines, due } = watching(1);
    deadlines.watch(dueAt(1, 10));
    deadlines.watch(dueAt(2, 10.5));
    deadlines.watch(dueAt(3, 11.5));
    clock.advanceTo(100);
    // The timer for 10 fires at 11 and finds both; the next one, for 11.5, at 12.5.
    expect(due).toEqual([[1, 11], [2, 11], [3, 12.5]]); // prettier-ignore
  });

  it('do not fire for what is forgotten, and go on with the next', () => {
    const { clock, deadlines, due } = watching();
    deadlines.watch(dueAt(1, 10));
    deadlines.watch(dueAt(2, 20));
    deadlines.forget(1);
    clock.advanceTo(100);
    expect(due).toEqual([[2, 20]]);
  });

  it('can be watched anew from inside', () => {
    const clock = new VirtualClock();
    const due: number[] = [];
    const deadlines: Deadlines = new Deadlines(clock, (sequence, nowMs) => {
      due.push(nowMs);
      if (sequence < 3) deadlines.watch(dueAt(sequence + 1, nowMs + 5));
    });
    deadlines.watch(dueAt(1, 10));
    clock.advanceTo(100);
    expect(due).toEqual([10, 15, 20]);
  });

  it('keep one timer, and none once stopped', () => {
    const { clock, deadlines, due } = watching();
    for (let sequence = 1; sequence <= 9; sequence++) deadlines.watch(dueAt(sequence, 100 - sequence));
    expect(clock.pendingCount).toBe(1);
    deadlines.stop();
    expect(clock.runUntilIdle()).toBe(0);
    expect(due).toEqual([]);
  });
});
