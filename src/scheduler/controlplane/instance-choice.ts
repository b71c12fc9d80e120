/*
 * Which batch a free instance starts, and on how many cores: among all (n, c) after which nobody is late, the least cost per
 * request,
 *
 *     ( (c + π)·l(n, c) + what may be lost ) / n
 *
 * with π the price of an instance's time: what one more would save (`time-price.ts`), or where all are on all the cores that they can have
 * and do not keep up, what is lost by that (`loss-price.ts`). Nobody is late where the batch's first meets its deadline by the planned
 * latency, and the queue behind is met by list scheduling at the same c: each batch on the instance that is free first, the largest
 * prefix that still meets its head. On this instance, those that run now, and those that rest, as many as the cores are for.
 *
 * Time that is free (π = 0, or another instance stays free) is waited with, where one more request in the batch costs less than
 * served apart: until the latest safe start.
 *
 * Where nothing keeps everyone's deadline it is an overload (`overload-division.ts`).
 *
 * Several shape classes: a batch is of the class of the first that waits.
 */
import type { LatencyModel } from '../domain/latency.js';
import { rateAskedBehind } from './behind-window.js';
import { PLANNED_DEVIATIONS, type DecisionLatencies } from './decision-latencies.js';
import { levelsUpTo } from './levels.js';
import { ListSchedule } from './list-schedule.js';
import { priceOfLosses } from './loss-price.js';
import { besideNeighbours, typicalSlowdown, type Neighbours } from './neighbours.js';
import type { BatchQuestion, BatchChoice } from './pricing.js';
import type { TimePrices } from './time-price.js';

/** Of the rate to sustain, the share that is the next moment's; the rest is the steady rate. */
const NEXT_MOMENT_SHARE = 0.5;
/** A queue that is longer than half a batch for each instance makes time dearer: by so much for each batch more. */
const BACKLOG_WEIGHT = 0.4;
const BACKLOG_FROM = 0.5;
/** Of what others run the end is only expected. Four models, eight cores, load 0.7: 1.2 % lost with it, 1.3 % without. */
const CORES_MARGIN_MS = 10;
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
  /** What slows batches down; null, or absent, where nothing is known to. */
  readonly neighbours?: Neighbours | null;
  /** Whether a free instance may wait: to fill a batch, or for someone in more of a hurry. */
  readonly mayWait: boolean;
  /** Whether it may be for company in a batch. */
  readonly mayFill: boolean;
  /** Whether only a batch's own deadline is minded, and not who waits behind it: to see what that is worth. */
  readonly ignoresBehind?: boolean;
  /** Of its models, where several questions of one decision look at the same. */
  readonly latencies?: DecisionLatencies | undefined;
}

export interface StartChoice extends BatchChoice {
  readonly kind: 'start';
}

export type InstanceChoice =
  | StartChoice
  /** Until then, or until something happens. */
  | {
      readonly kind: 'wait';
      readonly untilMs: number;
      /** For company in its batch; else for somebody in more of a hurry. */
      readonly isFilling: boolean;
    }
  | { readonly kind: 'overload' };

/** Of a free instance; there must be one. */
export function chooseStart(question: InstanceQuestion, prices: TimePrices): InstanceChoice {
  return new Choice(question, prices).choose();
}

class Choice {
  readonly #q: InstanceQuestion;
  /** Alone, and beside its neighbours. */
  readonly #headModel: LatencyModel;
  readonly #model: LatencyModel;
  readonly #schedule: ListSchedule;
  /** Of an instance's time, cores. */
  readonly #price: number;
  /** Where it is the cores that are too few for all instances: what is added for each of them. */
  readonly #coreMarkup: number;
  readonly #sizeLimit: number;
  readonly #others: readonly number[];
  readonly #hasOtherFree: boolean;
  /** Of those that run. */
  readonly #firstEndAtMs: number;
  /** From one core up to what is available, and that itself: on less a batch costs no less, and takes longer. */
  readonly #levels: readonly number[];
  readonly #aloneMs: number;

