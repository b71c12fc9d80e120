import { describe, expect, it } from 'vitest';
import type { Clock, Timer } from '../scheduler/clock/clock.js';
import { EventLoopWatch } from './event-loop-watch.js';

/** One timer at a time, of a loop that can stand still: what comes due meanwhile fires when it runs again. */
class LoopClock implements Clock {
  #nowMs = 0;
  #timer: { readonly atMs: number; readonly fire: () => void } | null = null;

  nowMs(): number {
    return this.#nowMs;
  }

  schedule(atMs: number, fire: () => void): Timer {
    this.#timer = { atMs, fire };
    return { cancel: () => (this.#timer = null) };
  }

  whenSettled(act: () => void): void {
    act();
  }

  runUntil(atMs: number): void {
    while (this.#timer !== null && this.#timer.atMs <= atMs) {
      const { atMs: dueAtMs, fire } = this.#timer;
      this.#timer = null;
      this.#nowMs = Math.max(this.#nowMs, dueAtMs);
      fire();
    }
    this.#nowMs = atMs;
  }

  /** `before`: what is read at its end before any timer fires. */
  standStillUntil(atMs: number, before: () => void = () => undefined): void {
    this.#nowMs = atMs;
    before();
    this.runUntil(atMs);
  }
}

function watched(): { clock: LoopClock; watch: EventLoopWatch } {
  const clock = new LoopClock();
  return { clock, watch: new EventLoopWatch(clock) };
}

describe('the watch over the event loop', () => {
  it('knows of no standstill while timers are in time', () => {
    const { clock, watch } = watched();
    clock.runUntil(1010);
    expect(watch.standstillMs(0)).toBe(0);
    expect(watch.unreadSinceMs()).toBe(1010);
    expect(watch.meanDelayMs).toBe(0);
  });

  it('tells from within a standstill, before any timer has fired, since when nothing was read', () => {
    const { clock, watch } = watched();
    clock.runUntil(105);
    clock.standStillUntil(905, () => {
      // The last beat was at 100.
      expect(watch.unreadSinceMs()).toBe(100);
      expect(watch.standstillMs(0)).toBe(805);
      expect(watch.standstillMs(600)).toBe(305);
    });
  });

  it('takes all that is read for late until two beats are in time again', () => {
    const { clock, watch } = watched();
    clock.runUntil(100);
    clock.standStillUntil(900);
    expect(watch.unreadSinceMs()).toBe(100);
    clock.runUntil(939);
    expect(watch.unreadSinceMs()).toBe(100);
    clock.runUntil(940);
    expect(watch.unreadSinceMs()).toBe(940);
  });

  it('is behind since the first of several standstills in a row', () => {
    const { clock, watch } = watched();
    clock.runUntil(100);
    clock.standStillUntil(900);
    // Reading what had come takes long.
    clock.standStillUntil(1000, () => expect(watch.unreadSinceMs()).toBe(100));
    clock.runUntil(1025);
    clock.standStillUntil(1100);
    expect(watch.unreadSinceMs()).toBe(100);
    clock.runUntil(1140);
    expect(watch.unreadSinceMs()).toBe(1140);
  });

  it('adds up what falls into the time that is asked for', () => {
    const { clock, watch } = watched();
    clock.runUntil(100);
    clock.standStillUntil(300);
    clock.runUntil(500);
    clock.standStillUntil(600);
    clock.runUntil(1000);
    expect(watch.standstillMs(0)).toBe(200 + 100);
    expect(watch.standstillMs(200)).toBe(100 + 100);
    expect(watch.standstillMs(300)).toBe(100);
    expect(watch.standstillMs(600)).toBe(0);
  });

  it('does not take one standstill for a state, and many in a row for one', () => {
    const { clock, watch } = watched();
    clock.runUntil(100);
    clock.standStillUntil(3100);
    // A fifth of 1000, though the beat was 2980 ms late.
    expect(watch.meanDelayMs).toBeCloseTo(200);
    clock.runUntil(3300);
    expect(watch.meanDelayMs).toBeLessThan(25);
    for (let atMs = 3800; atMs <= 13_800; atMs += 500) clock.standStillUntil(atMs);
    expect(watch.meanDelayMs).toBeGreaterThan(450);
  });

  it('remembers a bounded number, and sees none once closed', () => {
    const { clock, watch } = watched();
    for (let count = 1; count <= 1000; count++) clock.standStillUntil(100 * count);
    expect(watch.standstillMs(0)).toBe(256 * 100);
    watch.close();
    clock.standStillUntil(200_000);
    expect(watch.standstillMs(100_000)).toBe(0);
  });
});
