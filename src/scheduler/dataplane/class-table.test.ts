import { describe, expect, it } from 'vitest';
import { dueAt, TEN_MS_EACH } from '../../../test/simulation/fixed-latency.js';
import { shapeClass } from '../domain/request.js';
import { ClassTable } from './class-table.js';
import { HeldClasses } from './held-classes.js';
import type { QueueEntry } from './queue-entry.js';

/** Of each key, which no two share as an object, the class that stands for it. */
function entriesOf(classes: HeldClasses, keys: readonly string[]): QueueEntry[] {
  return keys.map((key, sequence) => {
    const own = shapeClass(Buffer.from(key).toString(), 1, [], 2);
    return { request: dueAt(sequence, 1), shapeClass: classes.hold(own), model: TEN_MS_EACH } as unknown as QueueEntry;
  });
}

describe('shape classes of a decision', () => {
  it('are numbered in the order met, however many there are', () => {
    for (const count of [1, 3, 8, 9, 40]) {
      const keys = Array.from({ length: 5 * count }, (_, index) => `class ${(index * index) % count}`);
      const table = new ClassTable();
      const indexes = entriesOf(new HeldClasses(), keys).map((entry) => table.indexOf(entry));
      const met = [...new Set(keys)];
      expect(indexes).toEqual(keys.map((key) => met.indexOf(key)));
      expect(table.classes.map(({ key }) => key)).toEqual(met.map((key) => `2 × ${key}`));
      expect([table.rowCounts.length, table.models.length]).toEqual([met.length, met.length]);
    }
  });
});

describe('classes that are held', () => {
  it('are one object each, as long as somebody is of them', () => {
    const classes = new HeldClasses();
    const [first, same, other] = ['a', 'a', 'b'].map((key) => shapeClass(key, 1));
    expect(classes.hold(first!)).toBe(first);
    expect(classes.hold(same!)).toBe(first);
    expect(classes.hold(other!)).toBe(other);
    classes.release(first!);
    expect(classes.hold(shapeClass('a', 1))).toBe(first);
  });

  it('are forgotten when nobody is of them any more, but for a few', () => {
    const classes = new HeldClasses();
    const held = Array.from({ length: 100 }, (_, index) => classes.hold(shapeClass(`class ${index}`, 1)));
    for (const each of held) classes.release(each);
    const again = held.map(({ key }) => shapeClass(key, 1)).filter((each) => classes.hold(each) !== each);
    expect(again).toHaveLength(64);
  });
});
