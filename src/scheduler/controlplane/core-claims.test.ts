import { describe, expect, it } from 'vitest';
import { comesBefore, floorsMillicores, shareMillicores, type CoreClaim } from './core-claims.js';

function aClaim(fields: Partial<CoreClaim> = {}): CoreClaim {
  return { neededMillicores: 0, floorMillicores: 0, wantedMillicores: 0, dueAtMs: Infinity, ...fields };
}

describe('who comes first for cores', () => {
  it('is who has less than its floor, however late its requests are due', () => {
    const below = aClaim({ neededMillicores: 900, floorMillicores: 1000, dueAtMs: 500 });
    const urgent = aClaim({ neededMillicores: 1000, floorMillicores: 1000, dueAtMs: 10 });
    expect(comesBefore(below, urgent)).toBe(true);
    expect(comesBefore(urgent, below)).toBe(false);
  });

  it('is, of two that are alike in that, the one whose first request is due first', () => {
    const soon = aClaim({ dueAtMs: 10 });
    const later = aClaim({ dueAtMs: 500 });
    expect([comesBefore(soon, later), comesBefore(later, soon)]).toEqual([true, false]);
    // Nobody of two that are due together: the order in which they ask decides.
    expect(comesBefore(soon, { ...soon })).toBe(false);
  });

  it('is a start that has waited for long enough, before anybody is brought to its floor', () => {
    const below = aClaim({ floorMillicores: 1000, dueAtMs: 10 });
    const start = aClaim({ dueAtMs: 500 });
    expect(comesBefore(start, below)).toBe(false);
    const overdue = { ...start, isOverdueStart: true };
    expect([comesBefore(overdue, below), comesBefore(below, overdue)]).toEqual([true, false]);
    expect(comesBefore({ ...overdue, dueAtMs: 400 }, overdue)).toBe(true);
  });
});

describe('what a model may have', () => {
  const running = aClaim({ neededMillicores: 3000, dueAtMs: 50 });

  it('is all that the others do not need', () => {
    expect(shareMillicores(aClaim(), [running, aClaim({ neededMillicores: 200 })], 8000)).toBe(4800);
    expect(shareMillicores(aClaim(), [], 8000)).toBe(8000);
  });

  it('leaves to those who come first what they wait for, and to nobody else', () => {
    const waiting = { ...running, wantedMillicores: 1000 };
    expect(shareMillicores(aClaim({ dueAtMs: 60 }), [waiting], 8000)).toBe(4000);
    expect(shareMillicores(aClaim({ dueAtMs: 40 }), [waiting], 8000)).toBe(5000);
    expect(shareMillicores(aClaim({ dueAtMs: 60, floorMillicores: 1 }), [waiting], 8000)).toBe(5000);
  });

  it('is less than it needs already where those who come first wait for more than is left: it starts nothing', () => {
    const own = aClaim({ neededMillicores: 4500, dueAtMs: 60 });
    expect(shareMillicores(own, [{ ...running, wantedMillicores: 1000 }], 8000)).toBe(4000);
  });
});

describe('floors of models', () => {
  it('are equal shares of half of the cores unless they are given', () => {
    expect(floorsMillicores([undefined, undefined, undefined, undefined], 8000)).toEqual([1000, 1000, 1000, 1000]);
    expect(floorsMillicores([0.25, undefined], 8000)).toEqual([2000, 2000]);
  });

  it('leave out who asks for none', () => {
    // half of 8000 for the other two
    expect(floorsMillicores([0, undefined, undefined], 8000)).toEqual([0, 2000, 2000]);
  });

  it('are refused where they do not fit together', () => {
    expect(() => floorsMillicores([0.7, 0.4], 8000)).toThrow('0.7, 0.4');
    expect(() => floorsMillicores([-0.1], 8000)).toThrow('do not fit together');
  });
});
