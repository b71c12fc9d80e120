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
  isMetLater,
  lastingOf,
  type InstanceQuestion,
  type OverloadDivision,
  type StartChoice,
} from './instance-choice.js';
import { freeInstance, startableMillicores, withStart } from './instance-plan.js';
import { chooseVictims } from './overload-victims.js';
import { explain, loadOf } from './plan-reasons.js';
import { hopelessOf, queueOf, remainingMs, type PlannedQueue } from './planned-queue.js';
import type { PlanDecision, Planner, PlannerView } from './planner.js';
import type { Preference } from './program-planner.js';
import { steadyMillicores, type Pricing } from './pricing.js';
import { allocationLevels, TimePrices } from './time-price.js';

/** What losing a request costs: 15 cores for a second. */
const LOSS_CORE_MS = 15_000;
/** While all instances run, the queue is looked at again so often, if nothing happens. */
const CHECK_MS = 20;

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
  readonly #prices = new TimePrices();
  #levels: readonly number[] = [];
  #levelsOf: PlannerView['limits'] | null = null;

  readonly #mayWait: boolean;

  constructor(pricing: Pricing, mayWait: boolean) {
    this.#pricing = pricing;
    this.#mayWait = mayWait;
  }

  plan(view: PlannerView): PlanDecision {
    const busyUntilMs = busyUntil(view);
    const instance = startableInstance(view);
    const freeAtMs = instance === null ? firstFreeAtMs(view, busyUntilMs) : view.nowMs;
    const hopeless = hopelessOf(view, freeAtMs);
    const queue = queueOf(view, hopeless, freeAtMs);
    if (view.isActuatorSlow) return { ...this.#held(view, queue, busyUntilMs), hopeless };
    if (queue === null) return { plan: this.#noStart(view, 'idle'), hopeless };
    const question = this.#questionOf(view, queue, busyUntilMs);
    if (instance === null) return { ...this.#whileAllRun(view, question, queue), hopeless };
    const mustShed = lastingOf(question) > 0 && divideOverload(question).leftCount > 0;
    const choice = mustShed ? OVERLOAD : chooseStart(question, this.#prices);
    switch (choice.kind) {
      case 'start':
        return { plan: startPlan(view, instance, choice, queue), hopeless };
      case 'wait':
        return { plan: this.#noStart(view, 'waiting to fill a batch'), hopeless, wakeAtMs: choice.untilMs };
      case 'overload': {
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
    const busyUntilMs = busyUntil(view);
    const question = this.#questionOf(view, queueOf(view, [], firstFreeAtMs(view, busyUntilMs))!, busyUntilMs);
    return isMetLater({ ...question, busyUntilMs: freeAtMs(question) });
  }

  #whileAllRun(view: PlannerView, asked: InstanceQuestion, queue: PlannedQueue): Omit<PlanDecision, 'hopeless'> {
    const wakeAtMs = view.nowMs + CHECK_MS;
    // Where nothing runs either, others have the cores.
    const question = asked.busyUntilMs.length > 0 ? asked : { ...asked, busyUntilMs: [view.nowMs] };
    if (isMetLater(question)) return { plan: this.#noStart(view, 'no instance is free'), wakeAtMs };
    const shed = victimsOf(view, queue, question, divideOverload(question));
    return { plan: { ...infeasible(view), ...withStart(view, null) }, shed, wakeAtMs };
  }

  /** Every free instance starts when somebody waits. */
  #held(view: PlannerView, queue: PlannedQueue | null, busyUntilMs: readonly number[]): Omit<PlanDecision, 'hopeless'> {
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
    const question = queue === null ? null : this.#questionOf(view, queue, busyUntilMs);
    if (question === null || isMetLater({ ...question, busyUntilMs: freeAtMs(question) })) {
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
    const { limits, budgetMillicores } = view;
    return {
      ...loadOf(view, this.#pricing),
      ...queue,
      levels: this.#levelsFor(limits),
      availableMillicores: startableMillicores(view),
      leastMillicores: limits.minMillicores,
      budgetMillicores,
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

/** Those that can run something, and no more than there are cores for: the others only divide what there is. */
function usefulCount({ instances, budgetMillicores }: PlannerView, leastMillicores: number): number {
  const ready = instances.filter(({ isAway }) => !isAway).length;
  return Math.max(1, Math.min(ready, Math.ceil(budgetMillicores / leastMillicores)));
}

/** Of those that run; now where none does, for want of a worker. */
function firstFreeAtMs({ nowMs }: PlannerView, busyUntilMs: readonly number[]): number {
  return busyUntilMs.length === 0 ? nowMs : Math.min(...busyUntilMs);
}

/** When each instance is free: now where it rests. */
function freeAtMs({ busyUntilMs, instanceCount, nowMs }: InstanceQuestion): readonly number[] {
  return [...busyUntilMs, ...new Array<number>(Math.max(0, instanceCount - busyUntilMs.length)).fill(nowMs)];
}

/** A free one, where there are cores for it: on less than the least allocation nothing is started. */
function startableInstance(view: PlannerView): number | null {
  return startableMillicores(view) < view.limits.minMillicores ? null : freeInstance(view.instances);
}

/** When each batch that runs is expected to end. */
function busyUntil(view: PlannerView): number[] {
  return view.snapshot.running.map(({ instance }, index) => {
    const { requestedMillicores } = view.instances[instance]!;
    return view.nowMs + remainingMs(view, index, requestedMillicores);
  });
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
