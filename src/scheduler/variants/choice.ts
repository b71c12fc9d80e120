/*
 * Which variant serves which request: pure, and of one instant. Requests wait for the same cores, earliest deadline first, and a request
 * takes of them what the node's planner would spend on it at least (`work-prices.ts`). It begins when the cores have done the work of all
 * before it, and then runs for as long as its own batch takes, which more cores beside it do not shorten. So the choice is
 *
 *     most requests met; of those choices the most accuracy; for each that is met: work before it / cores + its batch ≤ its deadline
 *
 * Each choice is a pair of sums, work and value, and one that has more work and no more value than another is never better: what is
 * left after each request is the frontier of the pairs. That is exact, and used as long as the frontier is small. With many
 * requests it is not, and steps to the next better variant are taken in the order of accuracy for work, each if all prefixes behind it
 * have room. Constraints that are nested are a matroid's, so among steps that cost alike no order takes more of them (Edmonds 1971);
 * where they differ, less than one step for each prefix is lost.
 *
 * Rejected: the variant by the slack of the request alone. Who has time takes it, and whoever comes next has none.
 */

/** What waits, or is expected, from the planner's point of view. */
export interface Demand {
  readonly dueInMs: number;
  /** So many requests that are treated alike. */
  readonly count: number;
  /** What may serve it, by level; ascending. With none it cannot be met. */
  readonly levels: readonly number[];
  /** Of levels that do alike for all it is the one to give more to; 1 for requests that are here. */
  readonly claim: number;
}

export interface LevelPrices {
  readonly accuracy: number;
  /** Core-ms of one request that has so long; Infinity where no cores make it in time. */
  coreMs(leftMs: number): number;
  /** From its beginning to its answer. */
  readonly runMs: number;
}

export interface Choice {
  /** By demand; -1 where it cannot be met. */
  readonly levels: readonly number[];
  /** Requests that cannot be met, whatever serves them. */
  readonly lost: number;
}

/** With more to choose for, or so many pairs, the frontier costs more than it saves: ten requests of three variants have 286 at most. */
const MOST_CHOSEN = 10;
const MOST_PAIRS = 300;

/**
 * @param demands by ascending deadline
 * @param cores that can be had from now on
 * @param busyCoreMs of these what batches still take that run
 */
export function chooseLevels(
  demands: readonly Demand[],
  prices: readonly LevelPrices[],
  cores: number,
  busyCoreMs: number,
): Choice {
  return exactly(demands, prices, cores, busyCoreMs) ?? step(demands, prices, cores, busyCoreMs);
}

// ---- exact -----------------------------------------------------------------------------------------------------------

interface Pair {
  readonly coreMs: number;
  readonly met: number;
  readonly accuracy: number;
  readonly level: number;
  readonly before: Pair | null;
}

/** Null where the frontier grows too large. */
function exactly(
  demands: readonly Demand[],
  prices: readonly LevelPrices[],
  cores: number,
  busyCoreMs: number,
): Choice | null {
  if (demands.reduce((sum, { levels }) => sum + Number(levels.length > 1), 0) > MOST_CHOSEN) return null;
  let frontier: readonly Pair[] = [{ coreMs: busyCoreMs, met: 0, accuracy: 0, level: -1, before: null }];
  for (const { dueInMs, count, levels, claim } of demands) {
    // To lose it takes nothing.
    const grown: Pair[] = frontier.map((pair) => ({ ...pair, level: -1, before: pair }));
    for (const level of levels) {
      const { accuracy, runMs } = prices[level]!;
      const ownCoreMs = count * prices[level]!.coreMs(dueInMs);
      if (ownCoreMs === Infinity) continue;
      for (const pair of frontier) {
        if (pair.coreMs > cores * (dueInMs - runMs)) break;
        const met = pair.met + count;
        grown.push({
          coreMs: pair.coreMs + ownCoreMs,
          met,
          accuracy: pair.accuracy + count * claim * accuracy,
          level,
          before: pair,
        });
      }
    }
    frontier = bestOf(grown);
    if (frontier.length > MOST_PAIRS) return null;
  }
  const best = frontier.at(-1)!;
  const levels: number[] = [];
  for (let pair = best; pair.before !== null; pair = pair.before) levels.unshift(pair.level);
  return { levels, lost: demands.reduce((sum, { count }) => sum + count, 0) - best.met };
}

