/*
 * The default planner: it puts a price on the worker's time (`pricing.ts`) and chooses each batch together with the cores to run
 * it on, from the actual queue, whenever the worker is free.
 *
 * - The worker is free and somebody waits: the cheapest batch that keeps every deadline, started at once.
 * - A batch runs: nothing is changed by what arrives, as long as the largest allocation can still make up for it afterwards.
 * - Not everything can be met: the largest allocation, and the data plane sheds.
 * - Nobody waits: the least allocation.
 *
 * It is exact within one shape class only in what it promises, that no deadline of the queue is given up that the largest
 * allocation would meet; the choice itself is a price, not an optimum. A queue of several classes is left to the integer program.
 * Where a resize takes longer than a batch can wait for it, the allocation is held at what sustains the load.
 */
import type { InfeasiblePlan, Plan } from '../domain/plan.js';
import { MAX_AWAITED_RESIZE_MS } from './scaler.js';
import type { PlanDecision, Planner, PlannerView } from './planner.js';
import { cheapestBatch, meetsBehind, steadyMillicores, type BatchChoice, type BatchQuestion } from './pricing.js';
import { eventPlanner, type Preference } from './program-planner.js';

/** κ: what sustains the load, times √κ. Chosen in simulation, see docs/planner.md. */
const SAFETY: Readonly<Record<Preference, number>> = { cpu: 1.6, latency: 6 };
/** Timer lateness, the link and the phase of the quota period (Clockwork, OSDI '20, uses 5 ms too). */
const MARGIN_MS = 5;
/** An overdue batch is expected to need this share of its prediction still. */
const OVERDUE_FRACTION = 0.05;

export function pricedPlanner(prefer: Preference): Planner {
  const program = eventPlanner(prefer);
  const safety = SAFETY[prefer];
  return {
    name: 'sponge',
    tickMs: 500,
    isEventDriven: true,
    appliesAtOnce: false,
    plan: (view) => (view.snapshot.classes.length > 1 ? program.plan(view) : planOneClass(view, safety)),
    holds: (view) => (view.snapshot.classes.length > 1 ? program.holds(view) : holdsForOneClass(view, safety)),
  };
}

function planOneClass(view: PlannerView, safety: number): PlanDecision {
  const { snapshot, limits, current } = view;
  const hopeless = hopelessOf(view);
  const question = questionOf(view, hopeless.length === 0 ? NOBODY : new Set(hopeless), safety);
  if (question === null) return { plan: resting(view, safety), hopeless };
  if (snapshot.inFlight !== null) {
    return { plan: canCatchUp(view, question) ? keeping(view, current) : infeasible(view), hopeless };
  }
  const choice = cheapestBatch(question);
  if (choice === null) return { plan: infeasible(view), hopeless };
  const isFast = view.resizeDelayMs <= MAX_AWAITED_RESIZE_MS;
  const cpuMillicores = isFast ? choice.cpuMillicores : Math.max(choice.cpuMillicores, steadyMillicores(question));
  const plan: Plan = {
    kind: 'feasible',
    instances: 1,
    cpuMillicores: Math.min(cpuMillicores, limits.maxMillicores),
    batchSize: choice.batchSize,
    boundBy: explain(view, choice),
  };
  return { plan, hopeless };
}

/** While a batch runs, only what cannot be made up for afterwards breaks the plan; a free worker always wants a new one. */
function holdsForOneClass(view: PlannerView, safety: number): boolean {
  const { snapshot, current } = view;
  if (snapshot.work.length === 0) return true;
  if (snapshot.inFlight === null || current.kind !== 'feasible') return false;
  return canCatchUp(view, questionOf(view, NOBODY, safety)!);
}

const NOBODY: ReadonlySet<number> = new Set();

/** Null where nobody waits. */
function questionOf(view: PlannerView, without: ReadonlySet<number>, safety: number): BatchQuestion | null {
  const { nowMs, snapshot, models, limits, forecast } = view;
  if (snapshot.work.length === without.size) return null;
  const aloneAtMs = soonestAloneMs(view);
  const dueAtMs: number[] = [];
  snapshot.work.forEach((request, index) => {
    if (without.has(index)) return;
    // The margin is a wish: who can only just be met is not given up for it.
    dueAtMs.push(Math.max(request.dueAtMs - MARGIN_MS, Math.min(request.dueAtMs, aloneAtMs)));
  });
  // Under another order than EDF too, each batch is held to the earliest deadline that may be in it.
  dueAtMs.sort((a, b) => a - b);
  const { steadyRatePerSec, expectedRatePerSec, budgets } = forecast;
  return {
    nowMs,
    dueAtMs,
    model: models[0]!,
    limits,
    maxBatchSize: snapshot.maxBatchSize,
    steadyRatePerSec,
    expectedRatePerSec,
    budgets,
    safety,
  };
}

