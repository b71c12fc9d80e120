import { describe, expect, it } from 'vitest';
import { comesBefore, shareMillicores, type CoreClaim } from './core-claims.js';

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
