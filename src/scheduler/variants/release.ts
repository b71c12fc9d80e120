import { chooseLevels, type Choice, type Demand, type LevelPrices } from './choice.js';

/*
 * When a request goes to a variant, and to which. Pure.
 *
 * Requests wait in one queue by their deadlines and are given to a variant only when it could begin with them: as many at a time as make
 * one batch, when fewer batches are under way than there are cores to run them (lanes). Who has been given to a variant stays there. So nothing
 * is moved, and nothing flaps: one request is served once, by what was best when its turn came; and requests of one variant come to it
 * together, in batches, though the mix changes from batch to batch.
 *
 * Which one: those that wait are weighed with those that are expected within about a budget (`choice.ts`); the batch is the first
 * request and those behind it that the choice gives the same variant. With time to spare all get the best; as the queue grows the choice
 * goes to cheaper ones, before anybody is late, and back as it shrinks.
 *
 * Rejected: a variant for each request when it comes, moved to a cheaper one where others need the cores. Queues of three variants make three
 * kinds of small batches: a fifth more CPU for the same accuracy (simulated), and what was chosen for a burst that is over stays.
 * Rejected: the variant whose batch uses up the first one's slack (as SuperServe): who is first has time as long as the queue is short, and
 * what it uses up those behind it lack.
 */

interface QueuedDemand {
  readonly dueInMs: number;
  /** The least that it takes. */
  readonly leastLevel: number;
}

export interface VariantPrices extends LevelPrices {
  readonly maxBatchSize: number;
  /** A batch as it is planned on one lane's cores. */
  batchMs(batchSize: number): number;
}

export interface ReleaseView {
  /** By level, ascending accuracy. */
  readonly prices: readonly VariantPrices[];
  /** That can take requests now, by level. */
  readonly isOpen: readonly boolean[];
  /** By ascending deadline. */
  readonly queue: readonly QueuedDemand[];
  /** The most that a request is to be given, by the operator's objective. */
  readonly mostLevel: number;
  readonly cores: number;
  /** Of these what batches still take that run or were given away. */
  readonly busyCoreMs: number;
  readonly ratePerMs: number;
  readonly budgetMs: number;
  /** What is to come, by ascending deadline, where it is known; absent: by rate and budget. */
  readonly coming?: readonly Coming[];
}

export interface Coming {
  readonly dueInMs: number;
  readonly count: number;
}

/** Of the cores, what the choice counts on: batches are not all of the best size, and some take longer. */
const COUNTED_FRACTION = 0.95;
/** Who is expected is to be done within this share of its budget: the rest is for what was not expected. */
const EXPECTED_BUDGET_FRACTION = 0.65;
const EXPECTED_GROUPS = 16;
/** Of equals who is here goes before who is expected. */
const EXPECTED_CLAIM = 0.99;
/** A queue is weighed by so many of its requests; neighbours stand for each other. */
const MOST_DEMANDS = 64;

interface Release {
  readonly level: number;
  /** Of the queue, from its head. */
  readonly count: number;
}

/** @param view with a queue that is not empty, and a variant that is open to its first */
export function nextRelease(view: ReleaseView): Release {
  const { queue, prices } = view;
  const head = queue[0]!;
  const first = levelsFor(view, head.leastLevel);
  const { levels } = weigh(view, queue, expectedOf(view));
  const most = Math.min(queue.length, MOST_DEMANDS);
  let level = levels[0] === -1 ? first[0]! : levels[0]!;
  // All of a batch have what the last of it is given: so there is one change of variants from batch to batch at most.
  for (;;) {
    let count = 1;
    while (count < Math.min(most, prices[level]!.maxBatchSize)) {
      if (!levelsFor(view, queue[count]!.leastLevel).includes(level)) break;
      if (prices[level]!.batchMs(count + 1) > head.dueInMs) break;
      count += 1;
    }
    const last = levels[count - 1]!;
    const lowest = last === -1 ? first[0]! : Math.max(first[0]!, last);
    if (lowest >= level) return { level, count };
    level = lowest;
  }
}

/**
 * Whether a request that has just come can be met as well as all that wait, if all that may have the cheapest variant have it.
 * @param place in the queue, which it is in already
 * @param isBesideExpected and all that are expected
 */
