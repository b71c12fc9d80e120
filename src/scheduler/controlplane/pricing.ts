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
 * Each batch is then chosen with its cores: among all (n, c) that are feasible, the least cost per request, counting what may be
 * lost: requests that are expected to arrive while the batch runs and whose budgets cannot outlast it. Feasible is where
 *
 * - the head meets its deadline by the planned latency;
 * - the queue behind meets its own in full batches at the same c. Smaller batches might meet them on less, and were tried: they
 *   leave the worker too little throughput for what comes next (five times the violations at 20 requests/s);
 * - the queue and the arrivals expected within a second, but for the n first due, meet theirs at the same c, in batches of any
 *   sizes (by dynamic programming): arrivals at the expected rate, with a budget that nine in ten of the latest requests exceed.
 */
import type { LatencyModel } from '../domain/latency.js';
import type { AllocationLimits } from '../domain/plan.js';
import { requestsPerBatch } from '../domain/request.js';
import type { QueueMark } from '../domain/queue-snapshot.js';
import { latestStarts } from '../perf-model/latest-starts.js';
import { firstLateMark, rateAskedBehind } from './behind-window.js';
import type { BudgetSample } from './budget-sample.js';
import { priceOfLosses } from './loss-price.js';
import { allocationAt, stepCount } from './solver.js';

/** What is traded for what; the defaults are in `priced-planner.ts`. */
export interface Pricing {
  /** κ */
  readonly safety: number;
  /** What losing a request costs, core-ms. */
  readonly lossCoreMs: number;
  /** Whether what is expected of the next moment counts, or only the steady rate. */
  readonly usesForecast: boolean;
}

/**
 * Of the rate to sustain, the share that is the next moment's; the rest is the steady rate. With all of it every chance
 * cluster is paid for (bursts: 1.27 of the reference instead of 1.23), with half of it bursts are met late (1.9 % lost, not 1.5).
 */
const NEXT_MOMENT_SHARE = 0.7;
/** How far ahead arrivals are expected: about the longest a batch and the wait for it may take. */
const EXPECTED_WITHIN_MS = 1000;
/** Their budgets: the share of the latest requests that had less. */
const EXPECTED_BUDGET_QUANTILE = 0.1;
/** The exact program looks at so many requests, queued and expected; longer queues are checked in full batches only. */
const EXACT_LIMIT = 96;

/**
 * On a machine of one's own the p99 is 1.2 times the median or less. Beyond that a neighbour takes CPU as it pleases: what slows
 * a batch down by foresight leaves no room for what slows it down by chance. So the price rises with scatter, steeply: where batches
 * take thrice as long now and then, the largest allocation is near. Chosen by simulation against first come, first served on all
 * CPU (`test/simulation/neighbour.test.ts`); the planner's other scenarios do not reach such scatter.
 */
const USUAL_SCATTER = 1.25;
const PRICE_OF_SCATTER = 8;

export interface BatchQuestion {
  readonly nowMs: number;
  /** Deadlines of the queue in EDF order; at least one. */
  readonly dueAtMs: readonly number[];
  /** Which model each of them is of; null where all are of the first. */
  readonly classIndexes: readonly number[] | null;
  /** Of those that wait behind them; none where it is absent. */
  readonly behind?: readonly QueueMark[] | undefined;
  /** By class index. */
  readonly models: readonly LatencyModel[];
  readonly limits: AllocationLimits;
  /** The most rows that may share a batch. */
  readonly maxBatchSize: number;
  /** Rows of a request by class index; one where it is absent. */
  readonly rowCounts?: readonly number[] | undefined;
  /** Long-run mean, and what is expected of the next moment. */
  readonly steadyRatePerSec: number;
  readonly expectedRatePerSec: number;
  readonly budgets: BudgetSample;
  readonly pricing: Pricing;
}

export interface BatchChoice {
  readonly cpuMillicores: number;
  readonly batchSize: number;
  /** What kept the allocation from being smaller; a deadline by its place in the queue. */
  readonly boundBy: 'price' | 'forecast' | 'loss' | { readonly deadlineOf: number };
}

/**
 * The cheapest batch to start now and the allocation to run it on; null where no allocation meets every deadline of the
 * queue. Some twenty looks at each batch size that may be cheapest: the least feasible allocation by bisection (more cores never
 * make a queue late), then the same for where cost begins to rise. What is expected is a preference: where no allocation
 * can meet it too, the largest is taken, and it never makes a queue infeasible.
 *
 * Of several shape classes the batch is the head's: the first n of its class. Those of other classes that it overtakes wait,
 * and are checked with the queue behind it. The rate to sustain, and what is expected, are taken to be of the queue's own mix.
 */
