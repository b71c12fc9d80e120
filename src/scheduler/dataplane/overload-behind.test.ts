import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MARK_SPACING, WINDOW_SIZE } from '../domain/queue-snapshot.js';
import { EdfQueue } from './edf-queue.js';
import { excessBehind } from './overload-behind.js';

/** The fewest that are late of single runs of so long: Moore and Hodgson (1968); where all cost the same anyone may go. */
function fewestLate(dueAtMs: readonly number[], msEach: number): number {
  let served = 0;
  for (const due of dueAtMs) if ((served + 1) * msEach <= due) served += 1;
  return dueAtMs.length - served;
}

describe('excessBehind', () => {
  it('counts what is beyond room: by 3000 ms 300 are served, by 4000 ms 400', () => {
    const marks = [
      { place: 309, dueAtMs: 3000 },
      { place: 399, dueAtMs: 4000 },
      { place: 419, dueAtMs: 4000 },
    ];
    // Ten of the first 310; then there is room for all of 400; of 420 there are twenty too many, ten of which are gone.
    expect(excessBehind(marks, 0, 10)).toEqual([
      { place: 309, count: 10 },
      { place: 419, count: 10 },
    ]);
  });

  it('is nobody where there is room, and everybody who is overdue', () => {
    expect(excessBehind([{ place: 299, dueAtMs: 3000 }], 0, 10)).toEqual([]);
    expect(excessBehind([], 0, 10)).toEqual([]);
    expect(excessBehind([{ place: 299, dueAtMs: 3000 }], 4000, 10)).toEqual([{ place: 299, count: 300 }]);
  });

  it('gives up no more than have to be, for any queue, and nearly all of those', () => {
    const anyQueue = fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: WINDOW_SIZE + 1, maxLength: 1500 });
    fc.assert(
      fc.property(anyQueue, fc.integer({ min: 1, max: 40 }), (budgets, msEach) => {
        const dueAtMs = budgets.sort((a, b) => a - b);
        const queue = new EdfQueue();
        dueAtMs.forEach((due, sequence) => queue.push({ dueAtMs: due, priority: 0, sequence, byteCount: 1 }));
        const marks = queue
          .marksFrom(WINDOW_SIZE, MARK_SPACING)
          .map(({ place, item }) => ({ place, dueAtMs: item.dueAtMs }));
        const counted = excessBehind(marks, 0, msEach).reduce((sum, { count }) => sum + count, 0);
        const fewest = fewestLate(dueAtMs, msEach);
        expect(counted).toBeLessThanOrEqual(fewest);
        // What it misses is found in the window, and between two marks.
        expect(counted).toBeGreaterThanOrEqual(fewest - WINDOW_SIZE - MARK_SPACING * dueAtMs.length);
      }),
    );
  });
});
