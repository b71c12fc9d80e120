/*
 * The planner that asks the integer program: once a tick as the paper does, or whenever something happens.
 *
 * A plan is first sought with a safety margin on every deadline. When that has none, the deadlines themselves decide:
 * a margin is a preference and must never cost a request. When those have none either, the plan is infeasible: the largest
 * allocation, and the data plane sheds. A stale plan is never kept (unlike the released code of the paper).
 */
import type { LatencyModel } from '../domain/latency.js';
import type { FeasiblePlan, InfeasiblePlan } from '../domain/plan.js';
import type { PlanBound } from '../domain/plan-bound.js';
import type { BatchInFlight } from '../domain/queue-snapshot.js';
import type { Margin } from './edf-schedule.js';
import { deadlineBound } from './plan-reasons.js';
import type { PlanDecision, Planner, PlannerView } from './planner.js';
import type { PlanningProblem, Solution } from './program.js';
import { isScheduleFeasible, solve } from './solver.js';

/** What is traded: `cpu` uses budgets up, `latency` plans to finish in about half of what is left. */
export type Preference = 'cpu' | 'latency';

/** 5 ms: Clockwork (OSDI '20); covers timer lateness, the link and the phase of the quota period. */
const MARGIN_MS = 5;
const MARGIN_FRACTION = 0.03;
const LATENCY_PREFERENCE_FRACTION = 0.5;

/** An overdue batch is expected to need this share of its prediction still: it may end at any moment. */
const OVERDUE_FRACTION = 0.05;

interface ProgramPlannerOptions {
  readonly name: string;
  readonly tickMs: number;
  readonly isEventDriven: boolean;
  readonly prefer: Preference;
}

/** The paper's planner: the program, once a second (EuroMLSys '24 §3). */
export function paperPlanner(prefer: Preference): Planner {
  return programPlanner({ name: 'paper', tickMs: 1000, isEventDriven: false, prefer });
}

/** The same program whenever something happens. The tick follows the arrival rate when nothing breaks the plan. */
export function eventPlanner(prefer: Preference): Planner {
  return programPlanner({ name: 'program', tickMs: 500, isEventDriven: true, prefer });
}

function programPlanner(options: ProgramPlannerOptions): Planner {
  const fraction = options.prefer === 'latency' ? LATENCY_PREFERENCE_FRACTION : MARGIN_FRACTION;
  const margin: Margin = { ms: MARGIN_MS, fraction };
  return {
    name: options.name,
    tickMs: options.tickMs,
    isEventDriven: options.isEventDriven,
    appliesAtOnce: false,
    plansInstances: false,
    plan: (view) => planBySolving(view, margin),
    isStillValid: (view) => isValidWithMargin(view, margin),
  };
}

/** With the margin that planning prefers; without it where no more CPU could restore it. */
function isValidWithMargin(view: PlannerView, margin: Margin): boolean {
  const { current, limits } = view;
  if (current.kind !== 'feasible') return false;
  const { cpuMillicores, batchSize } = current;
  const problem = problemOf(view);
  if (isScheduleFeasible(problem, cpuMillicores, batchSize, margin)) return true;
  return cpuMillicores === limits.maxMillicores && isScheduleFeasible(problem, cpuMillicores, batchSize);
}

function planBySolving(view: PlannerView, margin: Margin): PlanDecision {
  const problem = problemOf(view);
  const preferred = solve(problem, margin);
  if (preferred.kind === 'feasible' && preferred.unsalvageable.length === 0) return feasible(view, preferred);
  const needed = solve(problem);
  return needed.kind === 'feasible' ? feasible(view, needed) : infeasible(view, needed);
}

function problemOf(view: PlannerView): PlanningProblem {
  const { inFlight } = view.snapshot;
  return {
    nowMs: view.nowMs,
    queue: view.snapshot.work,
    behind: view.snapshot.behind,
    models: view.models,
    inFlightRemainingMs(cpuMillicores) {
      return inFlight === null ? 0 : remainingMs(inFlight, view.inFlightModel!, cpuMillicores);
    },
    arrivalRatePerSec: view.forecast.arrivalRatePerSec,
    arrivalModel: view.arrivalModel,
    arrivalRowCount: view.arrivalRowCount,
    limits: view.limits,
    maxBatchSize: view.snapshot.maxBatchSize,
    rowCounts: view.snapshot.classes.map((each) => each.rowCount),
  };
}

/** Planned time that a running batch still needs at an allocation; its threads are fixed, so more CPU than them is wasted. */
export function remainingMs(batch: BatchInFlight, model: LatencyModel, cpuMillicores: number): number {
  const usableMillicores = Math.min(cpuMillicores, batch.threadCount * 1000);
  const remainingFraction = Math.max(OVERDUE_FRACTION, 1 - batch.progress);
  return remainingFraction * model.plannedLatencyMs(batch.batchSize, usableMillicores);
}

function feasible(view: PlannerView, solution: Extract<Solution, { kind: 'feasible' }>): PlanDecision {
  const { cpuMillicores, batchSize, boundBy, unsalvageable } = solution;
  const plan: FeasiblePlan = {
    kind: 'feasible',
    instances: 1,
    cpuMillicores,
    batchSize,
    boundBy: boundOf(view, boundBy),
  };
  return { plan, unsalvageable };
}

function boundOf(view: PlannerView, boundBy: Extract<Solution, { kind: 'feasible' }>['boundBy']): PlanBound {
  switch (boundBy.kind) {
    case 'floor':
      return { kind: 'least-allocation' };
    case 'arrival-rate':
      return { kind: 'arrival-rate', ratePerSec: view.forecast.arrivalRatePerSec };
    case 'deadline':
      return deadlineBound(view, boundBy.queueIndex);
  }
}

function infeasible(view: PlannerView, solution: Extract<Solution, { kind: 'infeasible' }>): PlanDecision {
  const plan: InfeasiblePlan = {
    kind: 'infeasible',
    instances: 1,
    cpuMillicores: view.limits.maxMillicores,
    batchSize: view.snapshot.maxBatchSize,
    reason: solution.reason,
  };
  return { plan, unsalvageable: solution.unsalvageable };
}
