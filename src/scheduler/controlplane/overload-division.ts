/*
 * How instances are used where not everyone can be met (overload), and whether everyone can be once instances come free.
 *
 * Instances get equal shares of the cores, or 1.5, 2 or 4 of them; each slot, in order of finish, takes the earliest deadlines that it
 * can still meet, and who is left over is given up. Where a full batch would be late for its first, it is smaller, or passes that one over:
 * both are looked at, and the former is taken unless it costs many, as who is left over is then one of the newest. The division with the
 * most on time is taken; in a lasting overload, less what the time is worth that it uses.
 *
 * Of some 320 divisions (shares × batch sizes × fillings) most need not be looked at: whoever is served takes some time at the least, of
 * which there is so much until the last deadline. A test holds the choice against that of looking at each to its end.
 */
import { DecisionLatencies, type AllocationLatencies } from './decision-latencies.js';
import type { InstanceQuestion } from './instance-choice.js';
import { grantable } from './levels.js';
import { ListSchedule, type FilledSlots, type SlotFilling, type Slots } from './list-schedule.js';

/** Of the top rate: overload begins to last, and lasts. */
const LASTING_FROM = 0.85;
const LASTING_SPAN = 0.15;
/** Of the worth of time in a lasting overload, what is charged. */
const LASTING_PRICE = 0.9;
/** Standard deviations above the typical latency by which a slot must be met: in a passing pile-up, and more where it lasts. */
const LEAST_CAUTION = 0.5;
const MORE_CAUTION = 1.5;
/**
 * What a full batch has to save that passes its first over: two requests and a quarter of the queue, as for a model that gains much from
 * batches. Where two were enough 55 % of the refused were told within 50 ms, not 95 %, and a tenth more were refused: `overload`, four
 * instances, 80 requests/s, p99-table, seeds 2001 to 2003.
 */
const LEAST_SAVED = 1.5;
const LEAST_SAVED_FRACTION = 0.25;
/** Of divisions that are as good as each other; and of one that is not, whichever of those is compared with which. */
const VALUE_TOLERANCE = 1e-9;
const SURELY_WORSE = 1e-6;
/** Bounds are so much looser than they are computed: rounding must not end what is as good. */
const ROUNDING = 1e-6;
/** Of an equal share of the cores. */
const OVERLOAD_SHARES = [1, 1.5, 2, 4];
/**
 * Of an equal share, where all run and more comes than can ever be served. That the first to end might have all cores is to hope, as the
 * others run on: in a passing pile-up that pays, as it may go well; where others come at once in place of whoever is given up, who is kept
 * for it is given up later. ResNet-18 on two cores, 1.05 times what they can do: 7 % more lost without it.
 */
const MOST_SHARE_LATER = 1.5;

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
  readonly filling: SlotFilling;
  /** How many of the window are given up. */
  readonly leftCount: number;
  /** Nobody is, and there is time for those behind it. */
  readonly meetsAll: boolean;
}

/**
 * On how much for each batch the queue is met once instances come free, nobody starting now; null where it is not. As cautious as
 * `divideOverload` is when it gives up.
 */
export function metLaterOn(question: InstanceQuestion): number | null {
  // Where more comes than can be served, it is not asked whether all could be met: who is not worth their time is given up as they come.
  if (lastingOf(question) > 0) {
    const { meetsAll, cpuMillicores } = divideOverload(question);
    return meetsAll ? cpuMillicores : null;
  }
  const { budgetMillicores, busyUntilMs, classIndexes } = question;
  const schedule = new ListSchedule(question, question.latencies);
  const equalShare = equalShareOf(question);
  const sizeLimit = schedule.limitOf(classIndexes?.[0] ?? 0);
  const isMetOn = (cpuMillicores: number): boolean => {
    const late = schedule.firstLate(0, busyUntilMs, cpuMillicores);
    // Smaller batches do not help those behind the window.
    if (late === -1 || late >= question.dueAtMs.length) return late === -1;
    const slots = schedule.slotsOn(busyUntilMs, cpuMillicores);
    return schedule.leavesNobody(slots, sizeLimit, LEAST_CAUTION);
  };
  const shares = OVERLOAD_SHARES.map((share) => Math.min(budgetMillicores, share * equalShare));
  return [...shares, budgetMillicores].find(isMetOn) ?? null;
}