/** By ascending work, each worth more than all before it. */
function bestOf(pairs: Pair[]): readonly Pair[] {
  pairs.sort((a, b) => a.coreMs - b.coreMs || b.met - a.met || b.accuracy - a.accuracy);
  const kept: Pair[] = [];
  for (const pair of pairs) {
    const last = kept.at(-1);
    if (last === undefined || pair.met > last.met || (pair.met === last.met && pair.accuracy > last.accuracy))
      kept.push(pair);
  }
  return kept;
}

// ---- step by step ----------------------------------------------------------------------------------------------------

interface Step {
  readonly demand: number;
  readonly from: number;
  readonly to: number;
  readonly coreMs: number;
  readonly accuracyPerCoreMs: number;
}

function step(demands: readonly Demand[], prices: readonly LevelPrices[], cores: number, busyCoreMs: number): Choice {
  const chosen: number[] = [];
  /** Until each has to begin, what the cores do beyond the work of all before it. */
  const room: number[] = [];
  let sum = busyCoreMs;
  let lost = 0;
  for (const { dueInMs, count, levels } of demands) {
    const cheapest = cheapestOf(levels, prices, dueInMs);
    const left = cheapest === -1 ? -1 : cores * (dueInMs - prices[cheapest]!.runMs) - sum;
    room.push(left);
    chosen.push(left >= 0 ? cheapest : -1);
    if (left >= 0) sum += count * prices[cheapest]!.coreMs(dueInMs);
    else lost += count;
  }
  const steps = demands.flatMap((demand, index) =>
    chosen[index] === -1 ? [] : stepsOf(demand, index, chosen[index]!, prices),
  );
  // Stable: of alike ones those that are here come first, by deadline.
  steps.sort((a, b) => b.accuracyPerCoreMs - a.accuracyPerCoreMs);
  for (const { demand, from, to, coreMs } of steps) {
    if (chosen[demand] !== from) continue;
    const ownLeft = room[demand]! - cores * (prices[to]!.runMs - prices[from]!.runMs);
    let isRoom = ownLeft >= 0;
    for (let behind = demand + 1; isRoom && behind < room.length; behind++)
      isRoom = chosen[behind] === -1 || room[behind]! >= coreMs;
    if (!isRoom) continue;
    chosen[demand] = to;
    room[demand] = ownLeft;
    for (let behind = demand + 1; behind < room.length; behind++) room[behind] = room[behind]! - coreMs;
  }
  return { levels: chosen, lost };
}

/** -1: there is none. */
function cheapestOf(levels: readonly number[], prices: readonly LevelPrices[], leftMs: number): number {
  let cheapest = -1;
  let leastCoreMs = Infinity;
  for (const level of levels) {
    const coreMs = prices[level]!.coreMs(leftMs);
    if (coreMs < leastCoreMs) [cheapest, leastCoreMs] = [level, coreMs];
  }
  return cheapest;
}

/** The upper hull of accuracy over work from the cheapest on: steps that are worth less and less. */
function stepsOf(
  { dueInMs, count, levels, claim }: Demand,
  demand: number,
  first: number,
  prices: readonly LevelPrices[],
): Step[] {
  const steps: Step[] = [];
  let from = first;
  for (;;) {
    const { accuracy } = prices[from]!;
    const coreMs = prices[from]!.coreMs(dueInMs);
    let best: Step | null = null;
    for (const to of levels) {
      const moreCoreMs = prices[to]!.coreMs(dueInMs) - coreMs;
      const more = prices[to]!.accuracy - accuracy;
      if (more <= 0 || moreCoreMs === Infinity) continue;
      const accuracyPerCoreMs = moreCoreMs <= 0 ? Infinity : (claim * more) / moreCoreMs;
      if (best === null || accuracyPerCoreMs > best.accuracyPerCoreMs)
        best = { demand, from, to, coreMs: count * moreCoreMs, accuracyPerCoreMs };
    }
    if (best === null) return steps;
    steps.push(best);
    from = best.to;
  }
}