  constructor(question: InstanceQuestion, prices: TimePrices) {
    const { nowMs, classIndexes, models, instanceCount, busyUntilMs, levels } = question;
    this.#q = question;
    this.#headModel = models[classIndexes?.[0] ?? 0]!;
    this.#model = besideNeighbours(this.#headModel, question.neighbours ?? null);
    this.#schedule = new ListSchedule(question, question.latencies);
    this.#sizeLimit = this.#schedule.limitOf(classIndexes?.[0] ?? 0);
    const resting = Math.max(0, instanceCount - busyUntilMs.length - 1);
    this.#others = [...busyUntilMs, ...new Array<number>(resting).fill(nowMs)];
    this.#hasOtherFree = resting > 0;
    this.#firstEndAtMs = Math.min(...busyUntilMs);
    this.#levels = levelsUpTo(levels, question.availableMillicores);
    this.#aloneMs = this.#model.predictedLatencyMs(1, levels.at(-1)!);
    const lossPrice = this.#priceOfLosses();
    const share = question.budgetMillicores / instanceCount;
    const areCoresScarce = share < levels.at(-1)!;
    this.#price = Math.max(this.#priceOfTime(prices), areCoresScarce ? 0 : lossPrice);
    this.#coreMarkup = areCoresScarce ? (1000 * lossPrice) / share : 0;
  }

