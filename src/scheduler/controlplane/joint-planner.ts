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
import type { FeasiblePlan, Plan } from '../domain/plan.js';
import { requestsPerBatch } from '../domain/request.js';
import { AllocationLatencies, DecisionLatencies, KnownLatencies } from './decision-latencies.js';
import { chooseStart, type InstanceChoice, type InstanceQuestion } from './instance-choice.js';
import { freeInstance, startableMillicores, withStart } from './instance-plan.js';
import { coresAtMs, feasible, infeasible, startPlan, waitingForCores } from './joint-plans.js';
import { divideOverload, lastingOf, metLaterOn, type OverloadDivision } from './overload-division.js';
import { chooseVictims } from './overload-victims.js';
import { Patience } from './patience.js';
import { heldBound, loadOf } from './plan-reasons.js';
import { besideNeighbours, slowdownBehind, type Neighbours } from './neighbours.js';
import { busyUntilMs, unsalvageableOf, queueOf, runningMillicores, type PlannedQueue } from './planned-queue.js';
import type { PlanDecision, Planner, PlannerView } from './planner.js';
import type { Preference } from './program-planner.js';
import { cheapestBatch, steadyMillicores, type Pricing } from './pricing.js';
import { bestSideBySide, type SideBySide } from './side-by-side.js';
import { allocationLevels, TimePrices } from './time-price.js';

type Planned = Omit<PlanDecision, 'unsalvageable'>;

/** What losing a request costs: 15 cores for a second. */
const LOSS_CORE_MS = 15_000;
/** While all instances run, the queue is looked at again so often, if nothing happens. */
const CHECK_MS = 20;

/** Where allocations are held: nothing else can answer a cluster of arrivals, and the next moment is over when a resize is in force. */
const HELD_PRICING: Pricing = { safety: 2.8, lossCoreMs: LOSS_CORE_MS, usesForecast: false };

/** What sustains the load, times so much; as `--prefer` does for one worker, whose rate it multiplies by the root of κ. */
const SAFETY: Readonly<Record<Preference, number>> = { cpu: 1, latency: 2.4 };

/** What can be left out, to see what it is worth: `behind` is whether the queue behind a batch is met, `vertical` is more than a core. */
export type JointPart = 'none' | 'price' | 'waiting' | 'behind' | 'vertical' | 'forecast' | 'losses';

/** `latency`: time is dear sooner, and nothing waits to share a batch. */
export function jointPlanner(prefer: Preference = 'cpu', without: JointPart = 'none'): Planner {
  const planning = new JointPlanning(prefer, without);
  return {
    name: 'sponge',
    tickMs: 500,
    isEventDriven: true,
    appliesAtOnce: false,
    plansInstances: true,
    plan: (view) => planning.plan(view),
    isStillValid: (view) => planning.isStillValid(view),
  };
}

/** Of one that is used alone: that of the priced planner. */
const ALONE_PRICING: Pricing = { safety: 1.4, lossCoreMs: 35_000, usesForecast: true };

const OVERLOAD = { kind: 'overload' } as const;

class JointPlanning {
  readonly #pricing: Pricing;
  readonly #mayWait: boolean;
  readonly #without: JointPart;
  readonly #prices = new TimePrices();
  readonly #patience = new Patience();
  readonly #latencies = new KnownLatencies();
  #levels: readonly number[] = [];
  #levelsOf: PlannerView['limits'] | null = null;
  /** How many were used at once until now: another number has to be better by something. */
  #usedAtOnce = 0;

