import { describe, expect, it } from 'vitest';
import { EarliestTimer } from './earliest-timer.js';
import { VirtualClock } from './virtual-clock.js';

function armed(...atMs: number[]): { clock: VirtualClock; timer: EarliestTimer; firedAtMs: number[] } {
  const clock = new VirtualClock();
  const firedAtMs: number[] = [];
  const timer = new EarliestTimer(clock, () => firedAtMs.push(clock.nowMs()));
  for (const each of atMs) timer.armBy(each);
  return { clock, timer, firedAtMs };
}

describe('EarliestTimer', () => {
  it('fires once, at the earliest moment that it was armed for', () => {
    const { clock, firedAtMs } = armed(30, 10, 20);
    clock.advanceTo(100);
    expect(firedAtMs).toEqual([10]);
  });

  it('can be armed again after it fired, for later too', () => {
    const { clock, timer, firedAtMs } = armed(10);
    clock.advanceTo(15);
    timer.armBy(40);
    clock.advanceTo(100);
    expect(firedAtMs).toEqual([10, 40]);
  });

  it('does not fire once cancelled, and can be armed again', () => {
    const { clock, timer, firedAtMs } = armed(10);
    timer.cancel();
    timer.armBy(20);
    clock.advanceTo(100);
    expect(firedAtMs).toEqual([20]);
  });
});
