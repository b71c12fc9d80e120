import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecentlyUsed } from './recently-used.js';

describe('a map of what was used recently', () => {
  it('gives up the one that was not used for longest, as a list in order of use would', () => {
    const use = fc.tuple(fc.constantFrom('get', 'set'), fc.nat(9));
    fc.assert(
      fc.property(fc.array(use, { maxLength: 100 }), fc.integer({ min: 1, max: 5 }), (uses, capacity) => {
        const dropped: number[] = [];
        const map = new RecentlyUsed<number, number>(capacity, (value) => dropped.push(value));
        let inOrder: number[] = [];
        const expectedDropped: number[] = [];
        for (const [kind, key] of uses) {
          if (kind === 'set') map.set(key, key);
          else expect(map.get(key)).toBe(inOrder.includes(key) ? key : undefined);
          if (kind === 'get' && !inOrder.includes(key)) continue;
          inOrder = [...inOrder.filter((each) => each !== key), key];
          if (inOrder.length > capacity) expectedDropped.push(inOrder.shift()!);
        }
        expect([...map.values()]).toEqual(inOrder);
        expect(dropped).toEqual(expectedDropped);
      }),
    );
  });
});
