import { describe, expect, it } from 'vitest';
import { Exploration } from './exploration.js';

/** One test that fails: begins then, lasts so long. */
function fails(exploration: Exploration, atMs: number, ranMs: number, classKey = 'x'): void {
  expect(exploration.mayBegin(atMs, classKey)).toBe(true);
  exploration.begin();
  exploration.ended(atMs + ranMs, classKey, ranMs, false);
}

/** The first whole millisecond at which a class may be tested. */
function nextTestAtMs(exploration: Exploration, fromMs: number, classKey = 'x'): number {
  let atMs = fromMs;
  while (!exploration.mayBegin(atMs, classKey)) atMs += 1;
  return atMs;
}

describe('exploration', () => {
  it('tests at once what was never run, and what ran only after half a second', () => {
    const exploration = new Exploration();
    expect(exploration.mayBegin(0, 'x')).toBe(true);
    exploration.batchStarted(0, 'x');
    expect(exploration.mayBegin(9000, 'x')).toBe(false); // It runs.
    exploration.batchEnded(9000, 'x');
    expect(exploration.mayBegin(9000, 'y')).toBe(true);
    expect(nextTestAtMs(exploration, 9000)).toBe(9500);
  });

  it('tests one at a time, whatever its class, also when a test is called off', () => {
    const exploration = new Exploration();
    exploration.begin();
    expect(exploration.mayBegin(10_000, 'y')).toBe(false);
    exploration.calledOff();
    expect(exploration.mayBegin(10_000, 'y')).toBe(true);
  });

  it('tests a class again after 250 ms, then every 500, while the belief is confirmed', () => {
    const exploration = new Exploration();
    fails(exploration, 0, 10);
    expect(nextTestAtMs(exploration, 10)).toBe(260);
    fails(exploration, 260, 10);
    expect(nextTestAtMs(exploration, 270)).toBe(770);
    fails(exploration, 770, 10);
    expect(nextTestAtMs(exploration, 780)).toBe(1280);
  });

  it('goes on at once while tests succeed, which cost nothing', () => {
    const exploration = new Exploration();
    for (let atMs = 0; atMs < 1000; atMs += 100) {
      expect(exploration.mayBegin(atMs, 'x')).toBe(true);
      exploration.begin();
      exploration.ended(atMs + 100, 'x', 100, true);
    }
  });

  it('pays for a failed test: as long again where nobody else asks, 19 times as long where others do', () => {
    const alone = new Exploration();
    fails(alone, 0, 1000);
    expect(nextTestAtMs(alone, 1000, 'y')).toBe(2000);

    // 0.05 · 20 s = 1 s
    const beside = new Exploration();
    fails(beside, 0, 1000);
    let atMs = 1000;
    for (; !beside.mayBegin(atMs, 'y'); atMs += 1) beside.othersAsked(atMs);
    expect(Math.abs(atMs - 20_000)).toBeLessThanOrEqual(1);
  });

  it('pays by both rates where others asked some of the time', () => {
    const exploration = new Exploration();
    fails(exploration, 0, 1000);
    exploration.othersAsked(1000);
    // Two seconds beside others pay 2000 · 5/95 = 105.3 ms, the rest is paid 1 for 1: 3000 + 894.7.
    expect(nextTestAtMs(exploration, 1000, 'y')).toBe(3895);
  });

  it('lets one wait for a worker that is expected too late, every 250 ms', () => {
    const exploration = new Exploration();
    const tried = [0, 100, 249, 250, 499, 500].filter((atMs) => exploration.mayAwaitRestart(atMs));
    expect(tried).toEqual([0, 250, 500]);
  });
});
