/* Plans of the joint planner, and what bound them. */
import type { FeasiblePlan, InfeasiblePlan, Plan } from '../domain/plan.js';
import type { PlanBound } from '../domain/plan-bound.js';
import type { StartChoice } from './instance-choice.js';
import { withStart, type Start } from './instance-plan.js';
import { boundOf } from './plan-reasons.js';
import type { PlannedQueue } from './planned-queue.js';
import type { PlannerView } from './planner.js';

/** @param count instances that are used at once */
export function startPlan(
  view: PlannerView,
  count: number,
  instance: number,
  choice: StartChoice,
  queue: PlannedQueue,
): Plan {
  const { cpuMillicores, batchSize } = choice;
  const plan = feasible(view, { instance, cpuMillicores }, batchSize, boundOf(view, choice, queue.indexes));
  if (count === view.instances.length) return plan;
  return { ...plan, usedAtOnce: count, interference: view.interference };
}

export function feasible(view: PlannerView, start: Start | null, batchSize: number, boundBy: PlanBound): FeasiblePlan {
  const { instances, cpuMillicores, allocations } = withStart(view, start);
  return { kind: 'feasible', instances, cpuMillicores, allocations, batchSize, boundBy };
}

export function infeasible({ snapshot }: PlannerView): Pick<InfeasiblePlan, 'kind' | 'reason' | 'batchSize'> {
  return { kind: 'infeasible', reason: 'deadlines', batchSize: snapshot.maxBatchSize };
}

/** What a plan without a start says of it. */
export function waitingForCores(view: PlannerView): PlanBound {
  return { kind: coresAtMs(view) === null ? 'own-batches' : 'other-models' };
}

/** When cores are expected to come free that other models have; null where nobody shares. */
export function coresAtMs({ coresFreeAtMs }: PlannerView): number | null {
  return coresFreeAtMs < Infinity ? coresFreeAtMs : null;
}
