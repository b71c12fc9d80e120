import { feasibleCount, runCases, type Case, type CaseOptions, type Outcome } from './cases.js';
import { atMost, percentText, type Target } from './target.js';

/*
 * What several warm instances are held to, as `planner-experiment.ts` for one worker: the least that so many need, on seeds that no constant
 * was chosen on; what each part is worth; how many pay; and what others need on the same requests.
 */

const FIRST_SEED = 1001;
/** Requests of a scenario that stand behind a number that is held to a target, and behind one that only compares. */
const MANY = 1_000_000;
const SOME = 100_000;
/** Batches take what the published tables say, and an instance that rests next to nothing: what that costs is charged beside it. */
const MACHINE = ['service=p99-table', 'cpu.idleCores=0.001'];

const BOUND = ['authors-applied', 'multi-client', 'authors-light', 'bursts', 'mixed-payloads'] as const;
const COMPARED = ['bursts', 'overload', 'diurnal', 'flash-crowd', 'deep-fades'] as const;
const HELD = [2, 4] as const;
const COUNTS = [1, 2, 3, 4, 5, 6, 7, 8] as const;
const OURS = 'sponge(instances=4)';
const BASELINES = [
  'released',
  'paper',
  'fa2-published',
  'themis',
  'vpa',
  'one-core-pool(instances=4)',
  'best-static',
] as const;

/** Left out one at a time. */
const VARIANTS = [
  { title: 'all of it', without: 'none' },
  { title: 'time has no price', without: 'price' },
  { title: 'never waits', without: 'waiting' },
  { title: 'the queue behind a batch is not minded', without: 'behind' },
  { title: 'always one core', without: 'vertical' },
  { title: 'profile as measured, not corrected by batches', without: 'learning' },
] as const;
const ABLATED_COUNT = 2;
const ABLATED = [...BOUND, 'overload'] as const;

interface Row<Key> {
  readonly key: Key;
  readonly outcomes: readonly Outcome[];
}

export interface InstancesResults {
  readonly scenarios: readonly string[];
  /** By number of instances, then by scenario; 0 is the authors' released code. */
  readonly held: readonly Row<number>[];
  readonly frontier: readonly Row<number>[];
  readonly ablation: { readonly scenarios: readonly string[]; readonly rows: readonly Row<string>[] };
  /** By policy, ours first. */
  readonly compared: { readonly scenarios: readonly string[]; readonly rows: readonly Row<string>[] };
}

export interface InstancesExperimentOptions extends CaseOptions {
  /** Of the full numbers of requests, this share. */
  readonly scale: number;
}

export async function runInstancesExperiment(options: InstancesExperimentOptions): Promise<InstancesResults> {
  const { scale } = options;
  const cases: Record<string, Case> = {};
  const add = (scenario: string, policy: string, requests: number): string => {
    const name = `${scenario} ${policy} ${requests}`;
    cases[name] = { scenario, policy, requests: requests * scale, firstSeed: FIRST_SEED };
    return name;
  };
  const rows = <Key>(
    keys: readonly Key[],
    scenarios: readonly string[],
    policyOf: (key: Key) => string,
    requestsOf: (key: Key) => number = () => SOME,
  ): { readonly key: Key; readonly names: readonly string[] }[] =>
    keys.map((key) => ({ key, names: scenarios.map((each) => add(each, policyOf(key), requestsOf(key))) }));

  const held = rows([0, 1, ...HELD], BOUND, countPolicy, (count) => (count > 1 ? MANY : SOME));
  const frontier = rows(COUNTS, BOUND, countPolicy);
  const ablation = rows(
    VARIANTS,
    ABLATED,
    ({ without }) => `sponge(instances=${ABLATED_COUNT},without=${without})`,
  ).map(({ key, names }) => ({ key: key.title, names }));
  const compared = rows<string>([OURS, ...BASELINES], COMPARED, (policy) => policy);

  const done = await runCases(cases, { ...options, settings: [...MACHINE, ...options.settings] });
  const outcomesOf = <Key>(list: readonly { key: Key; names: readonly string[] }[]): Row<Key>[] =>
    list.map(({ key, names }) => ({ key, outcomes: names.map((name) => done[name]!) }));
  return {
    scenarios: BOUND,
    held: outcomesOf(held),
    frontier: outcomesOf(frontier),
    ablation: { scenarios: ABLATED, rows: outcomesOf(ablation) },
    compared: { scenarios: COMPARED, rows: outcomesOf(compared) },
  };
}

