/*
 * The price of the worker's time, and the batch that is cheapest at it.
 *
 * One worker has one scarce good: its time. Cores can be had at any moment, time that passed cannot. So a batch of n on c cores
 * that lasts L is taken to cost (c + π)·L, its cores and the time during which nothing else can run, at a price π in cores. With
 * L = A/c + B (A what cores share, B what they do not) that is least at
 *
 *     c = √(π·A/B)
 *
 * and π is the price at which that allocation, with full batches, just sustains the load: for the c_r that sustains a rate r,
 * π = κ·c_r²·B/A, so c = √κ·c_r. κ > 1 is the safety dial: it buys slack for what nobody can foresee.
 *
 * Why this wins: cores grow about as the square of the rate, so idle time is dear. Waiting to fill a batch and then running it
 * fast costs more than starting it at once and running it slowly; the price says how slowly is still safe.
 *
 * Each batch is then chosen with its cores: among all (n, c) at which the head meets its deadline by the planned latency, and
 * the queue behind, in full batches at the same c, meets its own, the least cost per request, counting what may be lost: requests
 * that are expected to arrive while the batch runs and whose budgets cannot outlast it.
 */
import type { LatencyModel } from '../domain/latency.js';
import type { AllocationLimits } from '../domain/plan.js';
import type { BudgetSample } from './budget-sample.js';
import { allocationAt, stepCount } from './solver.js';

/**
 * What losing a request costs, core-ms: 20 cores for a second. Found by simulation: a tenth of it loses half as many again
 * where budgets are mixed and saves 1 % of CPU; ten times as much costs 2 % and saves nothing.
 */
const LOSS_CORE_MS = 20_000;

export interface BatchQuestion {
  readonly nowMs: number;
  /** Deadlines of the queue in EDF order, one shape class; at least one. */
  readonly dueAtMs: readonly number[];
  readonly model: LatencyModel;
  readonly limits: AllocationLimits;
  readonly maxBatchSize: number;
  /** Long-run mean, and what is expected of the next moment. */
  readonly steadyRatePerSec: number;
  readonly expectedRatePerSec: number;
  readonly budgets: BudgetSample;
  /** κ */
  readonly safety: number;
}

export interface BatchChoice {
  readonly cpuMillicores: number;
  readonly batchSize: number;
  /** What kept the allocation from being smaller. */
  readonly boundBy: 'price' | 'head' | 'queue' | 'loss';
}

/**
 * The cheapest batch to start now and the allocation to run it on; null where no allocation meets every deadline of the
 * queue. At most 8 + a few looks at each batch size: least feasible allocations by bisection (more cores never make a queue
 * late), then upwards while the expected loss still falls faster than the cost rises.
 */
export function cheapestBatch(question: BatchQuestion): BatchChoice | null {
  const { nowMs, dueAtMs, model, limits, maxBatchSize } = question;
  const price = priceOfTime(question);
  const topStep = stepCount(limits) - 1;
  const aloneMs = model.predictedLatencyMs(1, limits.maxMillicores);
  const arrivalsPerMs = question.steadyRatePerSec / 1000;

  const headMeets = (batchSize: number, cpuMillicores: number): boolean =>
    nowMs + model.plannedLatencyMs(batchSize, cpuMillicores) <= dueAtMs[0]!;
  const queueMeets = (batchSize: number, cpuMillicores: number): boolean =>
    meetsBehind(question, batchSize, nowMs + model.predictedLatencyMs(batchSize, cpuMillicores), cpuMillicores);
  const costOf = (batchSize: number, cpuMillicores: number): number => {
    const runMs = model.predictedLatencyMs(batchSize, cpuMillicores);
    const lost = arrivalsPerMs * question.budgets.lostMs(runMs, aloneMs);
    return ((cpuMillicores / 1000 + price) * runMs + LOSS_CORE_MS * lost) / batchSize;
  };

  let best: BatchChoice | null = null;
  let leastCost = Infinity;
  for (let batchSize = 1; batchSize <= Math.min(maxBatchSize, dueAtMs.length); batchSize++) {
    const pricedStep = stepBelow(pricedCores(model, batchSize, price, limits), limits);
    const isFeasible = (step: number): boolean => {
      const cpuMillicores = allocationAt(limits, step);
      return headMeets(batchSize, cpuMillicores) && queueMeets(batchSize, cpuMillicores);
    };
    const leastStep = leastFeasible(pricedStep, topStep, isFeasible);
    if (leastStep === null) continue;
    let step = leastStep;
    let cost = costOf(batchSize, allocationAt(limits, step));
    while (step < topStep) {
      const next = costOf(batchSize, allocationAt(limits, step + 1));
      if (next >= cost) break;
      cost = next;
      step += 1;
    }
    if (cost >= leastCost) continue;
    leastCost = cost;
    const below = allocationAt(limits, Math.max(0, leastStep - 1));
    const boundBy =
      step > leastStep ? 'loss' : leastStep === pricedStep ? 'price' : headMeets(batchSize, below) ? 'queue' : 'head';
    best = { cpuMillicores: allocationAt(limits, step), batchSize, boundBy };
  }
  return best;
}

