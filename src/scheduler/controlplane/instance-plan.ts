/*
 * Plans of instances that have an allocation each: those that run keep what they have, at most one of the others starts, the
 * rest hold nothing but the idle floor.
 */
import type { Plan } from '../domain/plan.js';
import type { InstanceView, PlannerView } from './planner.js';

export interface Start {
  readonly instance: number;
  readonly cpuMillicores: number;
}

type InstancesView = Pick<PlannerView, 'instances' | 'budgetMillicores' | 'restingMillicores'>;

/** The free instance that has most already, so that the least is to be resized; null where there is none. */
export function freeInstance(instances: readonly InstanceView[]): number | null {
  let best: number | null = null;
  instances.forEach(({ isRunning, isAway, requestedMillicores }, index) => {
    if (!isRunning && !isAway && (best === null || requestedMillicores > instances[best]!.requestedMillicores))
      best = index;
  });
  return best;
}

/** What one that starts may have: the budget without what those have that run or are started, and the floors of the others that rest. */
export function startableMillicores({ instances, budgetMillicores, restingMillicores }: InstancesView): number {
  let left = budgetMillicores + restingMillicores;
  for (const { isRunning, isAway, requestedMillicores } of instances)
    left -= isRunning || isAway ? requestedMillicores : restingMillicores;
  return left;
}

/** Who has what, where this one starts, or none does. */
export function withStart(
  { instances }: InstancesView,
  start: Start | null,
): Pick<Plan, 'instances' | 'cpuMillicores'> & { readonly allocations: readonly number[] } {
  const allocations = instances.map(({ isRunning, requestedMillicores }) => (isRunning ? requestedMillicores : 0));
  if (start !== null) allocations[start.instance] = start.cpuMillicores;
  return { instances: instances.length, cpuMillicores: start?.cpuMillicores ?? 0, allocations };
}
