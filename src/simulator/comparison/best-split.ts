import { restingMillicores } from '../../scheduler/controlplane/allocations.js';
import { parseNodePolicy, splitPolicy, withCores } from '../policies/node-policies.js';
import { runPolicy, type SeedWorld } from './run-seed.js';
import type { NodeSetup } from '../scenarios/node-setup.js';

/** The grid of shares. */
const SHARE_MILLICORES = 500;

/**
 * The fixed shares that lose fewest requests of a run. Models in fixed shares do not meet each other, so each is run on every share by
 * itself, and the best division is put together from those.
 */
export function bestSplit(setup: NodeSetup, worlds: readonly SeedWorld[], policy: string): readonly number[] {
  const { budgetMillicores, models } = setup;
  const least = models.map((_, index) => leastShare(setup, index, policy));
  const spare = budgetMillicores - least.reduce((sum, each) => sum + each, 0);
  const lost = models.map((_, index) => lostByShare(setup, worlds[index]!, index, policy, least[index]!, spare));
  return leastLost(lost, Math.floor(spare / SHARE_MILLICORES)).map(
    (steps, index) => least[index]! + steps * SHARE_MILLICORES,
  );
}

/** On the grid: a batch can start on it beside the other instances, which rest. */
function leastShare({ models }: NodeSetup, index: number, policy: string): number {
  const { cpu } = models[index]!.setup.environment;
  const { instances, leastMillicores } = parseNodePolicy(policy);
  const needed = Math.max(leastMillicores, cpu.limits.minMillicores + (instances! - 1) * restingMillicores(cpu));
  return SHARE_MILLICORES * Math.ceil(needed / SHARE_MILLICORES);
}

/** By steps above the least share; once nothing is lost, nothing is on more. */
function lostByShare(
  { models }: NodeSetup,
  world: SeedWorld,
  index: number,
  policy: string,
  leastMillicores: number,
  spareMillicores: number,
): number[] {
  const lost: number[] = [];
  for (let extra = 0; extra <= spareMillicores; extra += SHARE_MILLICORES) {
    if (lost.at(-1) === 0) lost.push(0);
    else {
      const share = withCores(models[index]!.setup, leastMillicores + extra);
      const { outcomes } = runPolicy(share, world, splitPolicy(policy, share, world.seed));
      lost.push(outcomes.sent - outcomes.cancelled - outcomes.onTime);
    }
  }
  return lost;
}

/** How many steps each gets of so many, so that the sum of what is lost is least. */
export function leastLost(lost: readonly (readonly number[])[], steps: number): readonly number[] {
  // By steps that are given away: the least that the models so far lose, and who has how many.
  let best = [{ lost: 0, given: [] as readonly number[] }];
  for (const ofModel of lost) {
    best = Array.from({ length: steps + 1 }, (_, until) => {
      let least = { lost: Infinity, given: [] as readonly number[] };
      for (let own = 0; own <= until; own++) {
        // The first model finds nothing given away yet.
        const before = best[Math.min(until - own, best.length - 1)]!;
        const sum = before.lost + ofModel[own]!;
        if (sum < least.lost) least = { lost: sum, given: [...before.given, own] };
      }
      return least;
    });
  }
  return best.at(-1)!.given;
}
