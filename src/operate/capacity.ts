/*
 * What a pod can do: the rate of one model that it meets on so many cores, by the rule of `sponge plan`
 * (`scheduler/controlplane/what-if.ts`), for budgets of all sizes at once.
 *
 * The rule says of one budget d and batches of b: (b − 1)/λ + 2·l(b, c) ≤ d and λ·l(b, c) ≤ b. Of several budgets each has a batch size of
 * its own, b_d ≤ B: its batch fills, the largest batch in flight has just started, then its own runs; and all of them together leave no
 * instance more to do than it has time:
 *
 *     (b_d − 1)/λ + l(B, c) + l(b_d, c) ≤ d  for each d,     λ · Σ_d w_d · l(b_d, c)/b_d ≤ instances
 *
 * With one budget that is the rule itself. At some rates it is met though it is not at a lower one, where a batch fills too slowly and a
 * smaller one does too little: `capacityPerSec` is the rate up to which it is met at every rate, so that less load never needs more.
 */
import type { LatencyModel } from '../scheduler/domain/latency.js';
import type { AllocationLimits } from '../scheduler/domain/plan.js';
import { allocationAt, stepCount } from '../scheduler/controlplane/solver.js';

/** Budgets are told apart in so many groups of equal weight, each by its tightest. */
const MOST_BUDGETS = 12;

export interface ModelMix {
  readonly latency: LatencyModel;
  readonly maxBatchSize: number;
  readonly instances: number;
  /** @see meetableBudgets */
  readonly budgetsMs: readonly number[];
}

/** By allocation of `limits`, ascending; rates never fall. */
export interface CapacityTable {
  readonly millicores: readonly number[];
  readonly ratesPerSec: readonly number[];
}

/**
 * In few groups, ascending; Infinity for those that count as load only: no allocation meets them, or the attainment asked for does without.
 * One hopeless request never makes a pod larger.
 * @param budgetsMs equally likely each
 */
export function meetableBudgets(
  budgetsMs: readonly number[],
  { latency, limits, attainment }: { latency: LatencyModel; limits: AllocationLimits; attainment: number },
): readonly number[] {
  const sorted = [...budgetsMs].sort((a, b) => a - b);
  const groups = Math.min(MOST_BUDGETS, sorted.length);
  const spared = Math.floor((1 - attainment) * sorted.length + 1e-9);
  const leastMs = 2 * latency.plannedLatencyMs(1, limits.maxMillicores);
  const isHopeless = (budgetMs: number): boolean => budgetMs < leastMs;
  const kept = sorted.map((budgetMs, index) => (index < spared || isHopeless(budgetMs) ? Infinity : budgetMs));
  kept.sort((a, b) => a - b);
  return Array.from({ length: groups }, (_, group) => kept[Math.floor((group * kept.length) / groups)]!);
}

/** Requests per second on so many millicores; 0 where not even one alone is met. */
export function capacityPerSec(mix: ModelMix, cpuMillicores: number, leastMillicores: number): number {
  let best = 0;
  for (let instances = 1; instances <= mix.instances; instances++) {
    const each = cpuMillicores / instances;
    if (instances > 1 && each < leastMillicores) break;
    const latenciesMs = Array.from({ length: mix.maxBatchSize }, (_, index) =>
      mix.latency.plannedLatencyMs(index + 1, each),
    );
    best = Math.max(best, 1000 * reach(latenciesMs, mix.budgetsMs, instances));
  }
  return best;
}

export function capacityTable(mix: ModelMix, limits: AllocationLimits): CapacityTable {
  const millicores = Array.from({ length: stepCount(limits) }, (_, step) => allocationAt(limits, step));
  let most = 0;
  // What a model says in fractions of a millisecond need not fall at every step.
  const ratesPerSec = millicores.map(
    (each) => (most = Math.max(most, capacityPerSec(mix, each, limits.minMillicores))),
  );
  return { millicores, ratesPerSec };
}

/** The least allocation that meets a rate; Infinity where none does. 0 for no rate. */
export function leastMillicoresFor({ millicores, ratesPerSec }: CapacityTable, ratePerSec: number): number {
  if (ratePerSec <= 0) return 0;
  let low = 0;
  let high = millicores.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ratesPerSec[middle]! >= ratePerSec) high = middle;
    else low = middle + 1;
  }
  return millicores[low] ?? Infinity;
}

/**
 * The rate, per ms, up to which every rate is met: the least fixed point of "the highest rate of the batches that fill in time at this
 * one", which never falls as the rate grows.
 */
function reach(latenciesMs: readonly number[], budgetsMs: readonly number[], instances: number): number {
  let rate = 0;
  for (;;) {
    const next = highestRate(latenciesMs, budgetsMs, instances, rate);
    if (next <= rate) return rate;
    rate = next;
  }
}

function highestRate(
  latenciesMs: readonly number[],
  budgetsMs: readonly number[],
  instances: number,
  fillingPerMs: number,
): number {
  let highest = 0;
  for (let largest = 1; largest <= latenciesMs.length; largest++) {
    const inFlightMs = latenciesMs[largest - 1]!;
    let workMs = 0;
    for (const budgetMs of budgetsMs) {
      let leastMs = Infinity;
      for (let size = 1; size <= largest; size++) {
        const ownMs = latenciesMs[size - 1]!;
        const fillMs = size === 1 ? 0 : (size - 1) / fillingPerMs;
        if (fillMs + inFlightMs + ownMs <= budgetMs) leastMs = Math.min(leastMs, ownMs / size);
      }
      workMs += leastMs;
    }
    if (workMs < Infinity) highest = Math.max(highest, (instances * budgetsMs.length) / workMs);
  }
  return highest;
}