export function cheapestBatch(question: BatchQuestion): BatchChoice | null {
  const { nowMs, dueAtMs, classIndexes, models, limits } = question;
  const headClass = classIndexes?.[0] ?? 0;
  const model = models[headClass]!;
  const mix = mixOf(question);
  const scatter = unusualScatter(mix, limits);
  const arrivalsPerMs = question.steadyRatePerSec / 1000;
  const aloneMs = model.predictedLatencyMs(1, limits.maxMillicores);
  const lostBy = (runMs: number): number => arrivalsPerMs * question.budgets.lostMs(runMs, aloneMs);
  const lossPrice =
    question.pricing.lossCoreMs *
    priceOfLosses({
      runMs: (batchSize) => mix.predictedLatencyMs(batchSize, limits.maxMillicores),
      maxBatchSize: largestLimit(question),
      ratePerMs: arrivalsPerMs,
      instanceCount: 1,
      lostBy,
    });
  const price = Math.max(scatter ** PRICE_OF_SCATTER * priceOfTime(question, mix), lossPrice);
  const topStep = stepCount(limits) - 1;
  const mateCount =
    classIndexes === null ? dueAtMs.length : classIndexes.filter((each) => each === classIndexes[0]).length;
  const expected = expectedWork(question, mix);

  const headMeets = (batchSize: number, cpuMillicores: number): boolean =>
    nowMs + model.plannedLatencyMs(batchSize, cpuMillicores) <= dueAtMs[0]!;
  const lateBehind = (batchSize: number, cpuMillicores: number): number =>
    firstLate(question, batchSize, nowMs + scatter * model.predictedLatencyMs(batchSize, cpuMillicores), cpuMillicores);
  /** Rises from the priced allocation on. */
  const runCostOf = (batchSize: number, cpuMillicores: number): number =>
    ((cpuMillicores / 1000 + price) * model.predictedLatencyMs(batchSize, cpuMillicores)) / batchSize;
  const costOf = (batchSize: number, cpuMillicores: number): number => {
    const runMs = model.predictedLatencyMs(batchSize, cpuMillicores);
    return runCostOf(batchSize, cpuMillicores) + (question.pricing.lossCoreMs * lostBy(runMs)) / batchSize;
  };

  let best: BatchChoice | null = null;
  let leastCost = Infinity;
  // The largest first: it is the cheapest most often, and then the others end at their lower bound.
  for (let batchSize = Math.min(limitOf(question, headClass), mateCount); batchSize >= 1; batchSize--) {
    const pricedStep = stepBelow(pricedCores(model, batchSize, price, limits), limits);
    if (runCostOf(batchSize, allocationAt(limits, pricedStep)) > leastCost) continue;
    const isFeasible = (step: number): boolean => {
      const cpuMillicores = allocationAt(limits, step);
      return headMeets(batchSize, cpuMillicores) && lateBehind(batchSize, cpuMillicores) === -1;
    };
    const neededStep = leastFeasible(pricedStep, topStep, isFeasible);
    if (neededStep === null || runCostOf(batchSize, allocationAt(limits, neededStep)) > leastCost) continue;
    const leastStep = leastFeasible(neededStep, topStep, (step) => expected.isMet(batchSize, step)) ?? topStep;
    const costAt = (each: number): number => costOf(batchSize, allocationAt(limits, each));
    // Up to where the expected loss no longer falls faster than the cost rises.
    const step = leastFeasible(leastStep, topStep, (each) => each === topStep || costAt(each + 1) >= costAt(each))!;
    const cost = costAt(step);
    if (cost > leastCost) continue; // Of equals the smaller, which ends sooner.
    leastCost = cost;
    let boundBy: BatchChoice['boundBy'] = 'price';
    if (step > leastStep) {
      // Where latencies do not follow A/c + B, the run itself may be cheaper on more cores.
      const extra =
        runCostOf(batchSize, allocationAt(limits, step)) - runCostOf(batchSize, allocationAt(limits, leastStep));
      boundBy = extra > 0 ? 'loss' : 'price';
    } else if (leastStep > neededStep) boundBy = 'forecast';
    else if (neededStep > pricedStep) {
      const below = allocationAt(limits, neededStep - 1);
      boundBy = { deadlineOf: headMeets(batchSize, below) ? lateBehind(batchSize, below) : 0 };
    }
    best = { cpuMillicores: allocationAt(limits, step), batchSize, boundBy };
  }
  return best;
}

