import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PLACE_ALIGNMENT, PlaceTable, type Place } from './place-table.js';

const ARENA_BYTES = 64 * PLACE_ALIGNMENT;

/** Takes so many bytes, or frees the i-th of what is taken. */
const step = fc.oneof(
  fc.record({ take: fc.integer({ min: 0, max: ARENA_BYTES + 1 }) }),
  fc.record({ free: fc.nat({ max: 50 }) }),
);

describe('places of an arena', () => {
  it('never overlap, lie within it, and are all free in the end', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const table = new PlaceTable(ARENA_BYTES);
        const taken: Place[] = [];
        for (const each of steps) {
          if ('free' in each) {
            const [place] = taken.splice(each.free, 1);
            if (place !== undefined) expect(table.release(place.id)).toBe(true);
            continue;
          }
          const place = table.take(each.take);
          if (place === null) continue;
          expect(place.byteCount).toBeGreaterThanOrEqual(each.take);
          expect(place.offset + place.byteCount).toBeLessThanOrEqual(ARENA_BYTES);
          for (const other of taken) {
            const isApart =
              place.offset + place.byteCount <= other.offset || other.offset + other.byteCount <= place.offset;
            expect(isApart).toBe(true);
          }
          taken.push(place);
        }
        const gapBytes = table.gaps().reduce((sum, { start, end }) => sum + end - start, 0);
        expect(gapBytes + taken.reduce((sum, { byteCount }) => sum + byteCount, 0)).toBe(ARENA_BYTES);
        for (const { id } of taken) table.release(id);
        expect(table.gaps()).toEqual([{ start: 0, end: ARENA_BYTES }]);
        expect(table.take(ARENA_BYTES)).toMatchObject({ offset: 0, byteCount: ARENA_BYTES });
      }),
    );
  });

  it('are the lowest that are free', () => {
    const table = new PlaceTable(ARENA_BYTES);
    const [first, second] = [table.take(100), table.take(64), table.take(1)];
    expect(second!.offset).toBe(128);
    table.release(first!.id);
    // 128 bytes are free in front: not enough for 129.
    expect(table.take(129)!.offset).toBe(256);
    expect(table.take(128)!.offset).toBe(0);
  });

  it('are named by what is never used again', () => {
    const table = new PlaceTable(ARENA_BYTES);
    const { id } = table.take(64)!;
    expect(table.release(id)).toBe(true);
    table.take(64);
    expect(table.release(id)).toBe(false);
    expect(table.takenCount).toBe(1);
  });

  it('are found by any of their bytes, and by no other', () => {
    const table = new PlaceTable(ARENA_BYTES);
    const places = [table.take(64)!, table.take(200)!, table.take(64)!];
    table.release(places[1]!.id);
    const found = [0, 63, 64, 319, 320, 383, 384].map((offset) => table.placeAt(offset)?.id ?? null);
    const [first, , third] = places.map(({ id }) => id);
    expect(found).toEqual([first, first, null, null, third, third, null]);
  });
});