  choose(): InstanceChoice {
    const { dueAtMs, classIndexes } = this.#q;
    const mates =
      classIndexes === null ? dueAtMs.length : classIndexes.filter((each) => each === classIndexes[0]).length;
    let best: StartChoice | null = null;
    let leastCost = Infinity;
    for (let batchSize = 1; batchSize <= Math.min(this.#sizeLimit, mates); batchSize++) {
      for (const cpuMillicores of this.#levels) {
        const runMs = this.#model.predictedLatencyMs(batchSize, cpuMillicores);
        const runCost = this.#runCostOf(cpuMillicores, runMs);
        if (runCost / batchSize >= leastCost) continue;
        const cost = (runCost + this.#lossOf(cpuMillicores, runMs)) / batchSize;
        if (cost >= leastCost || !this.#isMet(batchSize, cpuMillicores)) continue;
        leastCost = cost;
        best = { kind: 'start', cpuMillicores, batchSize, boundBy: 'price' };
      }
    }
    if (best === null) return { kind: 'overload' };
    return this.#waitInstead(best, mates) ?? { ...best, boundBy: this.#boundBy(best) };
  }

  #waitInstead(best: StartChoice, mates: number): InstanceChoice | null {
    if (!this.#q.mayWait || this.#q.isContended) return null;
    const heldUntilMs = this.#holdBack(best);
    if (heldUntilMs !== null) return { kind: 'wait', untilMs: heldUntilMs, isFilling: false };
    const untilMs = this.#q.mayFill ? this.#waitFor(best, mates) : null;
    return untilMs === null ? null : { kind: 'wait', untilMs, isFilling: true };
  }

  /** When somebody else can start on a core, if this one takes so much: now where one rests, and there is one left for it. */
  #nextFreeAtMs(cpuMillicores: number): number {
    const { nowMs, availableMillicores, levels } = this.#q;
    const hasCore = availableMillicores - cpuMillicores >= levels[0]!;
    return this.#hasOtherFree && hasCore ? nowMs : this.#firstEndAtMs;
  }

  #priceOfTime(prices: TimePrices): number {
    const { nowMs, dueAtMs, steadyRatePerSec, expectedRatePerSec, instanceCount, budgetMillicores, levels, pricing } =
      this.#q;
    const nextShare = pricing.usesForecast ? NEXT_MOMENT_SHARE : 0;
    let ratePerMs = ((1 - nextShare) * steadyRatePerSec + nextShare * expectedRatePerSec) / 1000;
    dueAtMs.forEach((due, index) => {
      if (due > nowMs) ratePerMs = Math.max(ratePerMs, (index + 1) / (due - nowMs));
    });
    ratePerMs = Math.max(ratePerMs, rateAskedBehind(this.#q, nowMs));
    const { neighbours = null } = this.#q;
    const slowdown = neighbours === null ? 1 : typicalSlowdown(neighbours);
    const sustained = (slowdown * pricing.safety * ratePerMs) / instanceCount;
    const price = prices.priceOf(this.#headModel, levels, this.#sizeLimit, sustained);
    const best = this.#schedule.bestSize(0, Math.min(levels.at(-1)!, budgetMillicores / instanceCount));
    const backlog = Math.max(0, dueAtMs.length / (instanceCount * best) - BACKLOG_FROM);
    return price * (1 + BACKLOG_WEIGHT * backlog);
  }

  /** Cores: what those are worth who are lost where the instances do not keep up. */
  #priceOfLosses(): number {
    const { steadyRatePerSec, budgets, instanceCount, levels, budgetMillicores, pricing, neighbours = null } = this.#q;
    const slowdown = neighbours === null ? 1 : typicalSlowdown(neighbours);
    const mostMillicores = Math.min(levels.at(-1)!, budgetMillicores / instanceCount);
    const ratePerMs = steadyRatePerSec / 1000;
    const price = priceOfLosses({
      runMs: (batchSize) => slowdown * this.#headModel.predictedLatencyMs(batchSize, mostMillicores),
      maxBatchSize: this.#sizeLimit,
      ratePerMs,
      instanceCount,
      lostBy: (runMs) => ratePerMs * budgets.lostMs(runMs / instanceCount, this.#aloneMs),
    });
    return pricing.lossCoreMs * price;
  }

  /** Core-ms, of the whole batch. */
  #costOf(batchSize: number, cpuMillicores: number): number {
    const runMs = this.#model.predictedLatencyMs(batchSize, cpuMillicores);
    return this.#runCostOf(cpuMillicores, runMs) + this.#lossOf(cpuMillicores, runMs);
  }

  #runCostOf(cpuMillicores: number, runMs: number): number {
    return ((cpuMillicores / 1000) * (1 + this.#coreMarkup) + this.#price) * runMs;
  }

  /**
   * Core-ms: what is expected to be lost of those who come while nobody can start on a core: no instance is free, or the others that
   * are have less than that left.
   */
  #lossOf(cpuMillicores: number, runMs: number): number {
    const { nowMs, steadyRatePerSec, budgets, pricing } = this.#q;
    const blackMs = Math.min(this.#nextFreeAtMs(cpuMillicores) - nowMs, runMs);
    return blackMs > 0 ? pricing.lossCoreMs * (steadyRatePerSec / 1000) * budgets.lostMs(blackMs, this.#aloneMs) : 0;
  }

  #isMet(batchSize: number, cpuMillicores: number): boolean {
    const endAtMs = this.#q.nowMs + this.#model.plannedLatencyMs(batchSize, cpuMillicores);
    if (endAtMs > this.#q.dueAtMs[0]!) return false;
    if (this.#q.ignoresBehind === true) return true;
    return this.#schedule.firstLate(batchSize, [endAtMs, ...this.#others], cpuMillicores) === -1;
  }

  /**
   * Until when to keep the last free instance for someone who is in more of a hurry: as long as time is free, some of those who come
   * would be lost without it, and everyone who waits is still met by the others. Null where that is not so.
   */
  #holdBack(best: StartChoice): number | null {
    const { nowMs, busyUntilMs } = this.#q;
    const isLast = this.#nextFreeAtMs(best.cpuMillicores) > nowMs;
    if (!isLast || busyUntilMs.length === 0 || this.#price > 0) return null;
    const runMs = this.#model.predictedLatencyMs(best.batchSize, best.cpuMillicores);
    if (this.#lossOf(best.cpuMillicores, runMs) === 0) return null;
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
    for (const level of this.#levels) {
      const endAtMs = nowMs + nextInMs + this.#model.plannedLatencyMs(batchSize + 1, level);
      if (endAtMs <= dueAtMs[0]!) withOneMore = Math.min(withOneMore, this.#costOf(batchSize + 1, level));
    }
    let apart = Infinity;
    const leastMillicores = this.#q.levels[0]!;
    for (let size = 1; size <= batchSize; size++) {
      const runMs = this.#model.predictedLatencyMs(size, leastMillicores);
      apart = Math.min(apart, this.#runCostOf(leastMillicores, runMs) / size);
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
