/*
 * Vertical scaling for what comes now, horizontal scaling for what stays: after Themis (arXiv 2407.14843,
 * github.com/mehransi/Themis), for one model.
 *
 * Once a second, with the rate of the busiest of the last five seconds:
 * - the steady state is the fewest instances of one core that sustain it within the budget (`replicas.ts`); so many are asked
 *   for at once, and fewer only after ten seconds in which they were too many;
 * - while fewer than that are ready, the ready ones get, in place, the fewest whole cores with which they sustain it;
 * - as new ones become ready each needs less, and one core again when enough are.
 *
 * Like Themis: the latency function's two conditions, the forming wait (b − 1)/λ, growing in place to bridge cold starts, one
 * core each in the steady state, the rate, the ten seconds.
 * Unlike it: instances are started in the same moment as the ready ones grow; Themis goes on vertically while an LSTM sees
 * growth within ten seconds, and starts instances after that and ten stable rounds, or when growing no longer suffices. There
 * is no LSTM here, no pipeline to divide the SLO among, a round a second (its paper: 0.5 s), cores also fall while growing is
 * no longer needed, the budget is the SLO less the largest network delay of the last five seconds, and latencies are the
 * planned ones. All ready instances have the same allocation here; one that starts holds the least there is. Together they
 * stay within the machine, which is as large as one instance may become; when more become ready than the plan was made for,
 * and would not fit on its allocation, it is made anew at once.
 */
import type { AllocationLimits, Plan } from '../../domain/plan.js';
import { limitsWithin, wholeCores } from './allocations.js';
import { DelayedScaleDown } from './delayed-scale-down.js';
import { demandOf, SCALE_DOWN_DELAY_MS, type HorizontalConfig } from './fa2-published.js';
import { FA2_MAX_INSTANCES } from './fa2.js';
import { timedPlanner, type ObservingPlanner } from './observing-planner.js';
import { RecentLoad } from './recent-load.js';
import { fastestBatchSize, fewestReplicas, leastBatchSize, neededInstances, type ReplicaDemand } from './replicas.js';

const TICK_MS = 1000;

interface Shape {
  readonly cpuMillicores: number;
  readonly batchSize: number;
}

export function themisPlanner({ sloMs, maxInstances = FA2_MAX_INSTANCES }: HorizontalConfig): ObservingPlanner {
  const load = new RecentLoad();
  let scaleDown: DelayedScaleDown | null = null;

  const planner = timedPlanner('themis', TICK_MS, (view) => {
    const { nowMs, limits, snapshot, current } = view;
    scaleDown ??= new DelayedScaleDown(SCALE_DOWN_DELAY_MS, current.instances);
    const demand = demandOf(view, load, sloMs);
    const ready = Math.max(1, snapshot.instanceCount);
    const instances = scaleDown.next(nowMs, Math.min(maxInstances, steadyInstances(demand, limits)));
    const room = roomOfEach(limits, ready, instances);
    const shape = leastShape(demand, room, Math.min(ready, instances)) ?? largestShape(demand, room);
    const { arrivalRatePerSec: ratePerSec, budgetMs } = demand;
    const boundBy = { kind: 'replica-load', ratePerSec, budgetMs, ready: { count: ready, of: instances } } as const;
    return { plan: { kind: 'feasible', instances, ...shape, boundBy }, unsalvageable: [] };
  });
  return {
    planner: {
      ...planner,
      isStillValid: ({ current, snapshot, limits }) => fits(current, snapshot.instanceCount, limits),
    },
    observe: (event) => load.observe(event),
  };
}

/** What each ready instance may have, when those that are still starting hold the least. */
function roomOfEach(limits: AllocationLimits, ready: number, instances: number): AllocationLimits {
  const startingMillicores = limits.minMillicores * Math.max(0, instances - ready);
  return limitsWithin((limits.maxMillicores - startingMillicores) / ready, limits);
}

/** More instances are ready than the plan was made for: on its allocation each, they may take more than the machine has. */
function fits({ cpuMillicores }: Plan, ready: number, { maxMillicores }: AllocationLimits): boolean {
  return cpuMillicores * ready <= maxMillicores;
}

/** On the least whole number of cores with which one request alone fits into the budget: on one, as a rule. */
function steadyInstances(demand: ReplicaDemand, limits: AllocationLimits): number {
  for (const cpuMillicores of wholeCores(limits)) {
    const replicas = fewestReplicas(demand, cpuMillicores);
    if (replicas !== null) return replicas.instances;
  }
  const { cpuMillicores, batchSize } = largestShape(demand, limits);
  return neededInstances(demand, cpuMillicores, batchSize);
}

/** The fewest cores each, then the least batch size, with which so many instances do. */
function leastShape(demand: ReplicaDemand, limits: AllocationLimits, instances: number): Shape | null {
  for (const cpuMillicores of wholeCores(limits)) {
    const batchSize = leastBatchSize(demand, cpuMillicores, instances);
    if (batchSize !== null) return { cpuMillicores, batchSize };
  }
  return null;
}

/** Growing does not suffice: all there is, and the batches that get most done. */
function largestShape(demand: ReplicaDemand, limits: AllocationLimits): Shape {
  const cpuMillicores = wholeCores(limits).at(-1)!;
  return { cpuMillicores, batchSize: fastestBatchSize(demand, cpuMillicores) };
}
