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

export function explain(view: PlannerView, { boundBy }: BatchChoice, indexes: readonly number[] | null): string {
  const { snapshot, forecast } = view;
  switch (boundBy) {
    case 'price':
      return `arrival rate ${forecast.steadyRatePerSec.toFixed(1)}/s`;
    case 'forecast':
      return `${forecast.expectedRatePerSec.toFixed(1)} arrivals/s expected`;
    case 'loss':
      return 'tight budgets that may arrive';
    default: {
      const place = boundBy.deadlineOf;
      const withoutCount = indexes === null ? 0 : snapshot.work.length - indexes.length;
      return deadlineReason(view, indexes?.[place] ?? place + withoutCount);
    }
  }
}

/** @param place in the window, or of a mark behind it */
export function deadlineReason({ snapshot, nowMs }: PlannerView, place: number): string {
  const { work, sequences, behind } = snapshot;
  const isInWindow = place < work.length;
  const dueAtMs = isInWindow ? work[place]!.dueAtMs : behind.find((mark) => mark.place === place)!.dueAtMs;
  const who = isInWindow ? `request ${sequences[place]!}` : `the ${place + 1}th that waits`;
  return `deadline of ${who} in ${(dueAtMs - nowMs).toFixed(0)} ms`;
}