/** How far an overload lasts: 0 a passing pile-up, 1 more comes than can ever be served. */
export function lastingOf(question: InstanceQuestion): number {
  const { classIndexes, instanceCount, steadyRatePerSec, latencies = new DecisionLatencies(question) } = question;
  const headClass = classIndexes?.[0] ?? 0;
  const onShare = latencies.on(equalShareOf(question))[headClass]!;
  const topRatePerMs = instanceCount * onShare.bestRate(latencies.limits[headClass]!);
  return Math.min(1, Math.max(0, (steadyRatePerSec / 1000 / topRatePerMs - LASTING_FROM) / LASTING_SPAN));
}

function equalShareOf({ levels, leastMillicores, budgetMillicores, instanceCount }: InstanceQuestion): number {
  return Math.min(levels.at(-1)!, Math.max(leastMillicores, budgetMillicores / instanceCount));
}

function cautionOf(lasting: number): number {
  return LEAST_CAUTION + MORE_CAUTION * lasting;
}

/** Looked at from all instances: those that run come free when their batches end. */
export function divideOverload(question: InstanceQuestion): OverloadDivision {
  const { nowMs, levels, instanceCount, budgetMillicores, availableMillicores, leastMillicores } = question;
  const { busyUntilMs, classIndexes, latencies = new DecisionLatencies(question) } = question;
  const headClass = classIndexes?.[0] ?? 0;
  const sizeLimit = latencies.limits[headClass]!;
  const lasting = lastingOf(question);
  // One that rests counts where there are cores for it: it starts now, on what is available. Else those that run share it all later.
  const isFree = busyUntilMs.length < instanceCount && availableMillicores >= leastMillicores;
  const idle = new Array<number>(isFree ? instanceCount - busyUntilMs.length : 0).fill(nowMs);
  const freeAtMs = [...busyUntilMs, ...idle];
  const equalShare = equalShareOf(question);
  const worth = LASTING_PRICE * lasting * latencies.on(equalShare)[headClass]!.bestRate(sizeLimit);
  const isWaitedFor = lasting >= 1 && busyUntilMs.length >= instanceCount;
  const mostLaterMillicores = isWaitedFor
    ? Math.min(budgetMillicores, MOST_SHARE_LATER * equalShare)
    : budgetMillicores;
  const mostMillicores = isFree ? availableMillicores : mostLaterMillicores;
  const shares = OVERLOAD_SHARES.map((share) => share * equalShare).filter((each) => each <= mostMillicores);
  shares.push(mostMillicores);
  const divisions = new Divisions(question, latencies, freeAtMs, worth, cautionOf(lasting));
  const each = [...new Set(shares.map((share) => grantable(levels, share)))].map((share) => divisions.onShare(share));
  // What is likely to be good tells what need not be looked at; it is looked at again in its turn, as of equals the first is taken.
  for (const share of each) divisions.consider(share, share.latencies[headClass]!.bestSize);
  divisions.beginAgain(each);
  for (const share of each) for (let size = 1; size <= sizeLimit; size++) divisions.consider(share, size);
  return divisions.best!; // A batch may have one request at least.
}

interface ValuedDivision extends OverloadDivision {
  /** Requests on time, less the worth of the time that they take. */
  readonly value: number;
  /** Core-seconds of that time. */
  readonly cost: number;
}

interface Share {
  readonly slots: Slots;
  /** By class index. */
  readonly latencies: readonly AllocationLatencies[];
  /** The last that was looked at, as far as it was. */
  readonly before: Record<SlotFilling, { readonly batchSize: number; readonly filled: FilledSlots } | null>;
}

/** Looks at one division after another, at each only as long as it may be better than the best so far. */
class Divisions {
  readonly #count: number;
  readonly #schedule: ListSchedule;
  readonly #latencies: DecisionLatencies;
  readonly #freeAtMs: readonly number[];
  /** Requests per ms. */
  readonly #worth: number;
  readonly #cautionDeviations: number;
  #best: ValuedDivision | null = null;
  #leastValue = -Infinity;

  constructor(
    question: InstanceQuestion,
    latencies: DecisionLatencies,
    freeAtMs: readonly number[],
    worth: number,
    cautionDeviations: number,
  ) {
    this.#count = question.dueAtMs.length;
    this.#schedule = new ListSchedule(question, latencies);
    this.#latencies = latencies;
    this.#freeAtMs = freeAtMs;
    this.#worth = worth;
    this.#cautionDeviations = cautionDeviations;
  }

  get best(): OverloadDivision | null {
    return this.#best;
  }

  /** What was found until now is only a bound from now on. */
  beginAgain(shares: readonly Share[]): void {
    this.#leastValue = this.#best!.value - SURELY_WORSE;
    this.#best = null;
    for (const { before } of shares) before.smaller = before.full = null;
  }

