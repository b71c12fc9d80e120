import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SlidingWindow } from './sliding-window.js';

describe('a sliding window', () => {
  it('has the order statistics of the last values pushed', () => {
    // Few distinct values, so that equal ones come and go too.
    const values = fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 9 }), (pushed, capacity) => {
        const window = new SlidingWindow(capacity, []);
        pushed.forEach((value, i) => {
          window.push(value);
          const expected = pushed.slice(Math.max(0, i + 1 - capacity), i + 1).sort((a, b) => b - a);
          expected.forEach((each, rank) => expect(window.largest(rank + 1)).toBe(each));
          const [low, high] = [expected[expected.length >> 1]!, expected[(expected.length - 1) >> 1]!];
          expect(window.median()).toBe((low + high) / 2);
        });
      }),
    );
  });
});
