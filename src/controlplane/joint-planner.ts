/*
 * The default planner of a model with several warm instances: whenever one is free and somebody waits, it chooses the batch to start and
 * the cores to run it on (`instance-choice.ts`), or to wait for one more. Those that run keep what they were given; those that rest hold
 * nothing.
 *
 * While all run nothing can be started; whether the queue is still met when they come free is asked on every arrival, so that who is to be
 * given up is told at once.
 *
 * Where a resize takes longer than a batch can wait for it, an allocation cannot be chosen for a batch: each instance is held at what
 * sustains its share of the load.
 */
import type { InfeasiblePlan, Plan } from '../domain/plan.js';
import {
  chooseStart,
  divideOverload,
  lastingOf,
  metLaterOn,
  type InstanceQuestion,
  type OverloadDivision,
  type StartChoice,
} from './instance-choice.js';
import { freeInstance, startableMillicores, withStart } from './instance-plan.js';
import { chooseVictims } from './overload-victims.js';
import { explain, loadOf } from './plan-reasons.js';
import { busyUntilMs, hopelessOf, queueOf, type PlannedQueue } from './planned-queue.js';
import type { PlanDecision, Planner, PlannerView } from './planner.js';
import type { Preference } from './program-planner.js';
import { steadyMillicores, type Pricing } from './pricing.js';
import { allocationLevels, TimePrices } from './time-price.js';

/** What losing a request costs: 15 cores for a second. */
const LOSS_CORE_MS = 15_000;
/**
 * So many of the first due are planned; who waits behind them is seen when they are gone. Without a bound an arrival cost 2.4 ms with 1,000
 * and 26 ms with 10,000 in an overloaded queue, and whoever sends them would stop the router for all.
 */
const MOST_PLANNED = 256;
/** While all instances run, the queue is looked at again so often, if nothing happens. */
const CHECK_MS = 20;
const WAITING_FOR_CORES = 'other models have the cores';

/** Where allocations are held: nothing else can answer a cluster of arrivals, and the next moment is over when a resize is in force. */
const HELD_PRICING: Pricing = { safety: 2.8, lossCoreMs: LOSS_CORE_MS, usesForecast: false };

/** What sustains the load, times so much; as `--prefer` does for one worker, whose rate it multiplies by the root of κ. */
const SAFETY: Readonly<Record<Preference, number>> = { cpu: 1, latency: 2.4 };

/** `latency`: time is dear sooner, and nothing waits to share a batch. */
export function jointPlanner(prefer: Preference = 'cpu'): Planner {
  const pricing: Pricing = { safety: SAFETY[prefer], lossCoreMs: LOSS_CORE_MS, usesForecast: true };
  const planning = new JointPlanning(pricing, prefer === 'cpu');
  return {
    name: 'sponge',
    tickMs: 500,
    isEventDriven: true,
    appliesAtOnce: false,
    plansInstances: true,
    plan: (view) => planning.plan(view),
    holds: (view) => planning.holds(view),
  };
}

const OVERLOAD = { kind: 'overload' } as const;

class JointPlanning {
  readonly #pricing: Pricing;
  readonly #mayWait: boolean;
  readonly #prices = new TimePrices();
  #levels: readonly number[] = [];
  #levelsOf: PlannerView['limits'] | null = null;

  constructor(pricing: Pricing, mayWait: boolean) {
    this.#pricing = pricing;
    this.#mayWait = mayWait;
  }

