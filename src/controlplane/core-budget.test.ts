import { describe, expect, it } from 'vitest';
import { CoreBudget, type BudgetHolder, type BudgetMember } from './core-budget.js';

/** A member that claims nothing. */
function memberOf(...holders: readonly BudgetHolder[]): BudgetMember {
  return {
    holders,
    claim: { neededMillicores: 0, wantedMillicores: 0, dueAtMs: Infinity },
    nextFreeAtMs: Infinity,
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
});
