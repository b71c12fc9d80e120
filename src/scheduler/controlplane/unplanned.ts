/*
 * What no planner knows of: a model that nobody has measured, requests that wait behind all others, and one that is to be tried on all
 * there is.
 */
import type { Plan } from '../domain/plan.js';
import { freeInstance, startableMillicores, withStart } from './instance-plan.js';
import type { PlanDecision, PlannerView } from './planner.js';

/** On this much, at least, requests run that nobody waits for by a deadline. */
const SET_ASIDE_MILLICORES = 1000;

/**
 * Until anything was measured: the largest allocation, one at a time.
 * @param areApart each instance has an allocation of its own
 */
export function provisionalPlan(view: PlannerView, areApart: boolean): PlanDecision {
  const rest = { kind: 'feasible', batchSize: 1, boundBy: { kind: 'no-profile' } } as const;
  const { minMillicores, maxMillicores } = view.limits;
  if (!areApart) return { plan: { ...rest, instances: 1, cpuMillicores: maxMillicores }, unsalvageable: [] };
  const instance = freeInstance(view.instances);
  const isDue = view.snapshot.running.length === 0 && view.snapshot.work.length > 0;
  if (!isDue || instance === null) return { plan: { ...rest, ...withStart(view, null) }, unsalvageable: [] };
  const cpuMillicores = Math.min(maxMillicores, startableMillicores(view));
  const isStart = cpuMillicores >= minMillicores;
  return {
    plan: { ...rest, ...withStart(view, isStart ? { instance, cpuMillicores } : null) },
    unsalvageable: [],
    wantedMillicores: isStart ? 0 : minMillicores,
  };
}

export interface WithUnplanned {
  readonly plan: Plan;
  /** What there are no cores for now, as other models have them. */
  readonly wantedMillicores: number;
}

/** A plan, and on how much the next one starts that it does not know of. */
export function withUnplanned(
  plan: Plan,
  view: PlannerView,
  { areApart, isExploring }: { readonly areApart: boolean; readonly isExploring: boolean },
): WithUnplanned {
  const asPlanned = { plan, wantedMillicores: 0 };
  const { minMillicores, maxMillicores } = view.limits;
  const hasOnlySetAside = view.snapshot.setAsideCount > 0 && view.snapshot.work.length === 0;
  const isTrial = areApart && isExploring;
  if (!hasOnlySetAside && !isTrial) return asPlanned;
  const cpuMillicores = isTrial ? maxMillicores : Math.min(maxMillicores, SET_ASIDE_MILLICORES);
  if (plan.cpuMillicores >= cpuMillicores) return asPlanned;
  if (!areApart) return { plan: { ...plan, cpuMillicores }, wantedMillicores: 0 };
  const instance = freeInstance(view.instances);
  if (instance === null) return asPlanned;
  const startable = Math.min(cpuMillicores, startableMillicores(view));
  // Who does not say so gets none while others always have a use for them.
  if (startable < minMillicores) return { plan, wantedMillicores: minMillicores };
  return { plan: { ...plan, ...withStart(view, { instance, cpuMillicores: startable }) }, wantedMillicores: 0 };
}
