import { describe, expect, it } from 'vitest';
import { Patience } from './patience.js';

/** Millicores. */
const MUCH = 1000;
/** Between two arrivals. */
const GAP_MS = 200;

/** Decides to wait, and starts when that is over. @returns how long that was */
function waitInVain(patience: Patience, nowMs: number, untilMs: number, count = 1): number {
  expect(patience.mayWait(nowMs, count, MUCH, GAP_MS)).toBe(true);
  const endMs = patience.wait(nowMs, untilMs, count, GAP_MS);
  patience.start(endMs, count);
  return endMs - nowMs;
}

/** Batches that are started at once until the next wait. */
function startedAtOnce(patience: Patience): number {
  for (let count = 0; ; count++) {
    if (patience.mayWait(0, 1, MUCH, GAP_MS)) return count;
    patience.start(0, 1);
  }
}

describe('patience with company that may come', () => {
  it('lasts until it would be too late, and a second at most', () => {
    expect(waitInVain(new Patience(), 5000, 5300)).toBe(300);
    expect(waitInVain(new Patience(), 5000, 65_000)).toBe(1000);
  });

  it('counts from the beginning of a wait, however often it is looked at', () => {
    const patience = new Patience();
    expect(patience.wait(0, 60_000, 1, GAP_MS)).toBe(1000);
    expect(patience.mayWait(700, 2, MUCH, GAP_MS)).toBe(true);
    expect(patience.wait(700, 60_000, 2, GAP_MS)).toBe(1000);
    expect(patience.mayWait(1000, 2, MUCH, GAP_MS)).toBe(false);
  });

  it('is over at the very instant that a wait was to last until, whatever rounding makes of it', () => {
    for (let index = 0; index < 1000; index++) {
      const patience = new Patience();
      const endMs = patience.wait(50 * index * 1.000_000_1 + 1e6 / 3, Infinity, 1, GAP_MS);
      expect(patience.mayWait(endMs, 1, MUCH, GAP_MS)).toBe(false);
    }
  });

  it('ends when nobody has come for eight times as long as they usually take to', () => {
    const patience = new Patience();
    expect(patience.wait(0, 60_000, 1, 10)).toBe(80);
    expect(patience.mayWait(70, 2, MUCH, GAP_MS)).toBe(true);
    expect(patience.wait(70, 60_000, 2, 10)).toBe(150);
    // Looked at again, but nobody came.
    expect(patience.wait(100, 60_000, 2, 10)).toBe(150);
    expect(patience.mayWait(149, 2, MUCH, GAP_MS)).toBe(true);
    expect(patience.mayWait(150, 2, MUCH, GAP_MS)).toBe(false);
    expect(patience.mayWait(150, 3, MUCH, GAP_MS)).toBe(true);
  });

  it('is not had where batches would save next to nothing', () => {
    expect(new Patience().mayWait(0, 1, 10, GAP_MS)).toBe(false);
    expect(new Patience().mayWait(0, 1, 100, GAP_MS)).toBe(true);
  });

  it('is lost for twice as many batches each time that nobody came', () => {
    const patience = new Patience();
    const atOnce = [1, 2, 3].map(() => {
      waitInVain(patience, 0, 100);
      return startedAtOnce(patience);
    });
    expect(atOnce).toEqual([1, 3, 7]);
    for (let more = 0; more < 10; more++) {
      waitInVain(patience, 0, 100);
      expect(startedAtOnce(patience)).toBeLessThanOrEqual(1023);
    }
  });

  it('is back when somebody came, waited for or not', () => {
    const waited = new Patience();
    waitInVain(waited, 0, 100);
    waited.start(100, 1);
    expect(waited.mayWait(0, 1, MUCH, GAP_MS)).toBe(true);
    waited.wait(0, 100, 1, GAP_MS);
    waited.start(100, 2); // company
    expect(waited.mayWait(0, 1, MUCH, GAP_MS)).toBe(true);

    const crowded = new Patience();
    waitInVain(crowded, 0, 100);
    expect(crowded.mayWait(0, 1, MUCH, GAP_MS)).toBe(false);
    expect(crowded.mayWait(0, 2, MUCH, GAP_MS)).toBe(true);
  });
});
