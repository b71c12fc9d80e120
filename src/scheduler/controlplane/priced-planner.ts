/*
 * The default planner: it puts a price on the worker's time (`pricing.ts`) and chooses each batch together with the cores to run
 * it on, from the actual queue, whenever the worker is free.
 *
 * - The worker is free and somebody waits: the cheapest batch that keeps every deadline, started at once.
 * - A batch runs: nothing is changed by what arrives, as long as the largest allocation can still make up for it afterwards.
 *   Whether it can is asked on every arrival, when the batch ends, and by a timer while it takes longer than planned.
 * - Not everything can be met: the largest allocation, and the data plane sheds.
 * - Nobody waits: the least allocation.
 *
 * What is given up as unsalvageable is late even by the typical latency; whom only a lucky run would save is tried at once, alone
 * (by the planned latency a seventh more was lost where budgets are mixed).
 *
 * It is exact, within one shape class, only in what it promises: no deadline of the queue is given up that the largest allocation
 * would meet. The choice itself is a price, not an optimum.
 *
 * Where a resize takes longer than a batch can wait for it, an allocation cannot be chosen for a batch, nor for the queue of
 * this moment: it will be in force for the one after. So it is held at what sustains the load with more to spare, and raised for
 * what is queued and still due by then.
 */
import type { InfeasiblePlan, Plan } from '../domain/plan.js';
import { requestsPerBatch } from '../domain/request.js';
import { boundOf, heldBound, loadOf } from './plan-reasons.js';
import { unsalvageableOf, queueOf, remainingMs, type PlannedQueue } from './planned-queue.js';
import type { PlanDecision, Planner, PlannerView } from './planner.js';
import { cheapestBatch, firstLate, steadyMillicores, type BatchQuestion, type Pricing } from './pricing.js';
import type { Preference } from './program-planner.js';

/**
 * κ: what sustains the load, times √κ. Like the other constants chosen in simulation, once for all scenarios, on seeds that
 * no published number uses: docs/planner.md.
 */
const SAFETY: Readonly<Record<Preference, number>> = { cpu: 1.4, latency: 6 };
/** The same where an allocation is held because resizes are slow: nothing else can answer a cluster of arrivals. */
const HELD_SAFETY: Readonly<Record<Preference, number>> = { cpu: 2.8, latency: 6 };
/** What losing a request costs: 35 cores for a second. Twice as much costs 3 % of CPU where budgets are mixed. */
const LOSS_CORE_MS = 35_000;
/** An overdue batch is looked at again so often. */
const OVERDUE_CHECK_MS = 20;

/** The parts that can be left out, to see what they are worth. */
export interface PricedPlannerOptions {
  readonly prefer: Preference;
  readonly safety?: number;
  readonly lossCoreMs?: number;
  readonly usesForecast?: boolean;
  /** Holds the allocation although resizes are quick. */
  readonly holdsAllocation?: boolean;
  /** Plans once so often, and at no other time. */
  readonly everyMs?: number;
}

interface Settings {
  readonly fast: Pricing;
  readonly held: Pricing;
  readonly holdsAllocation: boolean;
}

export function pricedPlanner(options: PricedPlannerOptions): Planner {
  const { prefer, everyMs } = options;
  const rest = { lossCoreMs: options.lossCoreMs ?? LOSS_CORE_MS, usesForecast: options.usesForecast ?? true };
  const settings: Settings = {
    fast: { safety: options.safety ?? SAFETY[prefer], ...rest },
    // The next moment will be over when a slow resize is in force.
    held: { ...rest, safety: options.safety ?? HELD_SAFETY[prefer], usesForecast: false },
    holdsAllocation: options.holdsAllocation ?? false,
  };
  return {
    name: 'sponge',
    tickMs: everyMs ?? 500,
    isEventDriven: everyMs === undefined,
    appliesAtOnce: false,
    plansInstances: false,
    plan: (view) => {
      const decision = planBy(settings, view);
      return everyMs === undefined ? decision : { plan: decision.plan, unsalvageable: decision.unsalvageable };
    },
    isStillValid,
  };
}

function planBy(settings: Settings, view: PlannerView): PlanDecision {
  const { snapshot, current } = view;
  const freeAtMs = view.nowMs + inFlightMs(view, view.limits.maxMillicores);
  const unsalvageable = unsalvageableOf(view, freeAtMs);
  const queue = queueOf(view, unsalvageable, freeAtMs);
  const question = queue === null ? null : questionOf(view, settings.fast, queue);
  if (isHeld(view, settings)) {
    const canBeMet = question === null || canCatchUp(view, question);
    return { plan: canBeMet ? holding(view, settings.held, question) : infeasible(view), unsalvageable };
  }
  if (question === null) return { plan: resting(view), unsalvageable };
  if (snapshot.inFlight !== null) {
    if (!canCatchUp(view, question)) return { plan: infeasible(view), unsalvageable };
    return { plan: keeping(view, current), unsalvageable, wakeAtMs: overdueAtMs(view) };
  }
  const choice = cheapestBatch(question);
  if (choice === null) return { plan: infeasible(view), unsalvageable };
  const headModel = question.models[question.classIndexes?.[0] ?? 0]!;
  const plan: Plan = {
    kind: 'feasible',
    instances: 1,
    cpuMillicores: choice.cpuMillicores,
    batchSize: choice.batchSize,
    boundBy: boundOf(view, choice, queue!.indexes),
  };
  // The batch that starts now is overdue by then.
  const wakeAtMs = view.nowMs + headModel.plannedLatencyMs(choice.batchSize, choice.cpuMillicores);
  return { plan, unsalvageable, wakeAtMs };
}

