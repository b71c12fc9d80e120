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
 * What is given up as hopeless is late even by the typical latency; whom only a lucky run would save is tried at once, alone
 * (by the planned latency a seventh more was lost where budgets are mixed).
 *
 * It is exact, within one shape class, only in what it promises: no deadline of the queue is given up that the largest allocation
 * would meet. The choice itself is a price, not an optimum.
 *
 * Where a resize takes longer than a batch can wait for it, an allocation cannot be chosen for a batch, nor for the queue of
 * this moment: it will be in force for the one after. So it is held at what sustains the load with more to spare, and raised for
 * what is queued and still due by then.
 */
import { hopefulLatencyMs } from '../domain/latency.js';
import type { InfeasiblePlan, Plan } from '../domain/plan.js';
import { requestsPerBatch } from '../domain/request.js';
import type { PlanDecision, Planner, PlannerView } from './planner.js';
import {
  cheapestBatch,
  firstLate,
  steadyMillicores,
  type BatchChoice,
  type BatchQuestion,
  type Pricing,
} from './pricing.js';
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
/**
 * Timer lateness, the link, the phase of the quota period, and the way to a client on the same busy machine (answers were seen
 * there 8 ms after the router had them). Clockwork (OSDI '20) plans with 5 ms. Costs a thousandth of the CPU.
 */
const MARGIN_MS = 10;
/** An overdue batch is expected to need this share of its prediction still. */
const OVERDUE_FRACTION = 0.05;
/** An overdue batch is looked at again so often. */
const OVERDUE_CHECK_MS = 20;

/** The parts that can be left out, to see what they are worth. */
export interface PricedPlannerOptions {
  readonly prefer: Preference;
  readonly safety?: number;
  readonly lossCoreMs?: number;
  readonly usesForecast?: boolean;
  /** Holds the allocation although resizes are quick. */
  readonly holds?: boolean;
  /** Plans once so often, and at no other time. */
  readonly everyMs?: number;
}

interface Settings {
  readonly fast: Pricing;
  readonly held: Pricing;
  readonly holds: boolean;
}

export function pricedPlanner(options: PricedPlannerOptions): Planner {
  const { prefer, everyMs } = options;
  const rest = { lossCoreMs: options.lossCoreMs ?? LOSS_CORE_MS, usesForecast: options.usesForecast ?? true };
  const settings: Settings = {
    fast: { safety: options.safety ?? SAFETY[prefer], ...rest },
    // The next moment will be over when a slow resize is in force.
    held: { ...rest, safety: options.safety ?? HELD_SAFETY[prefer], usesForecast: false },
    holds: options.holds ?? false,
  };
  return {
    name: 'sponge',
    tickMs: everyMs ?? 500,
    isEventDriven: everyMs === undefined,
    appliesAtOnce: false,
    plan: (view) => {
      const decision = planBy(settings, view);
      return everyMs === undefined ? decision : { plan: decision.plan, hopeless: decision.hopeless };
    },
    holds: stillHolds,
  };
}

function planBy(settings: Settings, view: PlannerView): PlanDecision {
  const { snapshot, current } = view;
  const hopeless = hopelessOf(view);
  const queue = queueOf(view, hopeless);
  const question = queue === null ? null : { ...loadOf(view, settings.fast), ...queue };
  if (isHeld(view, settings)) {
    const canBeMet = question === null || canCatchUp(view, question);
    return { plan: canBeMet ? holding(view, settings.held, question?.dueAtMs ?? []) : infeasible(view), hopeless };
  }
  if (question === null) return { plan: resting(view), hopeless };
  if (snapshot.inFlight !== null) {
    if (!canCatchUp(view, question)) return { plan: infeasible(view), hopeless };
    return { plan: keeping(view, current), hopeless, wakeAtMs: overdueAtMs(view) };
  }
  const choice = cheapestBatch(question);
  if (choice === null) return { plan: infeasible(view), hopeless };
  const headModel = question.models[question.classIndexes?.[0] ?? 0]!;
  const plan: Plan = {
    kind: 'feasible',
    instances: 1,
    cpuMillicores: choice.cpuMillicores,
    batchSize: choice.batchSize,
    boundBy: explain(view, choice, queue!.indexes),
  };
  // The batch that starts now is overdue by then.
  const wakeAtMs = view.nowMs + headModel.plannedLatencyMs(choice.batchSize, choice.cpuMillicores);
  return { plan, hopeless, wakeAtMs };
}

