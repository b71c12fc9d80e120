import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../clock/virtual-clock.js';
import { MOST_AT_ONCE, Pieces } from './pieces.js';

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('pieces', () => {
  it('of many are done in order, the first of them at once and the rest in later turns', () => {
    const clock = new VirtualClock();
    const done: number[] = [];
    const turns: number[] = [];
    const pieces = new Pieces<number>(clock, (item) => done.push(item));
    pieces.begin(upTo(2 * MOST_AT_ONCE + 1));
    turns.push(done.length);
    while (clock.pendingCount > 0) {
      clock.advanceTo(clock.nowMs());
      turns.push(done.length);
    }
    expect(turns.at(0)).toBe(MOST_AT_ONCE);
    expect(done).toEqual(upTo(2 * MOST_AT_ONCE + 1));
  });

  it('that are dropped, also from inside, are not done, and leave no timer', () => {
    const clock = new VirtualClock();
    const done: number[] = [];
    const pieces = new Pieces<number>(clock, (item) => {
      done.push(item);
      if (item === 3) pieces.drop();
    });
    pieces.begin(upTo(1000));
    expect(done).toEqual([0, 1, 2, 3]);
    expect(clock.pendingCount).toBe(0);
  });

  it('of a new list replace those of the old one', () => {
    const clock = new VirtualClock();
    const done: string[] = [];
    const pieces = new Pieces<string>(clock, (item) => done.push(item));
    pieces.begin(upTo(MOST_AT_ONCE + 1).map((index) => `old ${index}`));
    pieces.begin(['new']);
    clock.advanceTo(1);
    expect(done).toHaveLength(MOST_AT_ONCE + 1);
    expect(done.at(-1)).toBe('new');
  });
});
