/*
 * Horizontal scaling as FA2 has it for one model (RTAS 2022; as its authors state it again in Themis, arXiv 2407.14843, and
 * as `horizontal_2d` and `adapt_ho` in github.com/mehransi/Themis compute it): instances of one unit, a core, the fewest with which
 * batches form and run within the budget and the rate is kept up with (`replicas.ts`). The rate is the busiest of the last
 * five seconds. More instances at once, fewer after ten seconds in which they were too many.
 *
 * What it is not: FA2 itself divides one SLO among the models of a pipeline. With one model that part is empty, and so is
 * the penalty it puts on large batches. Its budget is the SLO; here the largest network delay of the last five seconds is
 * taken off, or it could not meet a deadline that starts on the phone. Latencies are the planned ones, p99, where it fits
 * α·b² + β·b + γ at a fixed allocation. Where one unit cannot meet the budget at all, it says nothing; then batches of one,
 * on as many instances as keep up.
 */
import type { PlannerView } from '../planner.js';
import { CORE_MILLICORES, grantable } from './allocations.js';
import { DelayedScaleDown } from './delayed-scale-down.js';
import { FA2_MAX_INSTANCES } from './fa2.js';
import { timedPlanner, type ObservingPlanner } from './observing-planner.js';
import { RecentLoad } from './recent-load.js';
import { fastestBatchSize, fewestReplicas, leastBatchSize, neededInstances, type ReplicaDemand } from './replicas.js';

const TICK_MS = 1000;
/** Ten decisions of `adapt_ho` (HORIZONTAL_STABILIZATION), each a second apart. */
export const SCALE_DOWN_DELAY_MS = 10_000;

export interface HorizontalConfig {
  readonly sloMs: number;
  readonly maxInstances?: number;
}

export interface Fa2PublishedConfig extends HorizontalConfig {
  /** Allocation of each instance; one core by default. */
  readonly unitMillicores?: number;
}

export function fa2PublishedPlanner({
  sloMs,
  maxInstances = FA2_MAX_INSTANCES,
  unitMillicores = CORE_MILLICORES,
}: Fa2PublishedConfig): ObservingPlanner {
  const load = new RecentLoad();
  let scaleDown: DelayedScaleDown | null = null;

  const planner = timedPlanner('fa2-published', TICK_MS, (view) => {
    scaleDown ??= new DelayedScaleDown(SCALE_DOWN_DELAY_MS, view.current.instances);
    const cpuMillicores = grantable(unitMillicores, view.limits);
    const demand = demandOf(view, load, sloMs);
    const wanted = fewestReplicas(demand, cpuMillicores);
    const needed = wanted?.instances ?? neededInstances(demand, cpuMillicores, 1);
    const instances = scaleDown.next(view.nowMs, Math.min(maxInstances, needed));
    return {
      plan: {
        kind: 'feasible',
        instances,
        cpuMillicores,
        // Spare instances do with smaller batches than the fewest would; too few take the batches that get most done.
        batchSize: leastBatchSize(demand, cpuMillicores, instances) ?? fastestBatchSize(demand, cpuMillicores),
        boundBy: {
          kind: 'replica-load',
          ratePerSec: demand.arrivalRatePerSec,
          budgetMs: demand.budgetMs,
          // It cannot meet the budget at all.
          ...(wanted === null ? { unitMillicores } : {}),
        },
      },
      unsalvageable: [],
    };
  });
  return { planner, observe: (event) => load.observe(event) };
}

/** Recent arrivals, as a demand on the class that it was of. */
export function demandOf(
  { nowMs, arrivalModel, snapshot }: PlannerView,
  load: RecentLoad,
  sloMs: number,
): ReplicaDemand {
  return {
    model: arrivalModel,
    arrivalRatePerSec: load.peakRatePerSec(nowMs),
    budgetMs: sloMs - load.largestNetworkDelayMs(nowMs),
    maxBatchSize: snapshot.maxBatchSize,
  };
}
