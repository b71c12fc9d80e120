import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SharedLimit } from './shared-limit.js';

describe('a limit that clients share', () => {
  it('leaves a part for others, whatever one takes', () => {
    const limit = new SharedLimit(8, 0.75);
    expect(limit.mostForOne).toBe(6);
    for (let count = 0; count < 6; count++) expect(limit.take('a', 1)).toBe('granted');
    expect(limit.take('a', 1)).toBe('client-full');
    expect(limit.take('b', 2)).toBe('granted');
    expect(limit.take('b', 1)).toBe('full');
    limit.give('a', 1);
    expect(limit.take('c', 1)).toBe('granted');
  });

  it('lets a small one be used at all, and one without parts be used up', () => {
    expect(new SharedLimit(1, 0.75).take('a', 1)).toBe('granted');
    expect(new SharedLimit(8, 1).take('a', 8)).toBe('granted');
  });

  it('keeps its promises when it is lowered: nothing new, and what is held comes back', () => {
    const limit = new SharedLimit(8, 1);
    limit.take('a', 5);
    limit.most = 4;
    expect(limit.take('b', 1)).toBe('full');
    limit.give('a', 2);
    expect(limit.take('b', 1)).toBe('granted');
  });

  it('never gives more than there is, and remembers nobody who holds nothing', () => {
    const moves = fc.array(
      fc.record({ client: fc.constantFrom('a', 'b', 'c'), amount: fc.integer({ min: 0, max: 9 }) }),
    );
    fc.assert(
      fc.property(
        moves,
        fc.integer({ min: 1, max: 20 }),
        fc.double({ min: 0.1, max: 1, noNaN: true }),
        (all, most, part) => {
          const limit = new SharedLimit(most, part);
          const held = new Map<string, number>();
          for (const { client, amount } of all) {
            if (limit.take(client, amount) === 'granted') held.set(client, (held.get(client) ?? 0) + amount);
            const sum = [...held.values()].reduce((total, each) => total + each, 0);
            expect(limit.held).toBe(sum);
            expect(sum).toBeLessThanOrEqual(most);
            expect(Math.max(0, ...held.values())).toBeLessThanOrEqual(limit.mostForOne);
          }
          for (const [client, amount] of held) limit.give(client, amount);
          expect(limit.held).toBe(0);
          expect(() => limit.give('a', 1)).toThrow('more than it holds');
        },
      ),
    );
  });
});
