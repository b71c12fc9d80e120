import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EdfQueue, type Queueable } from './edf-queue.js';

function request(sequence: number, dueAtMs: number, priority = 0, byteCount = 1): Queueable {
  return { sequence, dueAtMs, priority, byteCount };
}

/** Written out apart from the queue's own comparison. */
function sorted(items: readonly Queueable[]): Queueable[] {
  return [...items].sort((a, b) => a.dueAtMs - b.dueAtMs || a.priority - b.priority || a.sequence - b.sequence);
}

function queueOf(items: readonly Queueable[]): EdfQueue<Queueable> {
  const queue = new EdfQueue<Queueable>();
  for (const item of items) queue.push(item);
  return queue;
}

function drain(queue: EdfQueue<Queueable>): Queueable[] {
  const drained: Queueable[] = [];
  for (let item = queue.pop(); item !== undefined; item = queue.pop()) drained.push(item);
  return drained;
}

describe('EdfQueue', () => {
  it('lets a later arrival with a tighter deadline overtake', () => {
    const queue = queueOf([request(1, 100), request(2, 40)]);
    expect(queue.peek()?.sequence).toBe(2);
    expect(drain(queue).map(({ sequence }) => sequence)).toEqual([2, 1]);
  });

  it('orders equal deadlines by priority, lower number first, and equal priorities by arrival', () => {
    const queue = queueOf([request(1, 50, 2), request(2, 50, 1), request(3, 50, 2), request(4, 50, 1)]);
    expect(drain(queue).map(({ sequence }) => sequence)).toEqual([2, 4, 1, 3]);
  });

  it('takes deadlines at infinity, in arrival order', () => {
    const queue = queueOf([request(1, Infinity), request(2, Infinity), request(3, 0), request(4, -Infinity)]);
    expect(drain(queue).map(({ sequence }) => sequence)).toEqual([4, 3, 1, 2]);
  });

  it('answers an empty queue with nothing', () => {
    const queue = new EdfQueue<Queueable>();
    expect(queue.peek()).toBeUndefined();
    expect(queue.pop()).toBeUndefined();
    expect(queue.remove(request(7, 1))).toBe(false);
    expect(queue.firstInOrder(3)).toEqual([]);
    expect(queue.toSortedArray()).toEqual([]);
  });

  it('gives none of the first zero, and all where there are fewer than asked', () => {
    const queue = queueOf([request(1, 5), request(2, 3)]);
    expect(queue.firstInOrder(0)).toEqual([]);
    expect(queue.firstInOrder(9).map(({ sequence }) => sequence)).toEqual([2, 1]);
    expect(queue.size).toBe(2);
  });

  it('counts the bytes it holds: 10 + 20 + 30, then without the 20', () => {
    const queue = queueOf([request(1, 1, 0, 10), request(2, 2, 0, 20), request(3, 3, 0, 30)]);
    expect(queue.totalBytes).toBe(60);
    queue.remove(request(2, 2, 0, 20));
    expect(queue.totalBytes).toBe(40);
    drain(queue);
    expect(queue.totalBytes).toBe(0);
  });

  it('stops where an invariant is broken: a member twice, no deadline', () => {
    const queue = queueOf([request(1, 1), request(2, 2)]);
    expect(() => queue.push(request(1, 1))).toThrow('request 1 is queued already');
    expect(() => queue.push(request(3, NaN))).toThrow('request 3 has no deadline');
  });
});

/** Few distinct deadlines and priorities, so that ties are common. */
const anyItem = fc.record({ dueAtMs: fc.integer({ min: 0, max: 12 }), priority: fc.integer({ min: 0, max: 2 }) });
const anyItems = fc
  .array(anyItem, { maxLength: 400 })
  .map((items) => items.map(({ dueAtMs, priority }, sequence) => request(sequence, dueAtMs, priority)));

