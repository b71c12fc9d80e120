/*
 * What our planners share beside the queue: the load that is asked for, and what bound a choice.
 */
import type { PlanBound } from '../domain/plan-bound.js';
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

export function boundOf(view: PlannerView, { boundBy }: BatchChoice, indexes: readonly number[] | null): PlanBound {
  const { snapshot, forecast } = view;
  switch (boundBy) {
    case 'price':
      return { kind: 'arrival-rate', ratePerSec: forecast.steadyRatePerSec };
    case 'forecast':
      return { kind: 'expected-arrivals', ratePerSec: forecast.expectedRatePerSec };
    case 'loss':
      return { kind: 'tight-budgets' };
    default: {
      const place = boundBy.deadlineOf;
      const withoutCount = indexes === null ? 0 : snapshot.work.length - indexes.length;
      return deadlineBound(view, indexes?.[place] ?? place + withoutCount);
    }
  }
}

/** Of an allocation that is held: it sustains the load of the moment at which a resize asked for now is in force. */
export function heldBound({ forecast, resizeDelayMs }: PlannerView): PlanBound {
  return { kind: 'arrival-rate', ratePerSec: forecast.steadyRatePerSec, aheadMs: resizeDelayMs };
}

/** @param place in the window, or of a mark behind it */
export function deadlineBound({ snapshot, nowMs }: PlannerView, place: number): PlanBound {
  const { work, sequences, behind } = snapshot;
  if (place < work.length) return { kind: 'deadline', sequence: sequences[place]!, inMs: work[place]!.dueAtMs - nowMs };
  const { dueAtMs } = behind.find((mark) => mark.place === place)!;
  return { kind: 'deadline-behind', place, inMs: dueAtMs - nowMs };
}