  onShare(cpuMillicores: number): Share {
    const slots = this.#schedule.slotsOn(this.#freeAtMs, cpuMillicores);
    return { slots, latencies: this.#latencies.on(cpuMillicores), before: { smaller: null, full: null } };
  }

  /** Sizes in ascending order, or any where nothing of the share was looked at before. */
  consider(share: Share, batchSize: number): void {
    const smaller = this.#consider(share, batchSize, 'smaller');
    // Where no batch was cut there is nobody to be passed over for a full one.
    if (smaller === null || smaller.isCut) this.#consider(share, batchSize, 'full');
  }

  /** @returns null where it was not gone on with, as it could not be better, or is as the one before */
  #consider(share: Share, batchSize: number, filling: SlotFilling): FilledSlots | null {
    const { slots, latencies, before } = share;
    const leastMsEach = leastTimeOf(latencies, batchSize);
    const isEnough = (soFar: Progress): boolean => this.#isEnough(soFar, slots, leastMsEach, filling);
    if (isEnough(NOTHING_YET)) return null;
    const last = before[filling];
    if (last !== null && last.filled.mostTaken < last.batchSize) {
      // So far it would go as it went with a smaller limit.
      if (isWhole(last.filled, this.#count)) return last.filled;
      if (isEnough(last.filled)) return null;
    }
    const filled = this.#schedule.fillSlots(slots, batchSize, this.#cautionDeviations, filling, isEnough);
    before[filling] = { batchSize, filled };
    if (!isWhole(filled, this.#count)) return null;
    const { cpuMillicores } = slots;
    const value = filled.onTime + this.#bonusOf(filling) - this.#worth * filled.usedMs;
    const cost = (filled.usedMs * cpuMillicores) / 1000;
    const best = this.#best;
    const isBetter =
      best === null ||
      value > best.value + VALUE_TOLERANCE ||
      (value > best.value - VALUE_TOLERANCE && cost < best.cost);
    if (!isBetter) return filled;
    const { leftCount } = filled;
    this.#best = {
      cpuMillicores,
      firstSize: Math.max(1, filled.firstSize),
      batchSize,
      freeAtMs: this.#freeAtMs,
      cautionDeviations: this.#cautionDeviations,
      filling,
      leftCount,
      meetsAll: leftCount === 0 && this.#schedule.meetsBehind(this.#freeAtMs, cpuMillicores),
      value,
      cost,
    };
    return filled;
  }

  #bonusOf(filling: SlotFilling): number {
    return filling === 'smaller' ? Math.max(LEAST_SAVED, LEAST_SAVED_FRACTION * this.#count) : 0;
  }

  /** Whether it cannot be better than the best so far, whatever is done with those that are not looked at yet. */
  #isEnough(
    { onTime, leftCount, usedMs }: Progress,
    { timeMs, cpuMillicores }: Slots,
    leastMsEach: number,
    filling: SlotFilling,
  ): boolean {
    const worth = this.#worth;
    // No slot ends after the last deadline.
    const fitting = Math.floor((timeMs - usedMs) / leastMsEach + ROUNDING);
    const more = Math.max(0, Math.min(this.#count - onTime - leftCount, fitting));
    const bonus = this.#bonusOf(filling);
    const mostValue = onTime + bonus + more * Math.max(0, 1 - worth * leastMsEach) - worth * usedMs;
    if (mostValue < this.#leastValue) return true;
    const best = this.#best;
    if (best === null || mostValue > best.value + VALUE_TOLERANCE) return false;
    if (mostValue < best.value - VALUE_TOLERANCE) return true;
    // As good as the best it is only once as many are on time.
    const leastMs = usedMs + Math.max(0, best.value - VALUE_TOLERANCE - bonus - onTime) * leastMsEach;
    return (leastMs * cpuMillicores) / 1000 >= best.cost * (1 + ROUNDING);
  }
}

function isWhole({ onTime, leftCount }: FilledSlots, count: number): boolean {
  return onTime + leftCount === count;
}

/** Of slots that are being filled. */
type Progress = Pick<FilledSlots, 'onTime' | 'leftCount' | 'usedMs'>;

const NOTHING_YET: Progress = { onTime: 0, leftCount: 0, usedMs: 0 };

/** Of a request, of whichever class, in batches of up to so many. */
function leastTimeOf(latencies: readonly AllocationLatencies[], batchSize: number): number {
  let leastMs = Infinity;
  for (const each of latencies) leastMs = Math.min(leastMs, each.leastMsEach(batchSize));
  return leastMs;
}