  plan(view: PlannerView): PlanDecision {
    const busyUntil = busyUntilMs(view);
    const instance = startableInstance(view);
    const firstFreeAtMs = instance === null ? nextStartAtMs(view, busyUntil) : view.nowMs;
    const hopeless = hopelessOf(view, firstFreeAtMs);
    const queue = queueOf(view, hopeless, firstFreeAtMs);
    if (view.isActuatorSlow) return { ...this.#held(view, queue, busyUntil), hopeless };
    if (queue === null) return { plan: this.#noStart(view, 'idle'), hopeless };
    const question = this.#questionOf(view, queue, busyUntil);
    if (instance === null) return { ...this.#whileNoneStarts(view, question, queue), hopeless };
    const mustShed = lastingOf(question) > 0 && divideOverload(question).leftCount > 0;
    const choice = mustShed ? OVERLOAD : chooseStart(question, this.#prices);
    switch (choice.kind) {
      case 'start':
        return { plan: startPlan(view, instance, choice, queue), hopeless };
      case 'wait':
        return { plan: this.#noStart(view, 'waiting to fill a batch'), hopeless, wakeAtMs: choice.untilMs };
      case 'overload': {
        const wantedMillicores = wantedLater(view, question);
        if (wantedMillicores !== null) {
          const plan = this.#noStart(view, WAITING_FOR_CORES);
          return { plan, hopeless, wantedMillicores, wakeAtMs: view.nowMs + CHECK_MS };
        }
        const division = divideOverload(question);
        const { cpuMillicores, firstSize: batchSize } = division;
        const plan = { ...infeasible(view), ...withStart(view, { instance, cpuMillicores }), batchSize };
        return { plan, hopeless, shed: victimsOf(view, queue, question, division) };
      }
    }
  }

  /** A free instance always wants a new plan. */
  holds(view: PlannerView): boolean {
    if (view.snapshot.work.length === 0) return true;
    if ((startableInstance(view) !== null && !view.isActuatorSlow) || view.current.kind === 'infeasible') return false;
    const busyUntil = busyUntilMs(view);
    // Who waits for cores of others has to say so.
    if (busyUntil.length < view.instances.length && coresAtMs(view) !== null) return false;
    const restingAtMs = view.nowMs;
    const firstFreeAtMs = busyUntil.length < view.instances.length ? restingAtMs : Math.min(...busyUntil);
    const question = this.#questionOf(view, queueOf(view, [], firstFreeAtMs)!, busyUntil);
    return metLaterOn({ ...question, busyUntilMs: freeAtMs(question, restingAtMs) }) !== null;
  }

  /** All run, or others have the cores. */
  #whileNoneStarts(
    view: PlannerView,
    ofRunning: InstanceQuestion,
    queue: PlannedQueue,
  ): Omit<PlanDecision, 'hopeless'> {
    const isShort = ofRunning.busyUntilMs.length < ofRunning.instanceCount;
    const restingAtMs = isShort ? coresAtMs(view) : null;
    // Where none runs and nobody shares, a worker is being started: as soon as it is there.
    const isAlone = restingAtMs === null && ofRunning.busyUntilMs.length === 0;
    const question =
      restingAtMs === null
        ? { ...ofRunning, busyUntilMs: isAlone ? [view.nowMs] : ofRunning.busyUntilMs }
        : {
            ...ofRunning,
            busyUntilMs: freeAtMs(ofRunning, restingAtMs),
            availableMillicores: ofRunning.budgetMillicores,
          };
    const wantedMillicores = isShort ? leastStart(view) : 0;
    const waiting = { wantedMillicores, wakeAtMs: view.nowMs + CHECK_MS };
    if (metLaterOn(question) !== null)
      return { plan: this.#noStart(view, isShort ? WAITING_FOR_CORES : 'no instance is free'), ...waiting };
    const shed = victimsOf(view, queue, question, divideOverload(question));
    return { plan: { ...infeasible(view), ...withStart(view, null) }, shed, ...waiting };
  }

  /** Every free instance starts when somebody waits. */
  #held(view: PlannerView, queue: PlannedQueue | null, busyUntil: readonly number[]): Omit<PlanDecision, 'hopeless'> {
    const { instances, snapshot, budgetMillicores, limits, nowMs, resizeDelayMs } = view;
    const count = instances.length;
    const load = loadOf(view, HELD_PRICING);
    const most = Math.max(limits.minMillicores, Math.floor(budgetMillicores / count));
    const cpuMillicores = steadyMillicores({
      ...load,
      limits: { ...limits, maxMillicores: Math.min(limits.maxMillicores, most) },
      nowMs: nowMs + resizeDelayMs,
      models: [view.arrivalModel],
      rowCounts: [view.arrivalRowCount],
      classIndexes: null,
      steadyRatePerSec: load.steadyRatePerSec / count,
      expectedRatePerSec: load.expectedRatePerSec / count,
      // Of each as many as of the others.
      dueAtMs: (queue?.dueAtMs ?? []).filter((due, place) => place % count === 0 && due > nowMs + resizeDelayMs),
    });
    const held = { instances: count, cpuMillicores, allocations: instances.map(() => cpuMillicores) };
    const question = queue === null ? null : this.#questionOf(view, queue, busyUntil);
    if (question === null || metLaterOn({ ...question, busyUntilMs: freeAtMs(question, nowMs) }) !== null) {
      const boundBy = `arrival rate ${view.forecast.steadyRatePerSec.toFixed(1)}/s, ${resizeDelayMs.toFixed(0)} ms ahead`;
      return { plan: { kind: 'feasible', ...held, batchSize: snapshot.maxBatchSize, boundBy } };
    }
    const shed = victimsOf(view, queue!, question, divideOverload(question));
    return { plan: { ...infeasible(view), ...held }, shed };
  }

  #noStart(view: PlannerView, boundBy: string): Plan {
    return { kind: 'feasible', ...withStart(view, null), batchSize: view.snapshot.maxBatchSize, boundBy };
  }

  #questionOf(view: PlannerView, queue: PlannedQueue, busyUntilMs: readonly number[]): InstanceQuestion {
    const { limits, reachMillicores } = view;
    return {
      ...loadOf(view, this.#pricing),
      ...firstOf(queue),
      levels: this.#levelsFor(limits),
      availableMillicores: startableMillicores(view),
      leastMillicores: limits.minMillicores,
      budgetMillicores: reachMillicores,
      coresFreeAtMs: view.coresFreeAtMs,
      isContended: view.isContended,
      busyUntilMs,
      mayWait: this.#mayWait,
      instanceCount: usefulCount(view, this.#levelsFor(limits)[0]!),
    };
  }

  #levelsFor(limits: PlannerView['limits']): readonly number[] {
    if (this.#levelsOf !== limits) {
      this.#levelsOf = limits;
      this.#levels = allocationLevels(limits);
    }
    return this.#levels;
  }
}

/** A plan looks no further. */
function firstOf(queue: PlannedQueue): Omit<PlannedQueue, 'indexes'> {
  const { dueAtMs, classIndexes, models, maxBatchSize, rowCounts } = queue;
  return {
    dueAtMs: dueAtMs.slice(0, MOST_PLANNED),
    classIndexes: classIndexes?.slice(0, MOST_PLANNED) ?? null,
    models,
    maxBatchSize,
    rowCounts,
  };
}

/** Those that can run something, and no more than there are cores for: the others only divide what there is. */
function usefulCount({ instances, reachMillicores }: PlannerView, leastMillicores: number): number {
  const ready = instances.filter(({ isAway }) => !isAway).length;
  return Math.max(1, Math.min(ready, Math.ceil(reachMillicores / leastMillicores)));
}

/** When each instance is free: where it rests, as soon as there are cores. */
function freeAtMs({ busyUntilMs: ends, instanceCount }: InstanceQuestion, restingAtMs: number): readonly number[] {
  return [...ends, ...new Array<number>(Math.max(0, instanceCount - ends.length)).fill(restingAtMs)];
}

/** When cores are expected to come free that other models have; null where nobody shares. */
function coresAtMs({ coresFreeAtMs }: PlannerView): number | null {
  return coresFreeAtMs < Infinity ? coresFreeAtMs : null;
}

/** When the next batch can start, where none can now. */
function nextStartAtMs(view: PlannerView, busyUntil: readonly number[]): number {
  const isShort = busyUntil.length < view.instances.length;
  const startAtMs = Math.min(...busyUntil, (isShort ? coresAtMs(view) : null) ?? Infinity);
  // Cores that are only held, as those of a worker that is lent out, may come free at any moment.
  return startAtMs < Infinity ? startAtMs : view.nowMs;
}

/** What one that starts asks for: below one core a batch costs no less. */
function leastStart({ limits }: PlannerView): number {
  return Math.max(limits.minMillicores, Math.min(1000, limits.maxMillicores));
}

/** What a start would need so that everyone is met once others end what they run; null where not even that would do. */
function wantedLater(view: PlannerView, question: InstanceQuestion): number | null {
  const restingAtMs = coresAtMs(view);
  if (restingAtMs === null || question.availableMillicores >= question.budgetMillicores) return null;
  const metOn = metLaterOn({ ...question, busyUntilMs: freeAtMs(question, restingAtMs) });
  return metOn === null ? null : Math.max(leastStart(view), Math.ceil(metOn));
}

/** A free one, where there are cores for it: on less than the least allocation nothing is started. */
function startableInstance(view: PlannerView): number | null {
  return startableMillicores(view) < view.limits.minMillicores ? null : freeInstance(view.instances);
}

function startPlan(view: PlannerView, instance: number, choice: StartChoice, queue: PlannedQueue): Plan {
  const { cpuMillicores, batchSize } = choice;
  return {
    kind: 'feasible',
    ...withStart(view, { instance, cpuMillicores }),
    batchSize,
    boundBy: explain(view, choice, queue.indexes),
  };
}

function infeasible({ snapshot }: PlannerView): Pick<InfeasiblePlan, 'kind' | 'reason' | 'batchSize'> {
  return { kind: 'infeasible', reason: 'deadlines', batchSize: snapshot.maxBatchSize };
}

/** @returns places in the snapshot */
function victimsOf(
  { snapshot }: PlannerView,
  queue: PlannedQueue,
  question: InstanceQuestion,
  division: OverloadDivision,
): readonly number[] {
  const inSnapshot = (place: number): number => queue.indexes?.[place] ?? place;
  let belowFloor: ReadonlySet<number> | null = null;
  const victims = chooseVictims({
    ...division,
    queue: question,
    sequenceOf: (place) => snapshot.sequences[inSnapshot(place)]!,
    isBelowFloor: (place) => (belowFloor ??= snapshot.belowFloor()).has(inSnapshot(place)),
  });
  return victims.map(inSnapshot);
}
