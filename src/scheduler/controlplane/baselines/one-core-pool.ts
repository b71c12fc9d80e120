/*
 * Horizontal scaling alone: warm instances of one core, each of which takes the most urgent request as soon as it is free, one at a time,
 * and rests otherwise. Nothing is priced, batched or waited for, and who is lost is only known when it can no longer be met.
 *
 * `tightHeads`: a request that one core cannot answer in time any more is started on the least that can, or on what is there. Kinder than
 * one core for all, and unstable where instances are few: whoever starts late takes many cores, and the next one starts later.
 */
import type { PlanBound } from '../../domain/plan-bound.js';
import { waitingForCores } from '../joint-plans.js';
import { freeInstance, startableMillicores, withStart } from '../instance-plan.js';
import type { Planner, PlannerView } from '../planner.js';
import { busyUntilMs, unsalvageableOf } from '../planned-queue.js';
import { allocationLevels } from '../time-price.js';

/** Where cores are short or all run: who can no longer be met is looked for so often, if nothing happens. */
const CHECK_MS = 20;

export function oneCorePool(tightHeads: boolean): Planner {
  return {
    name: 'one-core-pool',
    tickMs: 500,
    isEventDriven: true,
    appliesAtOnce: false,
    plansInstances: true,
    plan: (view) => {
      const instance = freeInstance(view.instances);
      const unsalvageable = unsalvageableOf(
        view,
        instance === null ? Math.min(...busyUntilMs(view), Infinity) : view.nowMs,
      );
      const wanted = wantedMillicores(view, unsalvageable, tightHeads);
      if (wanted === null) return { plan: planOf(view, null, { kind: 'idle' }), unsalvageable };
      if (instance !== null && wanted <= startableMillicores(view))
        return { plan: planOf(view, { instance, cpuMillicores: wanted }, { kind: 'first-due' }), unsalvageable };
      const isShort = instance !== null;
      return {
        plan: planOf(view, null, isShort ? waitingForCores(view) : { kind: 'no-free-instance' }),
        unsalvageable,
        ...(isShort ? { wantedMillicores: wanted } : {}),
        wakeAtMs: view.nowMs + CHECK_MS,
      };
    },
    isStillValid: ({ snapshot, instances }) => snapshot.work.length === 0 || freeInstance(instances) === null,
  };
}

/** For the most urgent one that can be met; null where nobody waits. */
function wantedMillicores(view: PlannerView, unsalvageable: readonly number[], tightHeads: boolean): number | null {
  const { snapshot, models, limits, nowMs } = view;
  const first = snapshot.work.findIndex((_, index) => !unsalvageable.includes(index));
  if (first === -1) return null;
  const levels = allocationLevels(limits);
  if (!tightHeads) return levels[0]!;
  const { dueAtMs, classIndex } = snapshot.work[first]!;
  const model = models[classIndex]!;
  const least = levels.find((level) => nowMs + model.plannedLatencyMs(1, level) <= dueAtMs) ?? levels.at(-1)!;
  return Math.max(levels[0]!, Math.min(least, startableMillicores(view)));
}

function planOf(
  view: PlannerView,
  start: Parameters<typeof withStart>[1],
  boundBy: PlanBound,
): ReturnType<Planner['plan']>['plan'] {
  return { kind: 'feasible', ...withStart(view, start), batchSize: 1, boundBy };
}
