import type { PolicyTitle } from '../../scheduler/policies/chosen-policy.js';
import type { VariantsObjective } from '../../scheduler/variants/objective.js';
import type { ReleaseView } from '../../scheduler/variants/release.js';
import { stream } from '../../scheduler/random/streams.js';
import { parsePolicySpec } from './policy-spec.js';

/*
 * Policies of a model with variants: which of them serves a request. What runs it is ours in all of them (each variant a model of the node,
 * with its instances, batches and cores) but for `superserve`, which has a queue of its own.
 *
 * The baselines are after what their papers say, without what a simulation of one machine has no place for (cold starts, kinds of workers,
 * placement), which is in their favour.
 */

type Assign = (nowMs: number, view: ReleaseView) => number;

export interface VariantsPolicy {
  readonly name: string;
  readonly objective: VariantsObjective;
  /** Chooses otherwise than we do. */
  readonly assign?: Assign;
  /** One queue, and the variant by its first request's slack when a worker is free. */
  readonly isBySlack?: true;
  /** Told of every request that is to come. */
  readonly isClairvoyant?: true;
  /** Of all single variants the one that hindsight prefers. */
  readonly isBestSingle?: true;
}

const TITLES: Readonly<Record<string, string>> = {
  sponge: 'ours; meanAccuracy=… for the least cores at that accuracy',
  clairvoyant: 'ours, told of every request that is to come within a second',
  single: 'one variant for all requests: variant=…',
  'best-single': 'the variant whose answers in time have the most accuracy in all, chosen in hindsight',
  infaas:
    'the best variant that keeps up with the load of the last second, for all requests, each second anew (after INFaaS)',
  proteus:
    'shares of the variants that keep up with the load of late at the highest accuracy, by chance (after Proteus)',
  superserve:
    'one queue, one-core workers: the variant and batch that use up the slack of the first (after SuperServe)',
};

export function variantsPolicyTitles(): readonly PolicyTitle[] {
  return Object.entries(TITLES).map(([name, title]) => ({ name, title }));
}

/** @throws Error, one line */
export function checkVariantsPolicy(text: string, variants: readonly { readonly name: string }[]): void {
  variantsPolicy(
    text,
    variants.map(({ name }) => name),
    0,
  );
}

/** @throws Error, one line   @param names of the variants, by ascending accuracy */
export function variantsPolicy(text: string, names: readonly string[], seed: number): VariantsPolicy {
  const { name, parameters } = parsePolicySpec(text);
  if (!Object.hasOwn(TITLES, name))
    throw new Error(`no policy of variants is called ${name}; there are ${Object.keys(TITLES).join(', ')}`);
  const own = name === 'single' ? 'variant' : name === 'sponge' ? 'meanAccuracy' : null;
  const unknown = Object.keys(parameters).find((key) => key !== own);
  if (unknown !== undefined)
    throw new Error(`policy ${name} has no parameter ${unknown}${own === null ? '' : `; it has ${own}`}`);
  const objective: VariantsObjective = { kind: 'accuracy' };
  switch (name) {
    case 'single': {
      const level = names.indexOf(parameters['variant'] ?? '');
      if (level === -1) throw new Error(`policy single: give variant= one of ${names.join(', ')}`);
      return { name: text, objective, assign: () => level };
    }
    case 'clairvoyant':
      return { name: text, objective, isClairvoyant: true };
    case 'best-single':
      return { name: text, objective, isBestSingle: true };
    case 'infaas':
      return { name: text, objective, assign: infaasLike() };
    case 'proteus':
      return { name: text, objective, assign: proteusLike(seed) };
    case 'superserve':
      return { name: text, objective, isBySlack: true };
    default: {
      if (parameters['meanAccuracy'] === undefined) return { name: text, objective };
      const meanAccuracy = Number(parameters['meanAccuracy']);
      if (!(meanAccuracy > 0)) throw new Error(`policy parameter meanAccuracy: give a number above 0`);
      return { name: text, objective: { kind: 'cores', meanAccuracy } };
    }
  }
}

/** Arrivals of late, by whole seconds. */
class Seconds {
  #second = 0;
  #count = 0;
  readonly closed: number[] = [];

  /** @returns whether a second has ended */
  arrive(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1000);
    const isNew = second !== this.#second;
    if (isNew) {
      this.closed.push(this.#count);
      if (this.closed.length > 10) this.closed.shift();
      [this.#second, this.#count] = [second, 0];
    }
    this.#count += 1;
    return isNew;
  }

  /** Of the second that has not ended. */
  get open(): number {
    return this.#count;
  }
}

const KEPT_FREE = 1.05;

/** What a variant for all requests keeps up with, a second. */
function capacityPerSec({ prices, cores, budgetMs }: ReleaseView, level: number): number {
  return (1000 * cores) / prices[level]!.coreMs(budgetMs);
}

function bestThatKeepsUp(view: ReleaseView, ratePerSec: number): number {
  for (let level = view.prices.length - 1; level > 0; level--)
    if (capacityPerSec(view, level) >= KEPT_FREE * ratePerSec) return level;
  return 0;
}

/**
 * INFaaS (USENIX ATC 2021): the autoscaler upgrades and downgrades each second by the load that it measured, with a margin of 5 %. Queries
 * here state no accuracy of their own.
 */
function infaasLike(): Assign {
  const seconds = new Seconds();
  let level = 0;
  return (nowMs, view) => {
    if (seconds.arrive(nowMs)) level = bestThatKeepsUp(view, seconds.closed.at(-1)!);
    return level;
  };
}

/**
 * Proteus (ASPLOS 2024): shares of the variants of the highest mean accuracy whose work the cores keep up with, for the highest demand of the
 * last seconds plus 5 %; anew each second (published: every 30) and as soon as more comes than was planned for. Requests are dealt out
 * by weight.
 */
function proteusLike(seed: number): Assign {
  const seconds = new Seconds();
  const chance = stream(seed, 'proteus');
  let plannedPerSec = 0;
  let shares: readonly number[] = [1];
  return (nowMs, view) => {
    const isNew = seconds.arrive(nowMs);
    if (isNew || seconds.open > plannedPerSec) {
      plannedPerSec = KEPT_FREE * Math.max(...seconds.closed.slice(-5), seconds.open, 1);
      shares = sharesFor(view, plannedPerSec);
    }
    let left = chance.uniform();
    const level = shares.findIndex((share) => (left -= share) < 0);
    return level === -1 ? 0 : level;
  };
}

/** The mean work that a request may take, of the two variants around it. */
function sharesFor(view: ReleaseView, ratePerSec: number): readonly number[] {
  const { prices, cores, budgetMs } = view;
  const mostCoreMs = (1000 * cores) / ratePerSec;
  const works = prices.map((price) => price.coreMs(budgetMs));
  const shares = works.map(() => 0);
  const below = works.findLastIndex((each) => each <= mostCoreMs);
  if (below === -1) shares[0] = 1;
  else if (below === works.length - 1) shares[below] = 1;
  else {
    const share = (mostCoreMs - works[below]!) / (works[below + 1]! - works[below]!);
    shares[below] = 1 - share;
    shares[below + 1] = share;
  }
  return shares;
}
