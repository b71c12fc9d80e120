/*
 * What would several warm instances of a model need, and how many are worth having?
 *
 * Two answers for each number k of them. What all need at once, by the rule of `what-if.ts`: every deadline is met though all have
 * just started. And what they hold at least on average, k·P̂(λ/k): the cheapest batches that sustain the rate, whatever the deadlines
 * (`power-curve.ts`); a good planner comes within a few percent of it. One more instance saves k·P̂(λ/k) − (k + 1)·P̂(λ/(k + 1)), which
 * is what an instance's time is worth, and costs what it holds while it rests.
 */
import type { AllocationLimits } from '../domain/plan.js';
import { coresAt, powerCurve, type PowerCurve } from '../perf-model/power-curve.js';
import { allocationAt, stepCount } from './solver.js';
import { whatIf, type WhatIfAnswer, type WhatIfQuestion } from './what-if.js';

/** What a warm instance that rests is charged: its thread and its wake-ups, as in the experiments. */
export const RESTING_MILLICORES = 50;

/** @see WhatIfQuestion; `limits.maxMillicores` is what all instances have together. */
export type InstancesQuestion = Omit<WhatIfQuestion, 'instances'>;

export interface InstancesAnswer extends WhatIfAnswer {
  readonly instances: number;
  /** Of all of them at once. */
  readonly togetherMillicores: number;
  /** k·P̂(λ/k); null where that is more than there is. */
  readonly leastMeanMillicores: number | null;
}

/** Of 1, 2, … `mostInstances`, as far as there is the least allocation for each; for one always. */
export function whatIfUpTo(question: InstancesQuestion, mostInstances: number): InstancesAnswer[] {
  const curve = curveOf(question);
  const { minMillicores, maxMillicores } = question.limits;
  const most = Math.max(1, Math.min(mostInstances, Math.floor(maxMillicores / minMillicores)));
  return Array.from({ length: most }, (_, index) => answerFor(question, index + 1, curve));
}

/** @param instances for which there is the least allocation each */
export function whatIfInstances(question: InstancesQuestion, instances: number): InstancesAnswer {
  return answerFor(question, instances, curveOf(question));
}

/** The number of the least mean cores, each instance charged what it holds while it rests; null where none is feasible. */
export function worthwhileInstances(answers: readonly InstancesAnswer[]): number | null {
  let best: { readonly instances: number; readonly cost: number } | null = null;
  for (const { feasible, instances, leastMeanMillicores } of answers) {
    if (!feasible || leastMeanMillicores === null) continue;
    const cost = leastMeanMillicores + instances * RESTING_MILLICORES;
    if (best === null || cost < best.cost) best = { instances, cost };
  }
  return best?.instances ?? null;
}

/** What one more saves on average, millicores; null where either is not known. */
export function savedByOneMore(answers: readonly InstancesAnswer[], instances: number): number | null {
  const [own, next] = [instances, instances + 1].map(
    (count) => answers.find((answer) => answer.instances === count)?.leastMeanMillicores ?? null,
  );
  return own === null || next === null ? null : own! - next!;
}

/** The least mean cores of so many instances at a rate, millicores; null beyond what they, or the cores, can do. */
export function leastMeanMillicores(
  curve: PowerCurve,
  instances: number,
  ratePerSec: number,
  maxMillicores: number,
): number | null {
  const each = coresAt(curve, ratePerSec / 1000 / instances);
  if (each === null) return null;
  const all = 1000 * instances * each;
  return all <= maxMillicores ? all : null;
}

/** P̂ of one instance, by typical latencies, on whatever it may have; nothing is held at rate 0. */
export function curveOf({ model, limits, maxBatchSize }: InstancesQuestion): PowerCurve {
  return powerCurve({
    latencyMs: (batchSize, cpuMillicores) => model.predictedLatencyMs(batchSize, cpuMillicores),
    maxBatchSize,
    allocations: Array.from({ length: stepCount(limits) }, (_, step) => allocationAt(limits, step)),
    idleMillicores: 0,
  });
}

function answerFor(question: InstancesQuestion, instances: number, curve: PowerCurve): InstancesAnswer {
  const { limits, arrivalRatePerSec } = question;
  const answer = whatIf({ ...question, limits: limitsOfEach(limits, instances), instances });
  return {
    ...answer,
    instances,
    togetherMillicores: instances * answer.cpuMillicores,
    leastMeanMillicores: leastMeanMillicores(curve, instances, arrivalRatePerSec, limits.maxMillicores),
  };
}

/** An equal share of the cores, rounded down to what can be granted. */
export function limitsOfEach(limits: AllocationLimits, instances: number): AllocationLimits {
  if (instances === 1) return limits;
  const { minMillicores, maxMillicores, stepMillicores } = limits;
  const steps = Math.floor((maxMillicores / instances - minMillicores) / stepMillicores);
  return { ...limits, maxMillicores: minMillicores + steps * stepMillicores };
}