  constructor(prefer: Preference, without: JointPart) {
    this.#pricing = {
      // Time that no load asks for is free.
      safety: without === 'price' ? 0 : SAFETY[prefer],
      lossCoreMs: without === 'losses' ? 0 : LOSS_CORE_MS,
      usesForecast: without !== 'forecast',
    };
    this.#mayWait = prefer === 'cpu' && without !== 'waiting';
    this.#without = without;
  }

  plan(view: PlannerView): PlanDecision {
    const busyUntil = busyUntilMs(view);
    const use = this.#useOf(view);
    this.#usedAtOnce = use.count;
    const instance = startableInstance(view, use);
    const firstFreeAtMs = instance === null ? nextStartAtMs(view, use, busyUntil) : view.nowMs;
    const unsalvageable = unsalvageableOf(view, firstFreeAtMs);
    const queue = queueOf(view, unsalvageable, firstFreeAtMs);
    if (view.isActuatorSlow) return { ...this.#held(view, queue, busyUntil), unsalvageable };
    if (queue === null) return { plan: this.#noStart(view, { kind: 'idle' }), unsalvageable };
    const question = this.#questionOf(view, use, queue, busyUntil);
    if (instance === null) return { ...this.#whileNoneStarts(view, question, queue), unsalvageable };
    const lasting = lastingOf(question) > 0 ? divideOverload(question) : null;
    const choice = lasting?.meetsAll === false ? OVERLOAD : this.#choose(view, use, question);
    switch (choice.kind) {
      case 'start':
        this.#patience.start(view.nowMs, queue.dueAtMs.length);
        return { plan: startPlan(view, use.count, instance, choice, queue), unsalvageable };
      case 'wait': {
        const wakeAtMs = choice.isFilling
          ? this.#patience.wait(view.nowMs, choice.untilMs, queue.dueAtMs.length, 1000 / view.forecast.steadyRatePerSec)
          : choice.untilMs;
        return { plan: this.#noStart(view, { kind: 'filling-batch' }), unsalvageable, wakeAtMs };
      }
      case 'overload': {
        const wantedMillicores = wantedLater(view, question);
        if (wantedMillicores !== null) {
          const plan = this.#noStart(view, waitingForCores(view));
          return { plan, unsalvageable, wantedMillicores, wakeAtMs: view.nowMs + CHECK_MS };
        }
        const division = lasting ?? divideOverload(question);
        const { cpuMillicores, firstSize: batchSize } = division;
        const plan = { ...infeasible(view), ...withStart(view, { instance, cpuMillicores }), batchSize };
        return { plan, unsalvageable, shed: victimsOf(view, queue, question, division) };
      }
    }
  }

  /** A free instance always wants a new plan. */
  isStillValid(view: PlannerView): boolean {
    if (view.snapshot.work.length === 0) return true;
    const use = this.#useOf(view);
    if ((startableInstance(view, use) !== null && !view.isActuatorSlow) || view.current.kind === 'infeasible')
      return false;
    const busyUntil = busyUntilMs(view);
    // Who waits for cores of others has to say so.
    if (busyUntil.length < use.count && coresAtMs(view) !== null) return false;
    const restingAtMs = view.nowMs;
    const firstFreeAtMs = busyUntil.length < use.count ? restingAtMs : Math.min(...busyUntil);
    const question = this.#questionOf(view, use, queueOf(view, [], firstFreeAtMs)!, busyUntil);
    return metLaterOn({ ...question, busyUntilMs: freeAtMs(question, restingAtMs) }) !== null;
  }

  /** One that is used alone is planned as a single worker is: as well as by the joint rule on steady loads, and better elsewhere. */
  #choose({ limits, instances }: PlannerView, { count }: InstanceUse, question: InstanceQuestion): InstanceChoice {
    if (count > 1 || instances.length === 1) return chooseStart(question, this.#prices);
    const { availableMillicores, neighbours = null } = question;
    const steps = Math.floor((availableMillicores - limits.minMillicores) / limits.stepMillicores);
    const choice = cheapestBatch({
      ...question,
      models: question.models.map((model) => besideNeighbours(model, neighbours)),
      limits: { ...limits, maxMillicores: limits.minMillicores + steps * limits.stepMillicores },
      pricing: ALONE_PRICING,
    });
    return choice === null ? OVERLOAD : { ...choice, kind: 'start' };
  }

  /** All run, or others have the cores. */
  #whileNoneStarts(view: PlannerView, ofRunning: InstanceQuestion, queue: PlannedQueue): Planned {
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
    const lasting = lastingOf(question) > 0 ? divideOverload(question) : null;
    if (lasting?.meetsAll ?? metLaterOn(question) !== null)
      return { plan: this.#noStart(view, isShort ? waitingForCores(view) : { kind: 'no-free-instance' }), ...waiting };
    const shed = victimsOf(view, queue, question, lasting ?? divideOverload(question));
    return { plan: { ...infeasible(view), ...withStart(view, null) }, shed, ...waiting };
  }

  /**
   * Every free instance starts when somebody waits. Beside other models, those that have nothing to do hold nothing, and as many are used
   * as there are cores for.
   */
  #held(view: PlannerView, queue: PlannedQueue | null, busyUntil: readonly number[]): Planned {
    const { instances, snapshot, budgetMillicores, limits, nowMs, resizeDelayMs } = view;
    const isShared = coresAtMs(view) !== null;
    const isRunning = snapshot.running.length > 0;
    if (isShared && !isRunning && queue === null) return { plan: this.#noStart(view, { kind: 'idle' }) };
    if (isShared && !isRunning && budgetMillicores < limits.minMillicores) {
      const plan = this.#noStart(view, waitingForCores(view));
      return { plan, wantedMillicores: limits.minMillicores, wakeAtMs: nowMs + CHECK_MS };
    }
    const fitting = Math.max(1, Math.floor(budgetMillicores / limits.minMillicores));
    const count = isShared ? Math.min(instances.length, fitting) : instances.length;
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
      behind: queue?.behind?.map(({ place, dueAtMs }) => ({ place: Math.floor(place / count), dueAtMs })),
    });
    const allocations = instances.map((_, instance) => (instance < count ? cpuMillicores : 0));
    const held = { instances: count, cpuMillicores, allocations };
    const question = queue === null ? null : this.#questionOf(view, allOf(view), queue, busyUntil);
    if (question === null || metLaterOn({ ...question, busyUntilMs: freeAtMs(question, nowMs) }) !== null) {
      const boundBy = heldBound(view);
      return { plan: { kind: 'feasible', ...held, batchSize: snapshot.maxBatchSize, boundBy } };
    }
    const shed = victimsOf(view, queue!, question, divideOverload(question));
    return { plan: { ...infeasible(view), ...held }, shed };
  }

  #noStart(view: PlannerView, boundBy: FeasiblePlan['boundBy']): Plan {
    return feasible(view, null, view.snapshot.maxBatchSize, boundBy);
  }

  /** How many to use at once, and beside how much each then is. */
  #useOf(view: PlannerView): InstanceUse {
    const { limits, interference, reachMillicores, forecast, busyBesideMillicores, snapshot, arrivalRowCount } = view;
    const all = allOf(view);
    // Tried where nobody else waits: a trial may be slow.
    const isTrial = view.isInterferenceUntested && snapshot.work.length <= 1;
    if (interference === 0 || isTrial || all.count === 1) return all;
    const maxBatchSize = requestsPerBatch(snapshot.maxBatchSize, arrivalRowCount);
    return bestSideBySide(
      {
        curve: this.#prices.curveOf(view.arrivalModel, this.#levelsFor(limits), maxBatchSize),
        ratePerMs: forecast.steadyRatePerSec / 1000,
        interference,
        budgetMillicores: reachMillicores,
        otherMillicores: busyBesideMillicores,
      },
      all.count,
      this.#usedAtOnce,
    );
  }

  #questionOf(
    view: PlannerView,
    use: InstanceUse,
    queue: PlannedQueue,
    busyUntilMs: readonly number[],
  ): InstanceQuestion {
    const { limits, reachMillicores, forecast } = view;
    const levels = this.#levelsFor(limits);
    const neighbours = neighboursOf(view, use);
    // Written out: an object of two that are spread has no shape that the engine knows, and this one is read thousands of times.
    return {
      nowMs: view.nowMs,
      dueAtMs: queue.dueAtMs,
      classIndexes: queue.classIndexes,
      behind: queue.behind,
      models: queue.models,
      maxBatchSize: queue.maxBatchSize,
      rowCounts: queue.rowCounts,
      steadyRatePerSec: forecast.steadyRatePerSec,
      expectedRatePerSec: forecast.expectedRatePerSec,
      budgets: forecast.budgets,
      pricing: this.#pricing,
      levels,
      availableMillicores: startableMillicores(view),
      leastMillicores: limits.minMillicores,
      budgetMillicores: reachMillicores,
      coresFreeAtMs: view.coresFreeAtMs,
      isContended: view.isContended,
      busyUntilMs,
      instanceCount: Math.min(use.count, usefulCount(view, levels[0]!)),
      mayWait: this.#mayWait,
      mayFill:
        this.#mayWait &&
        this.#patience.mayWait(
          view.nowMs,
          queue.dueAtMs.length,
          this.#savedMillicores(view, levels),
          1000 / view.forecast.steadyRatePerSec,
        ),
      ignoresBehind: this.#without === 'behind',
      neighbours,
      latencies: this.#latenciesOf(view, queue, neighbours),
    };
  }

  /** By the best batches against requests that run alone, at the arrival rate. */
  #savedMillicores(
    { arrivalModel, arrivalRowCount, snapshot, forecast }: PlannerView,
    levels: readonly number[],
  ): number {
    const maxBatchSize = requestsPerBatch(snapshot.maxBatchSize, arrivalRowCount);
    const sharedCoreMs = this.#prices.leastCoreMs(arrivalModel, levels, maxBatchSize);
    const aloneMillicoreMs = levels[0]! * arrivalModel.predictedLatencyMs(1, levels[0]!);
    return (forecast.steadyRatePerSec / 1000) * (aloneMillicoreMs - 1000 * sharedCoreMs);
  }

  /** What batches take beside neighbours changes with every arrival. */
  #latenciesOf({ modelsRevision }: PlannerView, queue: PlannedQueue, neighbours: Neighbours | null): DecisionLatencies {
    if (neighbours !== null)
      return new DecisionLatencies(queue, (model, cpuMillicores, limit) => {
        return new AllocationLatencies(model, cpuMillicores, limit, slowdownBehind(neighbours, cpuMillicores));
      });
    this.#latencies.standAt(modelsRevision);
    return new DecisionLatencies(queue, this.#latencies.of);
  }

  #levelsFor(limits: PlannerView['limits']): readonly number[] {
    if (this.#levelsOf !== limits) {
      this.#levelsOf = limits;
      const levels = allocationLevels(limits);
      this.#levels = this.#without === 'vertical' ? levels.slice(0, 1) : levels;
    }
    return this.#levels;
  }
}

