import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SharedLimit } from '../edge/shared-limit.js';
import { clearCells, createCells, ThreadLimit } from './thread-limit.js';

const CLIENTS = ['10.0.0.1', '10.0.0.2', 'token phone'] as const;

function threadsOf(count: number, limit: { most: number; clientFraction: number; unit?: number }): ThreadLimit[] {
  const cells = createCells(count, 12_345);
  return Array.from({ length: count }, (_, thread) => new ThreadLimit(cells, thread, { unit: 1, ...limit }));
}

/** Somebody takes at some thread, or what was taken i-th is given back. */
const step = fc.oneof(
  fc.record({
    thread: fc.nat({ max: 2 }),
    client: fc.constantFrom(...CLIENTS),
    amount: fc.integer({ min: 1, max: 40 }),
  }),
  fc.record({ give: fc.nat({ max: 50 }) }),
);

describe('a limit of several threads', () => {
  it('lets in what one thread would, where they take one after the other', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const limit = { most: 100, clientFraction: 0.6 };
        const one = new SharedLimit(limit.most, limit.clientFraction);
        const threads = threadsOf(3, limit);
        const taken: { thread: number; client: string; amount: number }[] = [];
        for (const each of steps) {
          if ('give' in each) {
            const [given] = taken.splice(each.give, 1);
            if (given === undefined) continue;
            one.give(given.client, given.amount);
            threads[given.thread]!.give(given.client, given.amount);
            continue;
          }
          const claim = threads[each.thread]!.take(each.client, each.amount);
          expect(claim).toBe(one.take(each.client, each.amount));
          if (claim === 'granted') taken.push(each);
          expect(threads.map(({ held }) => held)).toEqual([one.held, one.held, one.held]);
        }
      }),
    );
  });

  it('never lets in more than there is where others know in whole units what each holds', () => {
    const [first, second] = threadsOf(2, { most: 10_000, clientFraction: 1, unit: 1024 });
    // All to the byte, as long as the others hold nothing.
    expect(first!.take('a', 10_000)).toBe('granted');
    first!.give('a', 4_000);
    // 6000 bytes are told as 6 units, 6144.
    expect(second!.take('b', 3_857)).toBe('full');
    expect(second!.take('b', 3_856)).toBe('granted');
    expect(first!.take('a', 1)).toBe('full');
  });

  it('takes over what somebody else holds, whatever is left', () => {
    const [first, second] = threadsOf(2, { most: 10, clientFraction: 0.5 });
    expect(first!.take('a', 5)).toBe('granted');
    first!.takeOver('a', 5);
    expect(second!.take('b', 1)).toBe('full');
    first!.give('a', 5);
    expect(second!.take('a', 1)).toBe('client-full');
    expect(second!.take('b', 5)).toBe('granted');
  });

  it('forgets what a thread held that is gone', () => {
    const cells = createCells(2, 7);
    const limit = { most: 4, clientFraction: 1, unit: 1 };
    const gone = new ThreadLimit(cells, 0, limit);
    const other = new ThreadLimit(cells, 1, limit);
    expect([gone.take('a', 3), other.take('a', 2)]).toEqual(['granted', 'full']);
    clearCells(cells, 0);
    expect(other.take('a', 4)).toBe('granted');
    expect(new ThreadLimit(cells, 0, limit).take('a', 1)).toBe('full');
  });

  it('tells who gives back more than he holds', () => {
    const [first] = threadsOf(1, { most: 4, clientFraction: 1 });
    expect(() => first!.give('a', 1)).toThrow('a gives back 1 more than it holds');
  });
});
