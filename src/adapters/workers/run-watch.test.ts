import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { watchRun } from './run-watch.js';

/** One look each 1 s. */
const STANDSTILL_MS = 5000;

describe('the watch over a synthetic run', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  /** @param usedSeconds CPU time at each look, from the first; the last one stays */
  function watch(usedSeconds: readonly number[]): { hangs: string[]; stop: () => void } {
    const hangs: string[] = [];
    let look = 0;
    const used = (): number => usedSeconds[Math.min(look++, usedSeconds.length - 1)]!;
    return { hangs, stop: watchRun(used, STANDSTILL_MS, (message) => hangs.push(message)) };
  }

  it('gives up, once, a run whose threads use no CPU', () => {
    const { hangs } = watch([7]);
    // The first look, and five that find no more than it did.
    vi.advanceTimersByTime(5999);
    expect(hangs).toEqual([]);
    vi.advanceTimersByTime(60_000);
    expect(hangs).toEqual(['a synthetic run hung: it used no CPU for 5000 ms']);
  });

  it('counts anew when the threads go on: one tick of 10 ms in five seconds is enough', () => {
    const { hangs } = watch([7, 7, 7, 7, 7, 7.01]);
    vi.advanceTimersByTime(10_999);
    expect(hangs).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(hangs).toHaveLength(1);
  });

  it('gives up a run that computes for ten minutes', () => {
    const { hangs } = watch(Array.from({ length: 1000 }, (_, look) => look));
    vi.advanceTimersByTime(599_999);
    expect(hangs).toEqual([]);
    vi.advanceTimersByTime(60_000);
    expect(hangs).toEqual(['a synthetic run hung: it still computes after 600000 ms']);
  });

  it('leaves nothing behind when the run ends', () => {
    const { hangs, stop } = watch([7]);
    stop();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(60_000);
    expect(hangs).toEqual([]);
  });
});
