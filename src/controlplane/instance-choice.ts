/*
 * Which batch a free instance starts, and on how many cores: among all (n, c) after which nobody is late, the least cost per
 * request,
 *
 *     ( (c + π)·l(n, c) + what may be lost ) / n
 *
 * with π the price of an instance's time (`time-price.ts`). Nobody is late where the batch's first meets its deadline by the planned
 * latency, and the queue behind is met by list scheduling at the same c: each batch on the instance that is free first, the largest
 * prefix that still meets its head. On this instance, those that run now, and those that rest, as many as the cores are for.
 *
 * Time that is free (π = 0, or another instance stays free) is waited with, where one more request in the batch costs less than
 * served apart: until the latest safe start.
 *
 * Where nothing keeps everyone's deadline (overload), instances get equal shares of the cores, or 1.5, 2 or 4 of them, each slot, in order
 * of finish, takes the earliest deadlines that it can still meet, and who is left over is given up. The division with the most on time
 * is taken; in a lasting overload, less what the time is worth that it uses.
 *
 * Several shape classes: a batch is of the class of the first that waits.
 */
import type { LatencyModel } from '../domain/latency.js';
import { requestsPerBatch } from '../domain/request.js';
import { ListSchedule, PLANNED_DEVIATIONS } from './list-schedule.js';
import type { BatchQuestion, BatchChoice } from './pricing.js';
import type { TimePrices } from './time-price.js';

/** Of the rate to sustain, the share that is the next moment's; the rest is the steady rate. */
const NEXT_MOMENT_SHARE = 0.5;
/** A queue that is longer than half a batch for each instance makes time dearer: by so much for each batch more. */
const BACKLOG_WEIGHT = 0.4;
const BACKLOG_FROM = 0.5;
/** Of the top rate: overload begins to last, and lasts. */
const LASTING_FROM = 0.85;
const LASTING_SPAN = 0.15;
/** Of the worth of time in a lasting overload, what is charged. */
const LASTING_PRICE = 0.9;
/** Standard deviations above the typical latency by which a slot must be met: in a passing pile-up, and more where it lasts. */
const LEAST_CAUTION = 0.5;
const MORE_CAUTION = 1.5;
/** Of what others run the end is only expected. Four models, eight cores, load 0.7: 1.2 % lost with it, 1.3 % without. */
const CORES_MARGIN_MS = 10;
/** Of an equal share of the cores. */
const OVERLOAD_SHARES = [1, 1.5, 2, 4];

export interface InstanceQuestion extends Omit<BatchQuestion, 'limits'> {
  /** Allocations to look at, millicores, ascending; what is available is one of them or above all. */
  readonly levels: readonly number[];
  /** What the instance that starts may have. */
  readonly availableMillicores: number;
  /** On less nothing is started; at most the first level. */
  readonly leastMillicores: number;
  /** What all may have together, once other models that share the cores have ended what they run. */
  readonly budgetMillicores: number;
  /** When cores of other models are expected to come free, from now on; Infinity where nobody shares. */
  readonly coresFreeAtMs: number;
  /** Other models wait for cores: who has some does not wait to fill a batch. */
  readonly isContended: boolean;
  /** When each batch that runs is expected to end. */
  readonly busyUntilMs: readonly number[];
  /** Instances, running or not. */
  readonly instanceCount: number;
  /** Whether a free instance may wait: to fill a batch, or for someone in more of a hurry. */
  readonly mayWait: boolean;
}

export interface StartChoice extends BatchChoice {
  readonly kind: 'start';
}

export type InstanceChoice =
  | StartChoice
  /** Until then, or until something happens. */
  | { readonly kind: 'wait'; readonly untilMs: number }
  | { readonly kind: 'overload' };

/** Of a free instance; there must be one. */
export function chooseStart(question: InstanceQuestion, prices: TimePrices): InstanceChoice {
  return new Choice(question, prices).choose();
}

/**
 * On how much for each batch the queue is met once instances come free, nobody starting now; null where it is not. As cautious as
 * `divideOverload` is when it gives up.
 */
export function metLaterOn(question: InstanceQuestion): number | null {
  // Where more comes than can be served, it is not asked whether all could be met: who is not worth their time is given up as they come.
  if (lastingOf(question) > 0) {
    const { leftCount, cpuMillicores } = divideOverload(question);
    return leftCount === 0 ? cpuMillicores : null;
  }
  const { budgetMillicores, busyUntilMs, classIndexes } = question;
  const schedule = new ListSchedule(question);
  const equalShare = equalShareOf(question);
  const sizeLimit = schedule.limitOf(classIndexes?.[0] ?? 0);
  const isMetOn = (cpuMillicores: number): boolean => {
    if (schedule.firstLate(0, busyUntilMs, cpuMillicores) === -1) return true;
    for (let size = sizeLimit; size >= 1; size--) {
      if (schedule.fillSlots(busyUntilMs, cpuMillicores, size, LEAST_CAUTION).left.length === 0) return true;
    }
    return false;
  };
  const shares = OVERLOAD_SHARES.map((share) => Math.min(budgetMillicores, share * equalShare));
  return [...shares, budgetMillicores].find(isMetOn) ?? null;
}