describe('EdfQueue, for any content', () => {
  it('pops what was pushed once, in order', () => {
    fc.assert(
      fc.property(anyItems, (items) => {
        expect(drain(queueOf(items))).toEqual(sorted(items));
      }),
    );
  });

  it('walks its first k in the order it would pop them, and stays as it is', () => {
    fc.assert(
      fc.property(anyItems, fc.nat(410), (items, count) => {
        const queue = queueOf(items);
        expect(queue.firstInOrder(count)).toEqual(sorted(items).slice(0, count));
        expect(queue.toSortedArray()).toEqual(sorted(items));
        expect(drain(queue)).toEqual(sorted(items));
      }),
    );
  });

  it('marks places from one on, each at most an eighth behind the one before, and the last', () => {
    fc.assert(
      fc.property(anyItems, fc.nat(420), (items, first) => {
        const marks = queueOf(items).marksFrom(first, 1 / 8);
        const places = marks.map(({ place }) => place);
        expect(marks.map(({ item }) => item)).toEqual(places.map((place) => sorted(items)[place]));
        if (first >= items.length) expect(places).toEqual([]);
        else expect([places[0], places.at(-1)]).toEqual([first, items.length - 1]);
        places.slice(1).forEach((place, index) => {
          const before = places[index]!;
          expect(place).toBeGreaterThan(before);
          expect(place).toBeLessThanOrEqual(Math.max(before + 1, before * (1 + 1 / 8)));
        });
      }),
    );
  });

  it('walks what is between two places', () => {
    fc.assert(
      fc.property(anyItems, fc.nat(410), fc.nat(410), (items, first, end) => {
        expect(queueOf(items).between(first, end)).toEqual(sorted(items).slice(first, end));
      }),
    );
  });
});

/** The model: an array sorted anew at every look. */
class Model {
  readonly items: Queueable[] = [];
  readonly gone: Queueable[] = [];

  get nextSequence(): number {
    return this.items.length + this.gone.length;
  }

  leave(item: Queueable): void {
    this.items.splice(this.items.indexOf(item), 1);
    this.gone.push(item);
  }
}

type QueueCommand = fc.Command<Model, EdfQueue<Queueable>>;

function agree(model: Model, queue: EdfQueue<Queueable>): void {
  const expected = sorted(model.items);
  expect(queue.size).toBe(expected.length);
  expect(queue.totalBytes).toBe(expected.reduce((total, { byteCount }) => total + byteCount, 0));
  expect(queue.peek()).toEqual(expected[0]);
  expect(queue.toSortedArray()).toEqual(expected);
  for (const count of [0, 1, 30, 70, 200]) expect(queue.firstInOrder(count)).toEqual(expected.slice(0, count));
}

class Push implements QueueCommand {
  private readonly dueAtMs: number;
  private readonly priority: number;
  constructor(item: { dueAtMs: number; priority: number }) {
    this.dueAtMs = item.dueAtMs;
    this.priority = item.priority;
  }
  check = () => true;
  run(model: Model, queue: EdfQueue<Queueable>): void {
    const item = request(model.nextSequence, this.dueAtMs, this.priority, model.nextSequence * 3);
    model.items.push(item);
    queue.push(item);
    agree(model, queue);
  }
  toString = () => `push(${this.dueAtMs}, ${this.priority})`;
}

class Pop implements QueueCommand {
  check = () => true;
  run(model: Model, queue: EdfQueue<Queueable>): void {
    const expected = sorted(model.items)[0];
    if (expected !== undefined) model.leave(expected);
    expect(queue.pop()).toBe(expected);
    agree(model, queue);
  }
  toString = () => 'pop()';
}

class Remove implements QueueCommand {
  private readonly pick: number;
  constructor(pick: number) {
    this.pick = pick;
  }
  check = () => true;
  run(model: Model, queue: EdfQueue<Queueable>): void {
    const given = [...model.gone, ...model.items];
    const item = given[this.pick % Math.max(1, given.length)] ?? request(0, this.pick);
    const isQueued = model.items.includes(item);
    if (isQueued) model.leave(item);
    expect(queue.remove(item)).toBe(isQueued);
    agree(model, queue);
  }
  toString = () => `remove(#${this.pick})`;
}

describe('EdfQueue beside a sorted array', () => {
  it('agrees with it after any pushes, pops and removals', () => {
    const commands = fc.commands(
      [
        anyItem.map((item) => new Push(item)),
        anyItem.map((item) => new Push(item)),
        fc.constant(new Pop()),
        fc.nat(1000).map((pick) => new Remove(pick)),
      ],
      { maxCommands: 400 },
    );
    fc.assert(
      fc.property(commands, (sequence) => {
        fc.modelRun(() => ({ model: new Model(), real: new EdfQueue<Queueable>() }), sequence);
      }),
      { numRuns: 100 },
    );
  });
});