/** Cores that sustain the load at κ: for actuators that are too slow to follow each batch. */
export function steadyMillicores(question: BatchQuestion): number {
  const { limits } = question;
  const mix = mixOf(question);
  const cores = pricedCores(mix, largestLimit(question), priceOfTime(question, mix), limits);
  return allocationAt(limits, stepBelow(cores, limits) + 1);
}

/**
 * The place in the queue of the first that would be late if the worker were free then and ran the rest of the queue in full
 * batches at this allocation; −1 where none would. Typical latencies, but the next batch has to make it by the planned one. Of those
 * behind the window, which are looked at last, it is the place of a mark.
 * @param taken so many of the head's class are gone by then
 */
export function firstLate(queue: PlannedQueue, taken: number, freeAtMs: number, cpuMillicores: number): number {
  const late =
    queue.classIndexes === null
      ? firstLateOfOneClass(queue, taken, freeAtMs, cpuMillicores)
      : firstLateOfMany(queue, queue.classIndexes, taken, freeAtMs, cpuMillicores);
  if (late !== -1) return late;
  return firstLateMark(queue, taken, freeAtMs, (classIndex) => {
    const size = limitOf(queue, classIndex);
    return queue.models[classIndex]!.predictedLatencyMs(size, cpuMillicores) / size;
  });
}

type PlannedQueue = Pick<
  BatchQuestion,
  'dueAtMs' | 'classIndexes' | 'behind' | 'models' | 'maxBatchSize' | 'rowCounts'
>;
type BatchLimits = Pick<BatchQuestion, 'models' | 'maxBatchSize' | 'rowCounts'>;

/** The most requests of a class that may share a batch. */
function limitOf({ maxBatchSize, rowCounts }: BatchLimits, classIndex: number): number {
  return requestsPerBatch(maxBatchSize, rowCounts?.[classIndex]);
}

/** Of the class that may have the most. */
function largestLimit(limits: BatchLimits): number {
  return limits.models.reduce((largest, _, classIndex) => Math.max(largest, limitOf(limits, classIndex)), 1);
}

/** Batches are consecutive, and all but the last are alike. O(n / b). */
function firstLateOfOneClass(queue: PlannedQueue, taken: number, freeAtMs: number, cpuMillicores: number): number {
  const { dueAtMs, models } = queue;
  const count = dueAtMs.length;
  if (taken >= count) return -1;
  const maxBatchSize = limitOf(queue, 0);
  const model = models[0]!;
  const nextSize = Math.min(maxBatchSize, count - taken);
  if (freeAtMs + model.plannedLatencyMs(nextSize, cpuMillicores) > dueAtMs[taken]!) return taken;
  const fullLatencyMs = model.predictedLatencyMs(nextSize, cpuMillicores);
  let finishAtMs = freeAtMs + fullLatencyMs;
  let head = taken + maxBatchSize;
  for (; head + maxBatchSize <= count; head += maxBatchSize) {
    finishAtMs += fullLatencyMs;
    if (finishAtMs > dueAtMs[head]!) return head;
  }
  if (head >= count) return -1;
  return finishAtMs + model.predictedLatencyMs(count - head, cpuMillicores) > dueAtMs[head]! ? head : -1;
}

/** A batch takes the earliest that its class has left: the k-th of a class is a head exactly when k is a multiple of the size. O(n). */
function firstLateOfMany(
  queue: PlannedQueue,
  classIndexes: readonly number[],
  taken: number,
  freeAtMs: number,
  cpuMillicores: number,
): number {
  const { dueAtMs, models } = queue;
  const sizeLimits = models.map((_, classIndex) => limitOf(queue, classIndex));
  const left = models.map(() => 0);
  for (const classIndex of classIndexes) left[classIndex]! += 1;
  left[classIndexes[0]!]! -= taken;
  const seen = models.map((_, classIndex) => (classIndex === classIndexes[0] ? -taken : 0));
  let finishAtMs = freeAtMs;
  let isNext = true;
  for (let place = 0; place < dueAtMs.length; place++) {
    const classIndex = classIndexes[place]!;
    const rank = seen[classIndex]!++;
    const sizeLimit = sizeLimits[classIndex]!;
    if (rank < 0 || rank % sizeLimit !== 0) continue;
    const size = Math.min(sizeLimit, left[classIndex]! - rank);
    const latencyMs = models[classIndex]!.predictedLatencyMs(size, cpuMillicores);
    const cautiousMs = isNext ? models[classIndex]!.plannedLatencyMs(size, cpuMillicores) : latencyMs;
    if (finishAtMs + cautiousMs > dueAtMs[place]!) return place;
    finishAtMs += latencyMs;
    isNext = false;
  }
  return -1;
}

/**
 * The latency of a batch of the queue's classes, each as often as it waits. More requests of a class than may share a batch take
 * several.
 */
