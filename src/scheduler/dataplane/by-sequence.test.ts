import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BySequence } from './by-sequence.js';

it('holds what a map holds, however long its members stay and whatever sequences are left out', () => {
  const step = fc.record({
    kind: fc.constantFrom('add', 'add', 'add', 'delete', 'delete the last'),
    /** Sequences up to the next one; some jump right round the ring. */
    skipped: fc.constantFrom(1, 1, 1, 7, 1023, 1024, 2048),
    pick: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const members = new BySequence<{ readonly sequence: number }>();
      const expected = new Map<number, { readonly sequence: number }>();
      let sequence = 0;
      for (const { kind, skipped, pick } of steps) {
        const all = [...expected.values()];
        if (kind === 'add') {
          const member = { sequence: (sequence += skipped) };
          members.add(member);
          expected.set(sequence, member);
        } else if (all.length > 0) {
          const leaving = kind === 'delete' ? all[pick % all.length]! : all.at(-1)!;
          members.delete(leaving);
          expected.delete(leaving.sequence);
        }
        expect(members.size).toBe(expected.size);
        for (const asked of [sequence, sequence - 1024, pick % (sequence + 1)]) {
          expect(members.get(asked)).toBe(expected.get(asked));
        }
      }
      expect(members.toArray()).toEqual([...expected.values()]);
    }),
  );
});
