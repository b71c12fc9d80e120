import { describe, expect, it } from 'vitest';
import { CoreBudget, type BudgetHolder, type BudgetMember } from './core-budget.js';

/** A member that claims nothing. */
function memberOf(...holders: readonly BudgetHolder[]): BudgetMember {
  return {
    holders,
    claim: { neededMillicores: 0, wantedMillicores: 0, dueAtMs: Infinity },
    nextFreeAtMs: Infinity,
    lastBusyAtMs: -Infinity,
    restingMillicores: 0,
    startingMillicores: 0,
    release: () => undefined,
    retry: () => undefined,
  };
}

describe('a core budget', () => {
  const [a, b, c] = [{ heldMillicores: 1000 }, { heldMillicores: 2500 }, { heldMillicores: 100 }];

  function joined(totalMillicores: number): CoreBudget {
    const budget = new CoreBudget(totalMillicores);
    for (const holder of [a, b, c]) budget.join(memberOf(holder));
    return budget;
  }

  it('has room for a holder beside what the others hold, its own counted as free', () => {
    const budget = joined(4000);
    // 4000 − 2500 − 100, and 4000 − 1000 − 100
    expect(budget.roomFor(a)).toBe(1400);
    expect(budget.roomFor(b)).toBe(2900);
  });

  it('has room for one that has not joined where nobody holds it', () => {
    // 4000 − 1000 − 2500 − 100
    expect(joined(4000).roomFor({ heldMillicores: 0 })).toBe(400);
  });

  it('sees what a holder holds at the moment it is asked', () => {
    const changing = { heldMillicores: 500 };
    const budget = new CoreBudget(2000);
    budget.join(memberOf(changing));
    budget.join(memberOf(a));
    expect(budget.roomFor(a)).toBe(1500);
    changing.heldMillicores = 900;
    expect(budget.roomFor(a)).toBe(1100);
  });

  it('is kept up to the last millicore, and says by how much it is exceeded', () => {
    // 1000 + 2500 + 100 = 3600
    expect(() => joined(3600).assertKept()).not.toThrow();
    expect(() => joined(3599).assertKept()).toThrow('allocations of 3600 millicores exceed the budget of 3599');
  });

  it('counts on all but the floors of those that had something to do within ten seconds', () => {
    const budget = new CoreBudget(8000);
    const [own, busy, paused, resting] = [Infinity, Infinity, 50_001, 50_000].map((lastBusyAtMs) => ({
      ...memberOf(),
      lastBusyAtMs,
    }));
    for (const member of [own, busy, paused, resting]) budget.join(member!);
    // Floors of 8000 / 2 / 4 = 1000 each: of the busy one, and of the one that was busy 9.999 s ago.
    expect(budget.reachOf(own!, 60_000)).toBe(8000 - 1000 - 1000);
  });

  it('lets one that takes the place of another have its floor, where both would not fit', () => {
    const budget = new CoreBudget(8000);
    const [own, old, successor] = [memberOf(), ...[1, 2].map(() => ({ ...memberOf(), lastBusyAtMs: Infinity }))];
    budget.join(own, 0.2);
    budget.join(old!, 0.8);
    expect(() => budget.join(successor!, 0.8)).toThrow('do not fit together');
    budget.join(successor!, 0);
    expect(budget.reachOf(own, 0)).toBe(8000 - 6400);
    budget.setFloor(old!, 0);
    budget.setFloor(successor!, 0.8);
    expect(budget.reachOf(own, 0)).toBe(8000 - 6400);
    budget.leave(old!);
    expect(budget.reachOf(own, 0)).toBe(8000 - 6400);
  });

  it('is contended for whoever is beside one that waits for cores, or that is being loaded', () => {
    const budget = new CoreBudget(8000);
    const own = memberOf();
    const starting = { ...memberOf(), startingMillicores: 0 };
    budget.join(own);
    budget.join(starting);
    expect(budget.isContendedBeside(own)).toBe(false);
    starting.startingMillicores = 1000;
    expect([own, starting].map((member) => budget.isContendedBeside(member))).toEqual([true, false]);
    budget.join({ ...memberOf(), claim: { neededMillicores: 0, wantedMillicores: 100, dueAtMs: 1 } });
    expect(budget.isContendedBeside(starting)).toBe(true);
  });

  it('gives what a member held that leaves to those that wait, and its floor to the others', () => {
    const budget = new CoreBudget(8000);
    const retried: string[] = [];
    const waiting = {
      ...memberOf(),
      claim: { neededMillicores: 0, wantedMillicores: 500, dueAtMs: 1 },
      retry: () => void retried.push('waiting'),
    };
    const [leaving, other] = [memberOf({ heldMillicores: 8000 }), { ...memberOf(), lastBusyAtMs: Infinity }];
    for (const member of [waiting, leaving, other]) budget.join(member);
    expect(budget.roomFor({ heldMillicores: 0 })).toBe(0);
    budget.leave(leaving);
    expect(retried).toEqual(['waiting']);
    expect(budget.roomFor({ heldMillicores: 0 })).toBe(8000);
    // Of two left each has a floor of 8000 / 2 / 2.
    expect(budget.reachOf(waiting, 0)).toBe(8000 - 2000);
  });
});