/** Cores that sustain the load at κ: for actuators that are too slow to follow each batch. */
export function steadyMillicores(question: BatchQuestion): number {
  const { model, maxBatchSize, limits } = question;
  return allocationAt(limits, stepBelow(pricedCores(model, maxBatchSize, priceOfTime(question), limits), limits) + 1);
}

/**
 * Would everything from the `first` request on meet its deadline, in full batches at this allocation, when the worker is free
 * then? Typical latencies, but the next batch has to make it by the planned one.
 */
export function meetsBehind(
  { dueAtMs, model, maxBatchSize }: Pick<BatchQuestion, 'dueAtMs' | 'model' | 'maxBatchSize'>,
  first: number,
  freeAtMs: number,
  cpuMillicores: number,
): boolean {
  let finishAtMs = freeAtMs;
  for (let head = first; head < dueAtMs.length; head += maxBatchSize) {
    const size = Math.min(maxBatchSize, dueAtMs.length - head);
    const latencyMs = model.predictedLatencyMs(size, cpuMillicores);
    const cautiousMs = head === first ? model.plannedLatencyMs(size, cpuMillicores) : latencyMs;
    if (finishAtMs + cautiousMs > dueAtMs[head]!) return false;
    finishAtMs += latencyMs;
  }
  return true;
}

/** π, in cores. The rate to sustain is that of arrivals, or what the queue itself asks for: k + 1 requests by each deadline. */
function priceOfTime(question: BatchQuestion): number {
  const { nowMs, dueAtMs, model, maxBatchSize, limits, safety } = question;
  let ratePerMs = (question.steadyRatePerSec + question.expectedRatePerSec) / 2000;
  dueAtMs.forEach((due, index) => {
    if (due > nowMs) ratePerMs = Math.max(ratePerMs, (index + 1) / (due - nowMs));
  });
  const { shared, single } = split(model, maxBatchSize, limits);
  if (shared === 0) return 0;
  const spare = maxBatchSize - single * ratePerMs;
  const maxCores = limits.maxMillicores / 1000;
  const cores = spare <= 0 ? maxCores : Math.min(maxCores, (shared * ratePerMs) / spare);
  return (safety * cores * cores * single) / shared;
}

/** c = √(π·A/B), the least allocation where cores shorten everything. */
function pricedCores(model: LatencyModel, batchSize: number, price: number, limits: AllocationLimits): number {
  const { shared, single } = split(model, batchSize, limits);
  return single === 0 ? limits.minMillicores / 1000 : Math.sqrt((price * shared) / single);
}

/** A batch's time as A/c + B, from its latencies at both ends: A in core-ms, B in ms. */
function split(model: LatencyModel, batchSize: number, limits: AllocationLimits): { shared: number; single: number } {
  const { minMillicores, maxMillicores } = limits;
  const slowMs = model.predictedLatencyMs(batchSize, minMillicores);
  const fastMs = model.predictedLatencyMs(batchSize, maxMillicores);
  if (minMillicores === maxMillicores) return { shared: 0, single: fastMs };
  const shared = Math.max(0, (slowMs - fastMs) / (1000 / minMillicores - 1000 / maxMillicores));
  return { shared, single: Math.max(0, fastMs - (1000 * shared) / maxMillicores) };
}

/** The last step at or below so many cores; the least one where there is none. */
function stepBelow(cores: number, { minMillicores, maxMillicores, stepMillicores }: AllocationLimits): number {
  const millicores = Math.min(maxMillicores, Math.max(minMillicores, cores * 1000));
  return Math.floor((millicores - minMillicores) / stepMillicores);
}

/** The least step from `low` on that is feasible; steps above a feasible one are. */
function leastFeasible(low: number, top: number, isFeasible: (step: number) => boolean): number | null {
  if (isFeasible(low)) return low;
  if (!isFeasible(top)) return null;
  let infeasible = low;
  let feasible = top;
  while (feasible - infeasible > 1) {
    const middle = (infeasible + feasible) >>> 1;
    if (isFeasible(middle)) feasible = middle;
    else infeasible = middle;
  }
  return feasible;
}
