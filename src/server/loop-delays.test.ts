import { describe, expect, it } from 'vitest';
import { LoopDelays } from './loop-delays.js';

describe('the delays of the event loop', () => {
  it('are quantiles of what was recorded since they were last asked for, to two digits', () => {
    const delays = new LoopDelays();
    expect(delays.sinceLast()).toEqual([0, 0, 0, 0]);
    for (let count = 0; count < 980; count++) delays.record(0.4);
    for (let count = 0; count < 19; count++) delays.record(30);
    delays.record(1234.5);
    const expected = [0.0004, 0.03, 0.03, 1.2345];
    delays.sinceLast().forEach((seconds, index) => {
      expect(Math.abs(seconds / expected[index]! - 1)).toBeLessThan(0.01);
    });
    expect(delays.sinceLast()).toEqual([0, 0, 0, 0]);
  });

  it('of a timer that was in time, or late beyond all measure, are in it too', () => {
    const delays = new LoopDelays();
    delays.record(0);
    delays.record(1e9);
    const [median, , , longest] = delays.sinceLast();
    expect(median).toBeLessThan(1e-5);
    expect(Math.abs(longest! / 3600 - 1)).toBeLessThan(0.01);
  });
});