/** So many instances run batches at once, and so much is busy beside each on average. */
type InstanceUse = Pick<SideBySide, 'count' | 'busyBesideMillicores'>;

function allOf({ instances, busyBesideMillicores }: PlannerView): InstanceUse {
  return { count: instances.length, busyBesideMillicores };
}

function neighboursOf(view: PlannerView, use: InstanceUse): Neighbours | null {
  const { interference, snapshot, busyBesideMillicores: otherMillicores } = view;
  if (interference === 0) return null;
  return {
    interference,
    runningCount: snapshot.running.length,
    runningMillicores: runningMillicores(view),
    otherMillicores,
    waitingCount: snapshot.work.length,
    instanceCount: use.count,
    typicalMillicores: use.busyBesideMillicores,
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

/** When the next batch can start, where none can now. */
function nextStartAtMs(view: PlannerView, use: InstanceUse, busyUntil: readonly number[]): number {
  const isShort = busyUntil.length < use.count;
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
function startableInstance(view: PlannerView, { count }: InstanceUse): number | null {
  if (view.snapshot.running.length >= count) return null;
  return startableMillicores(view) < view.limits.minMillicores ? null : freeInstance(view.instances);
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
    // Whom to give up does not depend on neighbours.
    latencies: question.neighbours === null ? question.latencies : undefined,
    sequenceOf: (place) => snapshot.sequences[inSnapshot(place)]!,
    isBelowFloor: (place) => (belowFloor ??= snapshot.belowFloor()).has(inSnapshot(place)),
  });
  return victims.map(inSnapshot);
}
