/*
 * Which (replicas × cores each) meets a load at least cost: every number of replicas is looked at, each with the least allocation that
 * does, so the answer is exact. The cost is replicas × (cores + what a pod is charged beside them).
 *
 * What each pod has to meet is its part of the mean, and as much more as chance brings: of an even division each pod's own chance, where
 * pods get what they have room for that of all of them together.
 */
import type { AllocationLimits } from '../scheduler/domain/plan.js';
import { leastMillicoresFor, type CapacityTable } from './capacity.js';
import type { Rate } from './model-load.js';
import type { Balancing, WorkloadRules } from './observation.js';

export interface Load {
  readonly models: readonly { readonly table: CapacityTable; readonly rate: Rate }[];
  /** Standard deviations that are to be met. */
  readonly deviations: number;
  readonly balancing: Balancing;
}

export interface Sizing {
  readonly replicas: number;
  /** Of each pod's models. */
  readonly cpuMillicores: number;
}

export function costMillicores({ replicas, cpuMillicores }: Sizing, podMillicores: number): number {
  return replicas * (cpuMillicores + podMillicores);
}

/**
 * That a pod needs for its part of the load, all models at once; Infinity where no allocation is enough.
 * @param share in (0, 1]
 */
function neededMillicores({ models, deviations, balancing }: Load, share: number): number {
  let sum = 0;
  for (const { table, rate } of models) {
    const { meanPerSec, spreadPerSec } = rate;
    const chancePerSec =
      balancing === 'even'
        ? deviations * Math.sqrt(share * meanPerSec * spreadPerSec)
        : share * deviations * Math.sqrt(meanPerSec * spreadPerSec);
    sum += leastMillicoresFor(table, share * meanPerSec + chancePerSec);
  }
  return sum;
}

/** The least that can be granted and is enough; null where nothing is. */
function leastLevel(load: Load, replicas: number, limits: AllocationLimits, mostMillicores: number): number | null {
  const needed = neededMillicores(load, 1 / replicas);
  const level = stepped(needed, limits);
  return level <= mostMillicores ? level : null;
}

/** Within a share of the largest allocation, or on all of it where no number of replicas is enough within; null where nothing is enough. */
export function cheapest(load: Load, rules: WorkloadRules): Sizing | null {
  const { limits, growAtFraction } = rules;
  const most = Math.max(limits.minMillicores, growAtFraction * limits.maxMillicores);
  return cheapestWithin(load, rules, most) ?? cheapestWithin(load, rules, limits.maxMillicores);
}

function cheapestWithin(load: Load, rules: WorkloadRules, mostMillicores: number): Sizing | null {
  const { minReplicas, maxReplicas, limits, podMillicores } = rules;
  let best: Sizing | null = null;
  for (let replicas = minReplicas; replicas <= maxReplicas; replicas++) {
    const cpuMillicores = leastLevel(load, replicas, limits, mostMillicores);
    if (cpuMillicores === null) continue;
    const sizing = { replicas, cpuMillicores };
    if (best === null || costMillicores(sizing, podMillicores) < costMillicores(best, podMillicores)) best = sizing;
  }
  return best;
}

/**
 * The least allocation, the same for all pods that can have it, with which these pods are enough; null where the most that each can have is not.
 * @param reachMillicores the most that each pod can have now
 */
export function leastLevelOf(load: Load, reachMillicores: readonly number[], limits: AllocationLimits): number | null {
  const count = reachMillicores.length;
  if (count === 0) return null;
  const even = stepped(neededMillicores(load, 1 / count), limits);
  if (even <= Math.min(...reachMillicores)) return even;
  // By turns, whoever cannot have it is given as much to do all the same.
  if (load.balancing === 'even') return null;
  const most = Math.max(...reachMillicores);
  for (let level = even; ; level = Math.min(most, level + limits.stepMillicores)) {
    if (level > most) return null;
    if (partOf(load, reachMillicores, level) >= 1) return level;
    if (level === most) return null;
  }
}

/** Of the load, that pods can do that have no more than this each; more than 1 where they could do more. */
function partOf(load: Load, reachMillicores: readonly number[], cpuMillicores: number): number {
  const byMillicores = new Map<number, number>();
  let sum = 0;
  for (const reach of reachMillicores) {
    const own = Math.min(reach, cpuMillicores);
    let share = byMillicores.get(own);
    if (share === undefined) byMillicores.set(own, (share = largestShare(load, own)));
    sum += share;
  }
  return sum;
}

/** The largest part of the load for which an allocation is enough. */
function largestShare(load: Load, cpuMillicores: number): number {
  if (neededMillicores(load, 1) <= cpuMillicores) return 1;
  let [low, high] = [0, 1];
  for (let halving = 0; halving < 20; halving++) {
    const middle = (low + high) / 2;
    if (neededMillicores(load, middle) <= cpuMillicores) low = middle;
    else high = middle;
  }
  return low;
}

/** Up to what can be granted; Infinity above the most. */
export function stepped(millicores: number, limits: AllocationLimits): number {
  const { minMillicores, maxMillicores, stepMillicores } = limits;
  if (millicores > maxMillicores) return Infinity;
  const steps = Math.ceil(Math.max(0, millicores - minMillicores) / stepMillicores - 1e-9);
  return Math.min(maxMillicores, minMillicores + steps * stepMillicores);
}