export function isRoomFor(view: ReleaseView, place: number, isBesideExpected: boolean): boolean {
  const { queue, prices, cores, busyCoreMs } = view;
  const demands: Demand[] = queue.map(({ dueInMs, leastLevel }) => demandOf(view, dueInMs, leastLevel));
  const own = demands[place]!;
  if (isBesideExpected) for (const each of expectedOf(view)) insertByDue(demands, each);
  const from = demands.indexOf(own);
  let sum = busyCoreMs;
  return demands.every(({ dueInMs, levels, count }, index) => {
    const least = Math.min(...levels.map((level) => prices[level]!.coreMs(dueInMs)));
    // Who is lost by itself takes nobody's time.
    if (least === Infinity) return true;
    const runMs = Math.min(...levels.map((level) => prices[level]!.batchMs(1)));
    const isMet = sum <= cores * (dueInMs - runMs);
    sum += count * least;
    return index < from || isMet;
  });
}

/** What the request at a place of the queue would be given if it took anything. */
export function fairLevel(view: ReleaseView, place: number): number {
  const queue = view.queue.map((each, index) => (index === place ? { ...each, leastLevel: 0 } : each));
  const level = weigh(view, queue, expectedOf(view)).levels[place];
  return level === undefined || level === -1 ? 0 : level;
}

/** By ascending accuracy; at least one where any is open to it. */
export function levelsFor({ prices, isOpen, mostLevel }: ReleaseView, leastLevel: number): readonly number[] {
  const open: number[] = [];
  for (let level = leastLevel; level < prices.length; level++) if (isOpen[level] === true) open.push(level);
  const within = open.filter((level) => level <= mostLevel);
  return within.length > 0 ? within : open.slice(0, 1);
}

function weigh(view: ReleaseView, queue: readonly QueuedDemand[], expected: readonly Demand[]): Choice {
  const { prices, cores, busyCoreMs } = view;
  const demands: Demand[] = [];
  const [exact, rest] = [queue.slice(0, MOST_DEMANDS), queue.slice(MOST_DEMANDS)];
  for (const { dueInMs, leastLevel } of exact) demands.push(demandOf(view, dueInMs, leastLevel));
  const size = Math.ceil(rest.length / MOST_DEMANDS);
  for (let index = 0; index < rest.length; index += size) {
    const { dueInMs, leastLevel } = rest[index]!;
    const count = Math.min(size, rest.length - index);
    demands.push({ ...demandOf(view, dueInMs, leastLevel), count });
  }
  const own = [...demands];
  for (const each of expected) insertByDue(demands, each);
  const { levels, lost } = chooseLevels(demands, prices, COUNTED_FRACTION * cores, busyCoreMs);
  if (expected.length === 0) return { levels, lost };
  const places = new Set<Demand>(own);
  return { levels: levels.filter((_, index) => places.has(demands[index]!)), lost };
}

/** What is to come within a budget, in groups. */
function expectedOf(view: ReleaseView): readonly Demand[] {
  const { ratePerMs, budgetMs, coming } = view;
  const count = (ratePerMs * budgetMs) / EXPECTED_GROUPS;
  const levels = levelsFor(view, 0);
  if (coming !== undefined) return coming.map((each) => ({ ...each, levels, claim: EXPECTED_CLAIM }));
  if (count <= 0 || levels.length === 0) return [];
  return Array.from({ length: EXPECTED_GROUPS }, (_, group) => ({
    dueInMs: ((group + 0.5) / EXPECTED_GROUPS) * budgetMs + EXPECTED_BUDGET_FRACTION * budgetMs,
    ...{ count, levels, claim: EXPECTED_CLAIM },
  }));
}

function demandOf(view: ReleaseView, dueInMs: number, leastLevel: number): Demand {
  return { dueInMs, count: 1, levels: levelsFor(view, leastLevel), claim: 1 };
}

function insertByDue(demands: Demand[], item: Demand): void {
  let place = demands.length;
  while (place > 0 && demands[place - 1]!.dueInMs > item.dueInMs) place--;
  demands.splice(place, 0, item);
}
