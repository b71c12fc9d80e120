import { describe, expect, it } from 'vitest';
import { ServerPressure } from './pressure.js';

const MIB = 1024 ** 2;

/** Of a limit of 1000 MiB, 80 are kept free. */
function pressure(loopDelayMs: number, usedMib: number) {
  return new ServerPressure({
    nowMs: () => 0,
    loopDelayMs: () => loopDelayMs,
    memory: { limitBytes: 1000 * MIB, usedBytes: () => usedMib * MIB },
  }).now();
}

describe('the pressure on the server', () => {
  it('is none while its loop runs and memory is free', () => {
    expect(pressure(0, 100)).toEqual({ fraction: 0, cause: '' });
    expect(pressure(250, 920).fraction).toBe(0);
  });

  it('grows with how late the loop is', () => {
    expect(pressure(625, 0)).toEqual({
      fraction: 0.5,
      cause: 'the server is overloaded: its event loop is 625 ms late',
    });
    expect(pressure(5000, 0).fraction).toBe(1);
  });

  it('grows as memory runs out, and is full before it has', () => {
    expect(pressure(0, 940).fraction).toBeCloseTo(0.5);
    expect(pressure(0, 960)).toEqual({ fraction: 1, cause: 'the server is overloaded: its memory is nearly used up' });
    // Of a large machine no more than 256 MiB are kept.
    const large = { limitBytes: 64_000 * MIB, usedBytes: () => 63_700 * MIB };
    expect(new ServerPressure({ nowMs: () => 0, loopDelayMs: () => 0, memory: large }).now().fraction).toBe(0);
  });

  it('looks at the memory four times a second at most', () => {
    let nowMs = 0;
    let looks = 0;
    const memory = { limitBytes: 1000 * MIB, usedBytes: () => 100 * ++looks };
    const server = new ServerPressure({ nowMs: () => nowMs, loopDelayMs: () => 0, memory });
    for (nowMs = 0; nowMs < 1000; nowMs++) server.now();
    expect(looks).toBe(4);
  });
});