/** Requests that no allocation can save: late even alone, next, at the largest one. */
function hopelessOf(view: PlannerView): number[] {
  const { snapshot } = view;
  if (snapshot.work.length === 0) return [];
  const finishAtMs = soonestAloneMs(view);
  const hopeless: number[] = [];
  for (let index = 0; index < snapshot.work.length; index++) {
    if (finishAtMs > snapshot.work[index]!.dueAtMs) hopeless.push(index);
  }
  return hopeless;
}

/** When a request would be done that ran next, alone, at the largest allocation, by the planned latency. */
function soonestAloneMs(view: PlannerView): number {
  const { maxMillicores } = view.limits;
  return view.nowMs + inFlightMs(view, maxMillicores) + view.models[0]!.plannedLatencyMs(1, maxMillicores);
}

/** Is everything met if the largest allocation is granted as soon as the running batch ends? */
function canCatchUp(view: PlannerView, question: BatchQuestion): boolean {
  const freeAtMs = view.nowMs + inFlightMs(view, view.current.cpuMillicores);
  return meetsBehind(question, 0, freeAtMs, view.limits.maxMillicores);
}

/** Typical time that the running batch still needs at an allocation, within the threads that it was started with. */
function inFlightMs({ snapshot, inFlightModel }: PlannerView, cpuMillicores: number): number {
  const { inFlight } = snapshot;
  if (inFlight === null) return 0;
  const usableMillicores = Math.min(cpuMillicores, inFlight.threadCount * 1000);
  const remainingFraction = Math.max(OVERDUE_FRACTION, 1 - inFlight.progress);
  return remainingFraction * inFlightModel!.predictedLatencyMs(inFlight.batchSize, usableMillicores);
}

/** Nobody waits: a batch that runs keeps what it has, else the least; where growth takes long, what the load will need. */
function resting(view: PlannerView, safety: number): Plan {
  const { snapshot, limits, current, forecast } = view;
  if (snapshot.inFlight !== null) return keeping(view, current);
  const isFast = view.resizeDelayMs <= MAX_AWAITED_RESIZE_MS;
  const { steadyRatePerSec, expectedRatePerSec, budgets } = forecast;
  const { nowMs, arrivalModel: model } = view;
  const { maxBatchSize } = snapshot;
  const cpuMillicores = isFast
    ? limits.minMillicores
    : steadyMillicores({
        nowMs,
        dueAtMs: [],
        model,
        limits,
        maxBatchSize,
        steadyRatePerSec,
        expectedRatePerSec,
        budgets,
        safety,
      });
  return { kind: 'feasible', instances: 1, cpuMillicores, batchSize: maxBatchSize, boundBy: 'idle' };
}

function keeping({ snapshot }: PlannerView, { cpuMillicores }: Plan): Plan {
  const { maxBatchSize } = snapshot;
  return { kind: 'feasible', instances: 1, cpuMillicores, batchSize: maxBatchSize, boundBy: 'batch in flight' };
}

function infeasible({ limits, snapshot }: PlannerView): InfeasiblePlan {
  return {
    kind: 'infeasible',
    instances: 1,
    cpuMillicores: limits.maxMillicores,
    batchSize: snapshot.maxBatchSize,
    reason: 'deadlines',
  };
}

function explain({ snapshot, nowMs, forecast }: PlannerView, { boundBy }: BatchChoice): string {
  switch (boundBy) {
    case 'price':
      return `arrival rate ${forecast.steadyRatePerSec.toFixed(1)}/s`;
    case 'head':
      return `deadline of request ${snapshot.sequences[0]!} in ${(snapshot.work[0]!.dueAtMs - nowMs).toFixed(0)} ms`;
    case 'queue':
      return `deadlines of ${snapshot.work.length} queued requests`;
    case 'loss':
      return 'tight budgets that may arrive';
  }
}
