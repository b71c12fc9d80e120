/*
 * What our planners share beside the queue: the load that is asked for, and what bound a choice, for people.
 */
import type { PlannerView } from './planner.js';
import type { BatchChoice, BatchQuestion, Pricing } from './pricing.js';

/** The question without a queue. */
export function loadOf(
  view: PlannerView,
  pricing: Pricing,
): Omit<BatchQuestion, 'models' | 'dueAtMs' | 'classIndexes'> {
  const { nowMs, snapshot, limits, forecast } = view;
  const { steadyRatePerSec, expectedRatePerSec, budgets } = forecast;
  const { maxBatchSize } = snapshot;
  return { nowMs, limits, maxBatchSize, steadyRatePerSec, expectedRatePerSec, budgets, pricing };
}

export function explain(
  { snapshot, nowMs, forecast }: PlannerView,
  { boundBy }: BatchChoice,
  indexes: readonly number[] | null,
): string {
  switch (boundBy) {
    case 'price':
      return `arrival rate ${forecast.steadyRatePerSec.toFixed(1)}/s`;
    case 'forecast':
      return `${forecast.expectedRatePerSec.toFixed(1)} arrivals/s expected`;
    case 'loss':
      return 'tight budgets that may arrive';
    default: {
      const index = indexes === null ? boundBy.deadlineOf : indexes[boundBy.deadlineOf]!;
      const leftMs = snapshot.work[index]!.dueAtMs - nowMs;
      return `deadline of request ${snapshot.sequences[index]!} in ${leftMs.toFixed(0)} ms`;
    }
  }
}
