/* Plans of the joint planner, and what they say of themselves. */
import type { FeasiblePlan, InfeasiblePlan, Plan } from '../domain/plan.js';
import type { StartChoice } from './instance-choice.js';
import { withStart, type Start } from './instance-plan.js';
import { explain } from './plan-reasons.js';
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
  const reason = explain(view, choice, queue.indexes);
  const start = { instance, cpuMillicores };
  if (count === view.instances.length) return feasible(view, start, batchSize, reason);
  const boundBy = `${reason}; ${fewerText(view, count)}`;
  return { ...feasible(view, start, batchSize, boundBy), usedAtOnce: count };
}

/** Why not all instances are used. */
function fewerText({ instances, interference }: PlannerView, count: number): string {
  const percent = (100 * interference).toFixed(0);
  return `${count} of ${instances.length} instances, as busy neighbours slow a batch down by up to ${percent} %`;
}

export function feasible(view: PlannerView, start: Start | null, batchSize: number, boundBy: string): FeasiblePlan {
  const { instances, cpuMillicores, allocations } = withStart(view, start);
  return { kind: 'feasible', instances, cpuMillicores, allocations, batchSize, boundBy };
}

export function infeasible({ snapshot }: PlannerView): Pick<InfeasiblePlan, 'kind' | 'reason' | 'batchSize'> {
  return { kind: 'infeasible', reason: 'deadlines', batchSize: snapshot.maxBatchSize };
}

/** What a plan without a start says of it. */
export function waitingForCores(view: PlannerView): string {
  return coresAtMs(view) === null ? 'its running batches have the cores' : 'other models have the cores';
}

/** When cores are expected to come free that other models have; null where nobody shares. */
export function coresAtMs({ coresFreeAtMs }: PlannerView): number | null {
  return coresFreeAtMs < Infinity ? coresFreeAtMs : null;
}