/** How far an overload lasts: 0 a passing pile-up, 1 more comes than can ever be served. */
export function lastingOf(question: InstanceQuestion): number {
  const { models, classIndexes, instanceCount, steadyRatePerSec, maxBatchSize, rowCounts } = question;
  const headClass = classIndexes?.[0] ?? 0;
  const sizeLimit = requestsPerBatch(maxBatchSize, rowCounts?.[headClass]);
  const topRatePerMs = instanceCount * bestRate(models[headClass]!, equalShareOf(question), sizeLimit);
  return Math.min(1, Math.max(0, (steadyRatePerSec / 1000 / topRatePerMs - LASTING_FROM) / LASTING_SPAN));
}

function equalShareOf({ levels, leastMillicores, budgetMillicores, instanceCount }: InstanceQuestion): number {
  return Math.min(levels.at(-1)!, Math.max(leastMillicores, budgetMillicores / instanceCount));
}

function cautionOf(lasting: number): number {
  return LEAST_CAUTION + MORE_CAUTION * lasting;
}

class Choice {
  readonly #q: InstanceQuestion;
  readonly #model: LatencyModel;
  readonly #schedule: ListSchedule;
  readonly #price: number;
  readonly #sizeLimit: number;
  readonly #others: readonly number[];
  readonly #hasOtherFree: boolean;
  readonly #aloneMs: number;

  constructor(question: InstanceQuestion, prices: TimePrices) {
    const { nowMs, classIndexes, models, instanceCount, busyUntilMs, levels } = question;
    this.#q = question;
    this.#model = models[classIndexes?.[0] ?? 0]!;
    this.#schedule = new ListSchedule(question);
    this.#sizeLimit = this.#schedule.limitOf(classIndexes?.[0] ?? 0);
    const resting = Math.max(0, instanceCount - busyUntilMs.length - 1);
    this.#others = [...busyUntilMs, ...new Array<number>(resting).fill(nowMs)];
    this.#hasOtherFree = resting > 0;
    this.#aloneMs = this.#model.predictedLatencyMs(1, levels.at(-1)!);
    this.#price = this.#priceOfTime(prices);
  }