/** While a batch runs, only what cannot be made up for afterwards breaks the plan; a free worker always wants a new one. */
function stillHolds(view: PlannerView): boolean {
  const { snapshot, current } = view;
  if (snapshot.work.length === 0) return true;
  if (current.kind !== 'feasible') return false;
  return snapshot.inFlight !== null && canCatchUp(view, queueOf(view, [])!);
}

/** The queue as pricing sees it, in order of deadline. */
interface PricedQueue extends Pick<
  BatchQuestion,
  'dueAtMs' | 'classIndexes' | 'models' | 'maxBatchSize' | 'rowCounts'
> {
  /** Where in the snapshot each of it is; null where that is the same place. */
  readonly indexes: readonly number[] | null;
}

/** Null where nobody waits but these. */
function queueOf(view: PlannerView, without: readonly number[]): PricedQueue | null {
  const { snapshot, models } = view;
  const { work, maxBatchSize } = snapshot;
  if (work.length === without.length) return null;
  const rowCounts = snapshot.classes.map((each) => each.rowCount);
  // The margin is a wish, and so is the planned latency: who can only just be met is not given up for them.
  const aloneAtMs = models.map((model) => soonestAloneMs(view, model.plannedLatencyMs(1, view.limits.maxMillicores)));
  const wishedAtMs: number[] = [];
  let isInOrder = true;
  for (let index = 0; index < work.length; index++) {
    const { dueAtMs, classIndex } = work[index]!;
    const wishAtMs = Math.max(dueAtMs - MARGIN_MS, aloneAtMs[classIndex]!);
    isInOrder &&= index === 0 || wishedAtMs[index - 1]! <= wishAtMs;
    wishedAtMs.push(wishAtMs);
  }
  if (isInOrder && without.length === 0 && models.length === 1) {
    return { dueAtMs: wishedAtMs, classIndexes: null, models, maxBatchSize, rowCounts, indexes: null };
  }
  const skipped = new Set(without);
  const indexes = wishedAtMs.map((_, index) => index).filter((index) => !skipped.has(index));
  // Under another order than EDF too, each batch is held to the earliest deadline that may be in it.
  indexes.sort((a, b) => wishedAtMs[a]! - wishedAtMs[b]!);
  return {
    dueAtMs: indexes.map((index) => wishedAtMs[index]!),
    classIndexes: models.length === 1 ? null : indexes.map((index) => work[index]!.classIndex),
    models,
    maxBatchSize,
    rowCounts,
    indexes,
  };
}

/** The question without a queue. */
function loadOf(view: PlannerView, pricing: Pricing): Omit<BatchQuestion, 'models' | 'dueAtMs' | 'classIndexes'> {
  const { nowMs, snapshot, limits, forecast } = view;
  const { steadyRatePerSec, expectedRatePerSec, budgets } = forecast;
  const { maxBatchSize } = snapshot;
  return { nowMs, limits, maxBatchSize, steadyRatePerSec, expectedRatePerSec, budgets, pricing };
}

/**
 * Requests that no allocation can save: late even alone, next, at the largest one, by the typical latency or, where that is a
 * guess, by what they surely take.
 */
function hopelessOf(view: PlannerView): number[] {
  const { snapshot } = view;
  if (snapshot.work.length === 0) return [];
  const finishAtMs = view.models.map((model) =>
    soonestAloneMs(view, hopefulLatencyMs(model, 1, view.limits.maxMillicores)),
  );
  const hopeless: number[] = [];
  for (let index = 0; index < snapshot.work.length; index++) {
    const { dueAtMs, classIndex } = snapshot.work[index]!;
    if (finishAtMs[classIndex]! > dueAtMs) hopeless.push(index);
  }
  return hopeless;
}