function mixOf(question: BatchQuestion): LatencyModel {
  const { dueAtMs, classIndexes, models } = question;
  if (classIndexes === null) return models[0]!;
  const weights = models.map(
    (_, classIndex) => classIndexes.filter((each) => each === classIndex).length / dueAtMs.length,
  );
  const sizeLimits = models.map((_, classIndex) => limitOf(question, classIndex));
  const mean = (quantile: keyof LatencyModel) => (batchSize: number, cpuMillicores: number) =>
    weights.reduce((sum, weight, index) => {
      const size = Math.min(batchSize, sizeLimits[index]!);
      return sum + weight * (batchSize / size) * models[index]![quantile](size, cpuMillicores);
    }, 0);
  return {
    predictedLatencyMs: mean('predictedLatencyMs'),
    plannedLatencyMs: mean('plannedLatencyMs'),
    leastLatencyMs: mean('leastLatencyMs'),
  };
}

/**
 * The queue and what is expected to join it, and whether all of it but n can be met at an allocation. The n are the first due of
 * all, a relaxation: some of them may not have come yet, while others of the batch about to start stay in.
 */
function expectedWork(
  question: BatchQuestion,
  model: LatencyModel,
): { isMet(batchSize: number, step: number): boolean } {
  const { nowMs, dueAtMs, limits, pricing } = question;
  const maxBatchSize = largestLimit(question);
  const expectedPerMs = question.expectedRatePerSec / 1000;
  const count = Math.floor(expectedPerMs * EXPECTED_WITHIN_MS);
  if (!pricing.usesForecast || count === 0 || dueAtMs.length + count > EXACT_LIMIT) return { isMet: () => true };
  // Budgets that not even the largest allocation could meet say nothing about how fast to be.
  const leastBudgetMs = model.plannedLatencyMs(1, limits.maxMillicores);
  const firstDueAtMs = nowMs + Math.max(leastBudgetMs, question.budgets.quantileMs(EXPECTED_BUDGET_QUANTILE));
  const all: number[] = [];
  let queued = 0;
  for (let arrival = 1; arrival <= count; arrival++) {
    const due = firstDueAtMs + arrival / expectedPerMs;
    while (queued < dueAtMs.length && dueAtMs[queued]! <= due) all.push(dueAtMs[queued++]!);
    all.push(due);
  }
  while (queued < dueAtMs.length) all.push(dueAtMs[queued++]!);
  const latestByStep = new Map<number, Float64Array>();
  return {
    isMet(batchSize, step) {
      const cpuMillicores = allocationAt(limits, step);
      let latest = latestByStep.get(step);
      if (latest === undefined) {
        latest = latestStarts(all, model, maxBatchSize, cpuMillicores);
        latestByStep.set(step, latest);
      }
      return nowMs + model.predictedLatencyMs(batchSize, cpuMillicores) <= latest[batchSize]!;
    },
  };
}

/** π, in cores. The rate to sustain is that of arrivals, or what the queue itself asks for: k + 1 requests by each deadline. */
function priceOfTime(question: BatchQuestion, model: LatencyModel): number {
  const { nowMs, dueAtMs, limits, pricing } = question;
  const maxBatchSize = largestLimit(question);
  const nextShare = pricing.usesForecast ? NEXT_MOMENT_SHARE : 0;
  let ratePerMs = ((1 - nextShare) * question.steadyRatePerSec + nextShare * question.expectedRatePerSec) / 1000;
  for (let index = 0; index < dueAtMs.length; index++) {
    const due = dueAtMs[index]!;
    if (due > nowMs) ratePerMs = Math.max(ratePerMs, (index + 1) / (due - nowMs));
  }
  ratePerMs = Math.max(ratePerMs, rateAskedBehind(question, nowMs));
  const { shared, single } = split(model, maxBatchSize, limits);
  if (shared === 0) return 0;
  const spare = maxBatchSize - single * ratePerMs;
  const maxCores = limits.maxMillicores / 1000;
  const cores = spare <= 0 ? maxCores : Math.min(maxCores, (shared * ratePerMs) / spare);
  return (pricing.safety * cores * cores * single) / shared;
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

/** How much more than usual batches scatter: planned over typical latency, over what it is on a machine of one's own; ≥ 1. */
function unusualScatter(model: LatencyModel, { maxMillicores }: AllocationLimits): number {
  const typicalMs = model.predictedLatencyMs(1, maxMillicores);
  return typicalMs === 0 ? 1 : Math.max(1, model.plannedLatencyMs(1, maxMillicores) / (typicalMs * USUAL_SCATTER));
}