  choose(): InstanceChoice {
    const { dueAtMs, classIndexes } = this.#q;
    const mates =
      classIndexes === null ? dueAtMs.length : classIndexes.filter((each) => each === classIndexes[0]).length;
    let best: StartChoice | null = null;
    let leastCost = Infinity;
    for (let batchSize = 1; batchSize <= Math.min(this.#sizeLimit, mates); batchSize++) {
      for (const cpuMillicores of this.#levels()) {
        const cost = this.#costOf(batchSize, cpuMillicores) / batchSize;
        if (cost >= leastCost || !this.#isMet(batchSize, cpuMillicores)) continue;
        leastCost = cost;
        best = { kind: 'start', cpuMillicores, batchSize, boundBy: 'price' };
      }
    }
    if (best === null) return { kind: 'overload' };
    const untilMs =
      this.#q.mayWait && !this.#q.isContended ? (this.#holdBack(best) ?? this.#waitFor(best, mates)) : null;
    return untilMs === null ? { ...best, boundBy: this.#boundBy(best) } : { kind: 'wait', untilMs };
  }

  /** When somebody else can start on a core, if this one takes so much: now where one rests, and there is one left for it. */
  #nextFreeAtMs(cpuMillicores: number): number {
    const { nowMs, busyUntilMs, availableMillicores, levels } = this.#q;
    const hasCore = availableMillicores - cpuMillicores >= levels[0]!;
    return this.#hasOtherFree && hasCore ? nowMs : Math.min(...busyUntilMs);
  }

  /** From one core up to what is available, and that itself: on less a batch costs no less, and takes longer. */
  *#levels(): Generator<number> {
    const { levels, availableMillicores } = this.#q;
    for (const level of levels) {
      if (level >= availableMillicores) break;
      yield level;
    }
    yield Math.min(availableMillicores, levels.at(-1)!);
  }

  #priceOfTime(prices: TimePrices): number {
    const { nowMs, dueAtMs, steadyRatePerSec, expectedRatePerSec, instanceCount, budgetMillicores, levels, pricing } =
      this.#q;
    const nextShare = pricing.usesForecast ? NEXT_MOMENT_SHARE : 0;
    let ratePerMs = ((1 - nextShare) * steadyRatePerSec + nextShare * expectedRatePerSec) / 1000;
    dueAtMs.forEach((due, index) => {
      if (due > nowMs) ratePerMs = Math.max(ratePerMs, (index + 1) / (due - nowMs));
    });
    const sustained = (pricing.safety * ratePerMs) / instanceCount;
    const price = prices.priceOf(this.#model, levels, this.#sizeLimit, sustained);
    const best = this.#schedule.bestSize(0, Math.min(levels.at(-1)!, budgetMillicores / instanceCount));
    return price * (1 + BACKLOG_WEIGHT * Math.max(0, dueAtMs.length / (instanceCount * best) - BACKLOG_FROM));
  }

  /** Core-ms, of the whole batch. */
  #costOf(batchSize: number, cpuMillicores: number): number {
    const runMs = this.#model.predictedLatencyMs(batchSize, cpuMillicores);
    return (cpuMillicores / 1000 + this.#price) * runMs + this.#lossOf({ batchSize, cpuMillicores });
  }

  /**
   * Core-ms: what is expected to be lost of those who come while nobody can start on a core: no instance is free, or the others that
   * are have less than that left.
   */
  #lossOf({ batchSize, cpuMillicores }: Pick<StartChoice, 'batchSize' | 'cpuMillicores'>): number {
    const { nowMs, steadyRatePerSec, budgets, pricing } = this.#q;
    const runMs = this.#model.predictedLatencyMs(batchSize, cpuMillicores);
    const blackMs = Math.min(this.#nextFreeAtMs(cpuMillicores) - nowMs, runMs);
    return blackMs > 0 ? pricing.lossCoreMs * (steadyRatePerSec / 1000) * budgets.lostMs(blackMs, this.#aloneMs) : 0;
  }

  #isMet(batchSize: number, cpuMillicores: number): boolean {
    const endAtMs = this.#q.nowMs + this.#model.plannedLatencyMs(batchSize, cpuMillicores);
    if (endAtMs > this.#q.dueAtMs[0]!) return false;
    return this.#schedule.firstLate(batchSize, [endAtMs, ...this.#others], cpuMillicores) === -1;
  }

  /**
   * Until when to keep the last free instance for someone who is in more of a hurry: as long as time is free, some of those who come
   * would be lost without it, and everyone who waits is still met by the others. Null where that is not so.
   */
  #holdBack(best: StartChoice): number | null {
    const { nowMs, busyUntilMs } = this.#q;
    const isLast = this.#nextFreeAtMs(best.cpuMillicores) > nowMs;
    if (!isLast || busyUntilMs.length === 0 || this.#price > 0 || this.#lossOf(best) === 0) return null;
    const untilMs = this.#latestStartMs(best);
    const isMet = this.#schedule.firstLate(0, busyUntilMs, best.cpuMillicores) === -1;
    return isMet && untilMs > nowMs ? untilMs : null;
  }

  /** Until when to wait for one more request; null where that is not worth it. */
  #waitFor({ batchSize, cpuMillicores }: StartChoice, mates: number): number | null {
    const { nowMs, dueAtMs, steadyRatePerSec } = this.#q;
    const staysFree = this.#nextFreeAtMs(cpuMillicores) <= nowMs;
    const isWhole = batchSize === dueAtMs.length && batchSize === mates;
    if (!isWhole || batchSize >= this.#sizeLimit || !(staysFree || this.#price === 0) || steadyRatePerSec === 0)
      return null;
    const nextInMs = 1000 / steadyRatePerSec;
    let withOneMore = Infinity;
    for (const level of this.#levels()) {
      const endAtMs = nowMs + nextInMs + this.#model.plannedLatencyMs(batchSize + 1, level);
      if (endAtMs <= dueAtMs[0]!) withOneMore = Math.min(withOneMore, this.#costOf(batchSize + 1, level));
    }
    let apart = Infinity;
    const leastMillicores = this.#q.levels[0]!;
    for (let size = 1; size <= batchSize; size++) {
      const runMs = this.#model.predictedLatencyMs(size, leastMillicores);
      apart = Math.min(apart, ((leastMillicores / 1000 + this.#price) * runMs) / size);
    }
    if (withOneMore + this.#price * nextInMs >= this.#costOf(batchSize, cpuMillicores) + apart) return null;
    const untilMs = this.#latestStartMs({ batchSize, cpuMillicores });
    return untilMs > nowMs ? untilMs : null;
  }

  /** One standard deviation earlier than planned, and in time to find the cores taken. */
  #latestStartMs({ batchSize, cpuMillicores }: Pick<StartChoice, 'batchSize' | 'cpuMillicores'>): number {
    const plannedMs = this.#model.plannedLatencyMs(batchSize, cpuMillicores);
    const typicalMs = this.#model.predictedLatencyMs(batchSize, cpuMillicores);
    return (
      this.#q.dueAtMs[0]! - this.#coresMarginMs() - plannedMs * (plannedMs / typicalMs) ** (1 / PLANNED_DEVIATIONS)
    );
  }

  /** By then others may have them, until one of their batches ends; 0 where nobody shares. */
  #coresMarginMs(): number {
    const { coresFreeAtMs, nowMs } = this.#q;
    return coresFreeAtMs === Infinity ? 0 : Math.max(0, coresFreeAtMs - nowMs) + CORES_MARGIN_MS;
  }

  #boundBy({ batchSize, cpuMillicores }: StartChoice): BatchChoice['boundBy'] {
    const below = this.#q.levels.findLast((level) => level < cpuMillicores);
    if (below === undefined) return 'price';
    const endAtMs = this.#q.nowMs + this.#model.plannedLatencyMs(batchSize, below);
    if (endAtMs > this.#q.dueAtMs[0]!) return { deadlineOf: 0 };
    const late = this.#schedule.firstLate(batchSize, [endAtMs, ...this.#others], below);
    return late === -1 ? 'price' : { deadlineOf: late };
  }
}

// ---- overload --------------------------------------------------------------------------------------------------------

/** How instances are used. */
export interface OverloadDivision {
  /** Of each slot; the first is started with it. */
  readonly cpuMillicores: number;
  /** Of the first batch; of each slot. */
  readonly firstSize: number;
  readonly batchSize: number;
  /** When each instance is free. */
  readonly freeAtMs: readonly number[];
  /** Standard deviations above the typical latency that a slot must be met with. */
  readonly cautionDeviations: number;
  /** How many are given up. */
  readonly leftCount: number;
}

/** Looked at from all instances: those that run come free when their batches end. */
export function divideOverload(question: InstanceQuestion): OverloadDivision {
  const { nowMs, levels, instanceCount, budgetMillicores, availableMillicores, leastMillicores } = question;
  const { busyUntilMs, classIndexes, models } = question;
  const schedule = new ListSchedule(question);
  const headClass = classIndexes?.[0] ?? 0;
  const model = models[headClass]!;
  const sizeLimit = schedule.limitOf(headClass);
  const lasting = lastingOf(question);
  // One that rests counts where there are cores for it: it starts now, on what is available. Else those that run share it all later.
  const isFree = busyUntilMs.length < instanceCount && availableMillicores >= leastMillicores;
  const idle = new Array<number>(isFree ? instanceCount - busyUntilMs.length : 0).fill(nowMs);
  const freeAtMs = [...busyUntilMs, ...idle];
  const equalShare = equalShareOf(question);
  const worth = LASTING_PRICE * lasting * bestRate(model, equalShare, sizeLimit);
  const mostMillicores = isFree ? availableMillicores : budgetMillicores;
  const shares = OVERLOAD_SHARES.map((share) => share * equalShare).filter((each) => each <= mostMillicores);
  shares.push(mostMillicores);
  const cautionDeviations = cautionOf(lasting);
  let best: (OverloadDivision & { readonly value: number; readonly cost: number }) | null = null;
  for (const share of shares) {
    const cpuMillicores = grantable(levels, share);
    for (let batchSize = 1; batchSize <= sizeLimit; batchSize++) {
      const slots = schedule.fillSlots(freeAtMs, cpuMillicores, batchSize, cautionDeviations);
      const value = slots.onTime - worth * slots.usedMs;
      const cost = (slots.usedMs * cpuMillicores) / 1000;
      const isBetter = best === null || value > best.value + 1e-9 || (value > best.value - 1e-9 && cost < best.cost);
      const firstSize = Math.max(1, slots.firstSize);
      const leftCount = slots.left.length;
      if (isBetter) best = { cpuMillicores, firstSize, batchSize, freeAtMs, cautionDeviations, leftCount, value, cost };
    }
  }
  return best!; // A batch may have one request at least.
}

function bestRate(model: LatencyModel, cpuMillicores: number, sizeLimit: number): number {
  let best = 0;
  for (let size = 1; size <= sizeLimit; size++) {
    best = Math.max(best, size / model.predictedLatencyMs(size, cpuMillicores));
  }
  return best;
}

/** The largest level that is not above; what is asked for where there is none. */
function grantable(levels: readonly number[], cpuMillicores: number): number {
  return levels.findLast((level) => level <= cpuMillicores) ?? Math.floor(cpuMillicores);
}
