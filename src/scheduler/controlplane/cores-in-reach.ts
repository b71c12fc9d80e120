import type { BudgetMember, CoreBudget } from './core-budget.js';
import type { PlannerView } from './planner.js';

interface CoresQuestion {
  /** That cannot be had for now, though they are in the budget. */
  readonly missingMillicores: number;
  /** Of those that wait. */
  readonly firstDueAtMs: number;
  readonly nowMs: number;
}

/** What of a budget of cores a model may plan with. @param own null: all of it is its own */
export function coresInReach(
  budget: CoreBudget,
  own: BudgetMember | null,
  { missingMillicores: missing, firstDueAtMs, nowMs }: CoresQuestion,
): Pick<PlannerView, 'budgetMillicores' | 'reachMillicores' | 'coresFreeAtMs' | 'isContended'> {
  if (own === null) {
    const total = budget.totalMillicores - missing;
    return { budgetMillicores: total, reachMillicores: total, coresFreeAtMs: Infinity, isContended: false };
  }
  return {
    budgetMillicores: budget.shareOf(own, firstDueAtMs) - missing,
    reachMillicores: budget.reachOf(own, nowMs) - missing,
    coresFreeAtMs: budget.freeAtMs(own, nowMs),
    isContended: budget.isContendedBeside(own),
  };
}
