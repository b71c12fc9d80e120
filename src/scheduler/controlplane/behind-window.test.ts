import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MARK_SPACING, WINDOW_SIZE, type QueueMark } from '../domain/queue-snapshot.js';
import { EdfQueue } from '../dataplane/edf-queue.js';
import { firstLateMark, rateAskedBehind } from './behind-window.js';

/** Deadlines in order, within ten seconds; and the marks behind their window. */
const anyQueue = fc
  .array(fc.integer({ min: 1, max: 10_000 }), { minLength: WINDOW_SIZE + 1, maxLength: 2000 })
  .map((dueAtMs) => {
    const queue = new EdfQueue();
    dueAtMs
      .sort((a, b) => a - b)
      .forEach((due, sequence) => queue.push({ dueAtMs: due, priority: 0, sequence, byteCount: 1 }));
    const marks: QueueMark[] = queue
      .marksFrom(WINDOW_SIZE, MARK_SPACING)
      .map(({ place, item }) => ({ place, dueAtMs: item.dueAtMs }));
    return { dueAtMs, marks };
  });

describe('behind the window', () => {
  it('is nobody late where nobody is', () => {
    expect(firstLateMark({ classIndexes: null, behind: [] }, 0, 0, () => 1e9)).toBe(-1);
    expect(firstLateMark({ classIndexes: null }, 0, 0, () => 1e9)).toBe(-1);
    expect(rateAskedBehind({ classIndexes: null }, 0)).toBe(0);
  });

  it('is the first mark late whose turn comes after its deadline: the 300th after 300 · 10 ms', () => {
    const behind = [
      { place: 299, dueAtMs: 3000 },
      { place: 399, dueAtMs: 3999 },
    ];
    expect(firstLateMark({ classIndexes: null, behind }, 0, 0, () => 10)).toBe(399);
    expect(firstLateMark({ classIndexes: null, behind }, 0, 1, () => 10)).toBe(299);
    // Without the first it is in time.
    expect(firstLateMark({ classIndexes: null, behind }, 1, 0, () => 10)).toBe(-1);
  });

  it('takes those behind to be of the mix of the window: (3 · 10 + 1 · 50) / 4 = 20 ms', () => {
    const msEachOf = (classIndex: number): number => [10, 50][classIndex]!;
    const late = (dueAtMs: number): number =>
      firstLateMark({ classIndexes: [0, 1, 0, 0], behind: [{ place: 299, dueAtMs }] }, 0, 0, msEachOf);
    expect([late(6000), late(5999)]).toEqual([-1, 299]);
  });

  it('knows the rate that is asked for to the spacing of the marks, and never overstates it', () => {
    fc.assert(
      fc.property(anyQueue, ({ dueAtMs, marks }) => {
        const asked = Math.max(...dueAtMs.slice(WINDOW_SIZE).map((due, index) => (WINDOW_SIZE + index + 1) / due));
        const seen = rateAskedBehind({ classIndexes: null, behind: marks }, 0);
        expect(seen).toBeLessThanOrEqual(asked);
        expect(seen * (1 + MARK_SPACING)).toBeGreaterThanOrEqual(asked);
      }),
    );
  });

  it('calls nobody late who is not, and misses nobody who is late by more than the spacing', () => {
    fc.assert(
      fc.property(anyQueue, fc.double({ min: 0.1, max: 30, noNaN: true }), ({ dueAtMs, marks }, msEach) => {
        const isLate = (factor: number): boolean =>
          dueAtMs.some((due, place) => place >= WINDOW_SIZE && (place + 1) * msEach > due * factor);
        const late = firstLateMark({ classIndexes: null, behind: marks }, 0, 0, () => msEach);
        if (late !== -1) expect((late + 1) * msEach).toBeGreaterThan(dueAtMs[late]!);
        else expect(isLate(1 + MARK_SPACING)).toBe(false);
      }),
    );
  });
});
