/*
 * The solver decides the plan: the least allocation, then the least batch size, at which every queued request that can
 * still be saved meets its own deadline and predicted arrivals are kept up with. Third stage of the control plane,
 * between the estimator and the scaler.
 *
 * Invariants: exact and deterministic; one unsalvageable request never drives the allocation up; a larger queue or rate of one
 * class never gets fewer cores.
 *
 * How: for a fixed b both constraints are monotone in c, so the least c is found by bisection; a batch size that fails
 * one step below the best allocation so far cannot improve on it and costs a single replay. In b neither is monotone (a
 * larger batch delays its head and hurries the rest), so every b is looked at. Rejected: stepping through all (c, b),
 * which replays the queue thousands of times when a late deadline binds, and closed forms per b, which need a latency
 * model of known shape.
 *
 * Unlike the paper (§3), which bounds every request by the longest network delay of all, each has its own deadline here
 * and the batch in flight counts.
 */
import type { AllocationLimits } from '../domain/plan.js';
import { requestsPerBatch } from '../domain/request.js';
import { EdfSchedule, finishByMs, NO_MARGIN, type Margin } from './edf-schedule.js';
import type { PlanningProblem, Solution } from './program.js';

/** @param margin to be kept to every deadline */
export function solve(asked: PlanningProblem, margin = NO_MARGIN): Solution {
  const { problem, queueIndices, unsalvageable } = setUnsalvageableAside(asked, margin);
  const { limits, maxBatchSize } = problem;
  const schedule = new EdfSchedule(problem, margin);

  // Large batches first: their replays are short, and then most smaller ones fail at once.
  const topStep = stepCount(limits) - 1;
  let bestStep = topStep + 1;
  for (let batchSize = maxBatchSize; batchSize >= 1 && bestStep > 0; batchSize--) {
    if (!isFeasible(problem, schedule, bestStep - 1, batchSize)) continue;
    let low = 0;
    let high = bestStep - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isFeasible(problem, schedule, middle, batchSize)) high = middle;
      else low = middle + 1;
    }
    bestStep = low;
  }

  if (bestStep > topStep) {
    const meeting = leastBatchSize(maxBatchSize, (size) => schedule.firstLate(limits.maxMillicores, size) === -1);
    return { kind: 'infeasible', reason: meeting === null ? 'deadlines' : 'arrival-rate', unsalvageable };
  }
  const batchSize = leastBatchSize(maxBatchSize, (size) => isFeasible(problem, schedule, bestStep, size))!;
  const cpuMillicores = allocationAt(limits, bestStep);
  if (bestStep === 0) {
    return { kind: 'feasible', cpuMillicores, batchSize, boundBy: { kind: 'floor' }, unsalvageable };
  }
  const late = schedule.firstLate(allocationAt(limits, bestStep - 1), batchSize);
  const boundBy =
    late === -1
      ? { kind: 'arrival-rate' as const }
      : { kind: 'deadline' as const, queueIndex: queueIndices?.[late] ?? late + unsalvageable.length };
  return { kind: 'feasible', cpuMillicores, batchSize, boundBy, unsalvageable };
}

/**
 * Would every request of the problem's queue be met at this (c, b)? Nothing is set aside and arrivals do not count. To
 * ask it of a worker that is busy until an instant, give the problem an `inFlightRemainingMs` that lasts until then.
 */
export function isScheduleFeasible(
  problem: PlanningProblem,
  cpuMillicores: number,
  batchSize: number,
  margin = NO_MARGIN,
): boolean {
  return new EdfSchedule(problem, margin).firstLate(cpuMillicores, batchSize) === -1;
}

/** Allocations in {min, min + step, …} ∪ {max}. */
export function stepCount(limits: AllocationLimits): number {
  return Math.ceil((limits.maxMillicores - limits.minMillicores) / limits.stepMillicores) + 1;
}

/** The allocation of a step, 0 for the least; the last one is the maximum, on the grid or not. */
export function allocationAt(limits: AllocationLimits, step: number): number {
  return Math.min(limits.minMillicores + step * limits.stepMillicores, limits.maxMillicores);
}

function isFeasible(problem: PlanningProblem, schedule: EdfSchedule, step: number, batchSize: number): boolean {
  const cpuMillicores = allocationAt(problem.limits, step);
  return keepsUp(problem, cpuMillicores, batchSize) && schedule.firstLate(cpuMillicores, batchSize) === -1;
}

/** h(b, c) ≥ λ, written without the division so that whole numbers compare exactly. */
function keepsUp(problem: PlanningProblem, cpuMillicores: number, asked: number): boolean {
  const batchSize = Math.min(asked, requestsPerBatch(problem.maxBatchSize, problem.arrivalRowCount));
  const latencyMs = problem.arrivalModel.plannedLatencyMs(batchSize, cpuMillicores);
  return problem.arrivalRatePerSec * latencyMs <= 1000 * batchSize;
}

interface Salvageable {
  /** With what can still be saved. */
  readonly problem: PlanningProblem;
  /** Index in the whole queue of each that is left; null where that is its own position. */
  readonly queueIndices: readonly number[] | null;
  readonly unsalvageable: readonly number[];
}

/** Sets aside what would be late even alone, next, and at the largest allocation. */
function setUnsalvageableAside(problem: PlanningProblem, margin: Margin): Salvageable {
  const { queue, models, limits } = problem;
  const freeAtMs = problem.nowMs + problem.inFlightRemainingMs(limits.maxMillicores);
  const earliestFinishAtMs = models.map((model) => freeAtMs + model.plannedLatencyMs(1, limits.maxMillicores));
  const unsalvageable: number[] = [];
  for (let index = 0; index < queue.length; index++) {
    const request = queue[index]!;
    if (earliestFinishAtMs[request.classIndex]! > finishByMs(request, problem.nowMs, margin)) unsalvageable.push(index);
  }
  if (unsalvageable.length === 0) return { problem, queueIndices: null, unsalvageable };
  const aside = new Set(unsalvageable);
  const queueIndices = [...queue.keys()].filter((index) => !aside.has(index));
  const salvageable = {
    ...problem,
    queue: queueIndices.map((index) => queue[index]!),
    behind: problem.behind?.map(({ place, dueAtMs }) => ({ place: place - unsalvageable.length, dueAtMs })),
  };
  return { problem: salvageable, queueIndices, unsalvageable };
}

function leastBatchSize(maxBatchSize: number, holds: (batchSize: number) => boolean): number | null {
  for (let batchSize = 1; batchSize <= maxBatchSize; batchSize++) if (holds(batchSize)) return batchSize;
  return null;
}