/** When a request would be done that ran next, alone, at the largest allocation, and took so long. */
function soonestAloneMs(view: PlannerView, latencyMs: number): number {
  return view.nowMs + inFlightMs(view, view.limits.maxMillicores) + latencyMs;
}

/** Is everything met if the largest allocation is granted as soon as the running batch ends? */
function canCatchUp(view: PlannerView, queue: PricedQueue | BatchQuestion): boolean {
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

/** Typical time that the running batch still needs at an allocation, within the threads that it was started with. */
function inFlightMs({ snapshot, inFlightModel }: PlannerView, cpuMillicores: number): number {
  const { inFlight } = snapshot;
  if (inFlight === null) return 0;
  const usableMillicores = Math.min(cpuMillicores, inFlight.threadCount * 1000);
  const remainingFraction = Math.max(OVERDUE_FRACTION, 1 - inFlight.progress);
  return remainingFraction * inFlightModel!.predictedLatencyMs(inFlight.batchSize, usableMillicores);
}

/** Nobody waits: a batch that runs keeps what it has, else the least. */
function resting(view: PlannerView): Plan {
  const { snapshot, limits, current } = view;
  if (snapshot.inFlight !== null) return keeping(view, current);
  const { minMillicores: cpuMillicores } = limits;
  return { kind: 'feasible', instances: 1, cpuMillicores, batchSize: snapshot.maxBatchSize, boundBy: 'idle' };
}

// ---- slow actuators --------------------------------------------------------------------------------------------------

function isHeld({ isActuatorSlow }: PlannerView, { holds }: Settings): boolean {
  return holds || isActuatorSlow;
}

/**
 * What sustains the load, and what of the queue will still wait when a resize asked for now is in force: what is not served
 * until then on what is held, in full batches, and can still be met.
 */
function holding(view: PlannerView, pricing: Pricing, queueDueAtMs: readonly number[]): Plan {
  const { snapshot, arrivalModel: model, arrivalRowCount, resizeDelayMs, forecast, limits, grantedMillicores } = view;
  const maxBatchSize = requestsPerBatch(snapshot.maxBatchSize, arrivalRowCount);
  const nowMs = view.nowMs + resizeDelayMs;
  const batchMs = model.predictedLatencyMs(maxBatchSize, Math.max(limits.minMillicores, grantedMillicores));
  const served = batchMs === 0 ? 0 : Math.floor((resizeDelayMs / batchMs) * maxBatchSize);
  const soonestAtMs = nowMs + model.predictedLatencyMs(1, limits.maxMillicores);
  const dueAtMs = queueDueAtMs.slice(served).filter((due) => due >= soonestAtMs);
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
    }),
    batchSize: maxBatchSize,
    boundBy: `arrival rate ${forecast.steadyRatePerSec.toFixed(1)}/s, ${resizeDelayMs.toFixed(0)} ms ahead`,
  };
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

function explain(
  { snapshot, nowMs, forecast }: PlannerView,
  { boundBy }: BatchChoice,
  indexes: readonly number[] | null,
): string {
  switch (boundBy) {
    case 'price':
      return `arrival rate ${forecast.steadyRatePerSec.toFixed(1)}/s`;
    case 'forecast':
      return `${forecast.expectedRatePerSec.toFixed(1)} arrivals/s expected`;
    case 'loss':
      return 'tight budgets that may arrive';
    default: {
      const index = indexes === null ? boundBy.deadlineOf : indexes[boundBy.deadlineOf]!;
      const leftMs = snapshot.work[index]!.dueAtMs - nowMs;
      return `deadline of request ${snapshot.sequences[index]!} in ${leftMs.toFixed(0)} ms`;
    }
  }
}