function countPolicy(count: number): string {
  return count === 0 ? 'released' : `sponge(instances=${count})`;
}

// ---- what it is held to ----------------------------------------------------------------------------------------------

export function instancesTargets({ scenarios, held, compared }: InstancesResults): readonly Target[] {
  const of = (count: number): readonly Outcome[] => held.find(({ key }) => key === count)!.outcomes;
  const named = (count: number, valueOf: (outcome: Outcome) => number): [string, number][] =>
    of(count).map((outcome, index) => [scenarios[index]!, valueOf(outcome)]);
  const applied = scenarios.indexOf('authors-applied');
  const coresOf = (count: number): number => of(count)[applied]!.summary.meanCores;
  return [
    atMost('core-seconds / bound of 4 instances', 1.05, 1.01, named(4, toBound), 3),
    atMost('core-seconds / bound of 2 instances', 1.1, 1.03, named(2, toBound), 3),
    atMost('violations above the unavoidable, 4 instances', 0.02, 0.005, named(4, aboveUnavoidable), 3, ' pp'),
    atMost(
      "authors-applied, 4 instances: core-seconds / the released code's",
      0.22,
      0.2,
      [['', coresOf(4) / coresOf(0)]],
      3,
    ),
    atMost('the same / those of one worker', 0.55, 0.5, [['', coresOf(4) / coresOf(1)]], 3),
    againstAll(compared),
  ];
}

function toBound({ toOwnReference }: Outcome): number {
  return toOwnReference;
}

/** Percentage points. */
function aboveUnavoidable({ summary, ownUnavoidable }: Outcome): number {
  return 100 * Math.max(0, summary.violationRateFeasible - ownUnavoidable);
}

/** Fewer core-seconds and no more violations than every baseline; violations that differ by chance alone count as no more. */
function againstAll({ scenarios, rows }: InstancesResults['compared']): Target {
  const [ours, ...baselines] = rows;
  const better = baselines.flatMap(({ key, outcomes }) =>
    outcomes.flatMap((theirs, index) => {
      const mine = ours!.outcomes[index]!;
      const isDearer = mine.summary.coreSeconds >= theirs.summary.coreSeconds;
      const losesMore =
        mine.summary.violationRateFeasible > theirs.summary.violationRateFeasible + chanceOf(mine, theirs);
      if (!isDearer && !losesMore) return [];
      const { violationRateFeasible } = theirs.summary;
      const what = losesMore ? 'violations' : `cores, at ${percentText(violationRateFeasible)} % lost`;
      return [`${key} on ${scenarios[index]!} (${what})`];
    }),
  );
  const isMet = better.length === 0;
  return {
    measure: `${scenarios.join(', ')}: fewer core-seconds and no more violations than every baseline`,
    least: 'all',
    aim: 'all',
    measured: isMet ? 'all' : `not ${better.join('; ')}`,
    isMet,
    isAimMet: isMet,
  };
}

/** Two standard deviations of the difference, as if requests were independent. */
function chanceOf(mine: Outcome, theirs: Outcome): number {
  const variance = [mine, theirs].reduce((sum, { summary }) => {
    const share = summary.violationRateFeasible;
    return sum + (share * (1 - share)) / Math.max(1, feasibleCount(summary));
  }, 0);
  return 2 * Math.sqrt(variance);
}