/** Written out: an object of two that are spread has no shape that the engine knows, and this one is read thousands of times. */
function questionOf(view: PlannerView, pricing: Pricing, queue: PlannedQueue): BatchQuestion {
  const { steadyRatePerSec, expectedRatePerSec, budgets } = view.forecast;
  return {
    nowMs: view.nowMs,
    dueAtMs: queue.dueAtMs,
    classIndexes: queue.classIndexes,
    behind: queue.behind,
    models: queue.models,
    limits: view.limits,
    maxBatchSize: queue.maxBatchSize,
    rowCounts: queue.rowCounts,
    steadyRatePerSec,
    expectedRatePerSec,
    budgets,
    pricing,
  };
}

/** While a batch runs, only what cannot be made up for afterwards breaks the plan; a free worker always wants a new one. */
function isStillValid(view: PlannerView): boolean {
  const { snapshot, current } = view;
  if (snapshot.work.length === 0) return true;
  if (current.kind !== 'feasible') return false;
  if (snapshot.inFlight === null) return false;
  const freeAtMs = view.nowMs + inFlightMs(view, view.limits.maxMillicores);
  return canCatchUp(view, queueOf(view, [], freeAtMs)!);
}

/** Is everything met if the largest allocation is granted as soon as the running batch ends? */
function canCatchUp(view: PlannerView, queue: PlannedQueue | BatchQuestion): boolean {
  const freeAtMs = view.nowMs + inFlightMs(view, view.current.cpuMillicores);
  return firstLate(queue, 0, freeAtMs, view.limits.maxMillicores) === -1;
}

/** From then on the running batch takes longer than planned, and what waits behind it may no longer be met. */
function overdueAtMs({ nowMs, snapshot, inFlightModel, current }: PlannerView): number {
  const { batchSize, threadCount, progress } = snapshot.inFlight!;
  const usableMillicores = Math.min(current.cpuMillicores, threadCount * 1000);
  const doneMs = progress * inFlightModel!.predictedLatencyMs(batchSize, usableMillicores);
  return nowMs + Math.max(OVERDUE_CHECK_MS, inFlightModel!.plannedLatencyMs(batchSize, usableMillicores) - doneMs);
}

/** Typical time that the running batch still needs at an allocation; 0 without one. */
function inFlightMs(view: PlannerView, cpuMillicores: number): number {
  return view.snapshot.inFlight === null ? 0 : remainingMs(view, 0, cpuMillicores);
}

/** Nobody waits: a batch that runs keeps what it has, else the least. */
function resting(view: PlannerView): Plan {
  const { snapshot, limits, current } = view;
  if (snapshot.inFlight !== null) return keeping(view, current);
  const { minMillicores: cpuMillicores } = limits;
  return { kind: 'feasible', instances: 1, cpuMillicores, batchSize: snapshot.maxBatchSize, boundBy: { kind: 'idle' } };
}

// ---- slow actuators --------------------------------------------------------------------------------------------------

function isHeld({ isActuatorSlow }: PlannerView, { holdsAllocation }: Settings): boolean {
  return holdsAllocation || isActuatorSlow;
}

/**
 * What sustains the load, and what of the queue will still wait when a resize asked for now is in force: what is not served
 * until then on what is held, in full batches, and can still be met.
 */
function holding(view: PlannerView, pricing: Pricing, queue: BatchQuestion | null): Plan {
  const { snapshot, arrivalModel: model, arrivalRowCount, resizeDelayMs, limits, grantedMillicores } = view;
  const maxBatchSize = requestsPerBatch(snapshot.maxBatchSize, arrivalRowCount);
  const nowMs = view.nowMs + resizeDelayMs;
  const batchMs = model.predictedLatencyMs(maxBatchSize, Math.max(limits.minMillicores, grantedMillicores));
  const served = batchMs === 0 ? 0 : Math.floor((resizeDelayMs / batchMs) * maxBatchSize);
  const soonestAtMs = nowMs + model.predictedLatencyMs(1, limits.maxMillicores);
  const dueAtMs = (queue?.dueAtMs ?? []).slice(served).filter((due) => due >= soonestAtMs);
  const behind = (queue?.behind ?? [])
    .filter((mark) => mark.place >= served && mark.dueAtMs >= soonestAtMs)
    .map((mark) => ({ ...mark, place: mark.place - served }));
  return {
    kind: 'feasible',
    instances: 1,
    cpuMillicores: steadyMillicores({
      ...loadOf(view, pricing),
      nowMs,
      models: [model],
      rowCounts: [arrivalRowCount],
      classIndexes: null,
      dueAtMs,
      behind,
    }),
    batchSize: maxBatchSize,
    boundBy: heldBound(view),
  };
}

function keeping({ snapshot }: PlannerView, { cpuMillicores }: Plan): Plan {
  const { maxBatchSize } = snapshot;
  return { kind: 'feasible', instances: 1, cpuMillicores, batchSize: maxBatchSize, boundBy: { kind: 'running-batch' } };
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
