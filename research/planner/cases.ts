import type { ReferenceResult, SeedResult } from '../../src/simulator/comparison/run-seed.js';
import { readScenario } from '../../src/simulator/scenarios/scenario-files.js';
import { runJobs, type Job } from '../../src/simulator/comparison/simulate.js';
import { summarisePolicy, type PolicySummary } from '../../src/simulator/comparison/summary.js';

/** One policy on one scenario, over so many seeds as make about so many requests. */
export interface Case {
  readonly scenario: string;
  readonly policy: string;
  /** Overrides of the scenario, `key=value`. */
  readonly settings?: readonly string[];
  readonly requests: number;
  /** Seeds are counted up from here. */
  readonly firstSeed: number;
}

/** A case that was run. */
export interface Outcome {
  readonly summary: PolicySummary;
  readonly seeds: number;
  /** Core-seconds over the least for what can be done by the deadlines, on the scenario as it stands, without overrides. */
  readonly toReference: number;
  /** Share of feasible requests that nobody can answer in time. */
  readonly unavoidable: number;
  /** Both for as many instances as the policy has. */
  readonly toOwnReference: number;
  readonly ownUnavoidable: number;
  readonly sentBySecond: readonly number[];
  readonly violatedBySecond: readonly number[];
}

export interface CaseOptions {
  readonly threads: number;
  /** Overrides of every scenario, the references' too. */
  readonly settings: readonly string[];
  /** Of each case; `LEAST_SEEDS` by default. Fewer show that everything works, and no more. */
  readonly leastSeeds?: number;
  readonly onProgress?: (fraction: number, now: string) => void;
}

const LEAST_SEEDS = 5;
/** What a run of each scenario sends, about; only the number of seeds depends on it. */
const REQUESTS_A_SEED: Readonly<Record<string, number>> = {
  'authors-light': 6000,
  diurnal: 48_600,
  drift: 9600,
  'flash-crowd': 6300,
  overload: 24_300,
};
const USUAL_REQUESTS_A_SEED = 12_000;

function seedCountOf({ scenario, requests }: Case, leastSeeds = LEAST_SEEDS): number {
  return Math.max(leastSeeds, Math.ceil(requests / (REQUESTS_A_SEED[scenario] ?? USUAL_REQUESTS_A_SEED)));
}

/** Runs all of them together, each (policy, scenario, seed) once. */
export async function runCases<Name extends string>(
  cases: Readonly<Record<Name, Case>>,
  options: CaseOptions,
): Promise<Readonly<Record<Name, Outcome>>> {
  const jobs: Job[] = [];
  const indexOf = new Map<string, number>();
  const need = (job: Job): number => {
    const key = JSON.stringify(job);
    let index = indexOf.get(key);
    if (index === undefined) {
      index = jobs.push(job) - 1;
      indexOf.set(key, index);
    }
    return index;
  };
  const names = Object.keys(cases) as Name[];
  const needs = names.map((name) => {
    const each = cases[name];
    const file = readScenario(each.scenario, [...options.settings, ...(each.settings ?? [])]);
    const plain = readScenario(each.scenario, options.settings);
    const seeds = Array.from({ length: seedCountOf(each, options.leastSeeds) }, (_, index) => each.firstSeed + index);
    return seeds.map((seed) => ({
      reference: need({ kind: 'reference', file: plain, seed }),
      result: need({ kind: 'policy', file, seed, policy: each.policy }),
    }));
  });
  // A thread keeps the last world that it made: seed by seed of each scenario.
  const order = jobs.map((job, index) => ({ index, key: JSON.stringify([job.file.name, job.seed, job.file]) }));
  order.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.index - b.index));
  const done = await runJobs(
    order.map(({ index }) => jobs[index]!),
    options.threads,
    options.onProgress,
  );
  const placeOf = new Map(order.map(({ index }, place) => [index, place]));
  const outcomes = names.map((name, index) => {
    const pairs = needs[index]!;
    const results = pairs.map(({ result }) => done[placeOf.get(result)!] as SeedResult);
    const references = pairs.map(({ reference }) => done[placeOf.get(reference)!] as ReferenceResult);
    return [name, outcomeOf(results, references)] as const;
  });
  return Object.fromEntries(outcomes) as Readonly<Record<Name, Outcome>>;
}

function outcomeOf(results: readonly SeedResult[], references: readonly ReferenceResult[]): Outcome {
  const summary = summarisePolicy(results);
  const referenceCoreSeconds = references.reduce((sum, each) => sum + each.servableCoreSeconds, 0);
  const unavoidable = references.reduce((sum, each) => sum + each.unavoidable, 0);
  const own = results.map(({ instanceReference }, index) => instanceReference ?? references[index]!);
  return {
    summary,
    seeds: results.length,
    toReference: summary.coreSeconds / referenceCoreSeconds,
    unavoidable: unavoidable / feasibleCount(summary),
    toOwnReference: summary.coreSeconds / own.reduce((sum, each) => sum + each.servableCoreSeconds, 0),
    ownUnavoidable: own.reduce((sum, each) => sum + each.unavoidable, 0) / feasibleCount(summary),
    sentBySecond: pooledBySecond(results.map(({ sentBySecond }) => sentBySecond)),
    violatedBySecond: pooledBySecond(results.map(({ violatedBySecond }) => violatedBySecond)),
  };
}

export function feasibleCount({ sent, cancelled, infeasibleOnArrival }: PolicySummary): number {
  return sent - cancelled - infeasibleOnArrival;
}

function pooledBySecond(columns: readonly (readonly number[])[]): number[] {
  const length = Math.max(...columns.map((column) => column.length));
  return Array.from({ length }, (_, second) => columns.reduce((sum, column) => sum + (column[second] ?? 0), 0));
}

/** Share of feasible requests that were violated, several cases as one. */
export function pooledViolations(outcomes: readonly Outcome[]): number {
  const requests = outcomes.reduce((sum, { summary }) => sum + feasibleCount(summary), 0);
  const violated = outcomes.reduce(
    (sum, { summary }) => sum + summary.violationRateFeasible * feasibleCount(summary),
    0,
  );
  return violated / requests;
}
