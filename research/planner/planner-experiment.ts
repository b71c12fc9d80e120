import { READY_NAMES } from '../../src/simulator/scenarios/scenario-files.js';
import { feasibleCount, pooledViolations, runCases, type Case, type CaseOptions, type Outcome } from './cases.js';
import { atMost, type Target } from './target.js';

/*
 * What the default planner is held to: its numbers on every scenario, on seeds that no constant was chosen on, beside those on
 * the seeds that they were; what each of its parts is worth; what the dial trades; and the targets, met or not.
 */

/** Constants were chosen by looking at seeds from 1 on; what is reported is from seeds far away. */
const TUNING_SEED = 1;
const REPORTED_SEED = 1001;
/** Requests of a scenario that stand behind a headline number, and behind one that only compares. */
const MANY = 1_000_000;
const SOME = 200_000;

const STEADY = ['authors-applied', 'multi-client', 'authors-light'] as const;
const VARYING = ['bursts', 'mixed-payloads', 'deep-fades', 'flash-crowd'] as const;
const AGAINST_STATIC = ['bursts', 'diurnal', 'deep-fades'] as const;
const SHOWN = ['authors-applied', 'authors-light', 'mixed-payloads', 'bursts', 'flash-crowd', 'drift'] as const;

const SAFETIES = [1, 1.2, 1.4, 1.7, 2, 3, 6] as const;
const HELD_SAFETIES = [1.4, 2, 2.4, 3, 4, 5, 6, 8] as const;

/** Left out one at a time. */
const VARIANTS = [
  { title: 'all of it', policy: 'sponge' },
  { title: 'waits for batch-mates at the steady allocation', policy: 'sponge(without=slowing)' },
  { title: 'profile as measured, not corrected by batches', policy: 'sponge(without=learning)' },
  { title: 'no forecast', policy: 'sponge(without=forecast)' },
  { title: 'losses have no price', policy: 'sponge(without=losses)' },
  { title: 'keeps idle CPU', policy: 'sponge', settings: ['cpu.idleRelease=false'] },
  { title: 'whole cores, never below 1', policy: 'sponge', settings: ['cpu.stepCores=1', 'cpu.idleCores=1'] },
  { title: 'once a second', policy: 'sponge(without=events)' },
  { title: 'first come, first served', policy: 'sponge(order=fifo)' },
] as const;

const KEPT = ['cpu.idleRelease=false'];
const WHOLE_CORES = ['cpu.stepCores=1', 'cpu.idleCores=1'];
const ONE_SECOND = ['scaler.delayMs=1000', 'scaler.readBackMs=0'];

export interface PlannerResults {
  readonly suite: readonly {
    readonly scenario: string;
    readonly released: Outcome;
    readonly kept: Outcome;
    /** On the seeds that constants were chosen on. */
    readonly tuning: Outcome;
    /** The policy `released`, the authors' code. */
    readonly authors: Outcome;
  }[];
  readonly dial: readonly { readonly safety: number; readonly outcomes: readonly Outcome[] }[];
  readonly ablation: readonly { readonly title: string; readonly outcomes: readonly Outcome[] }[];
  readonly shown: readonly string[];
  readonly bestStatic: readonly { readonly scenario: string; readonly ours: Outcome; readonly theirs: Outcome }[];
  readonly wholeCores: readonly { readonly scenario: string; readonly outcome: Outcome }[];
  readonly oneSecond: {
    readonly paper: Outcome;
    readonly ours: Outcome;
    readonly safety: number;
    readonly isAffordable: boolean;
  };
  readonly drift: {
    /** Violations of feasible requests before the step, and once everything has long been learnt after it. */
    readonly before: number;
    readonly after: number;
    /** In the worst five seconds. */
    readonly worst: number;
    /** From the step on until five seconds have at most twice the level of before, or of after; null if not for a minute. */
    readonly toBeforeSec: number | null;
    readonly toAfterSec: number | null;
  };
}

export interface PlannerExperimentOptions extends CaseOptions {
  /** Of the full numbers of requests, this share; 1 for what is published. */
  readonly scale: number;
}

export async function runPlannerExperiment(options: PlannerExperimentOptions): Promise<PlannerResults> {
  const many = MANY * options.scale;
  const some = SOME * options.scale;
  const cases: Record<string, Case> = {};
  const add = (name: string, each: Omit<Case, 'firstSeed'>, firstSeed = REPORTED_SEED): void => {
    cases[name] = { ...each, firstSeed };
  };
  for (const scenario of READY_NAMES) {
    add(`released ${scenario}`, { scenario, policy: 'sponge', requests: many });
    add(`kept ${scenario}`, { scenario, policy: 'sponge', settings: KEPT, requests: some });
    add(`tuning ${scenario}`, { scenario, policy: 'sponge', requests: some }, TUNING_SEED);
    add(`authors ${scenario}`, { scenario, policy: 'released', requests: some });
  }
  for (const scenario of SHOWN) {
    for (const safety of SAFETIES) {
      add(`κ=${safety} ${scenario}`, { scenario, policy: `sponge(safety=${safety})`, requests: some });
    }
    for (const variant of VARIANTS) add(`${variant.title} ${scenario}`, { scenario, requests: some, ...variant });
  }
  for (const scenario of AGAINST_STATIC) {
    add(`static ${scenario}`, { scenario, policy: 'best-static', requests: 0 });
    add(`beside static ${scenario}`, { scenario, policy: 'sponge', requests: 0 });
  }
  for (const scenario of STEADY) {
    add(`whole cores ${scenario}`, { scenario, policy: 'sponge', settings: WHOLE_CORES, requests: some });
  }
  const slow = { scenario: 'slow-actuation', settings: ONE_SECOND, requests: some };
  add('one second, paper', { ...slow, policy: 'paper' });
  for (const safety of HELD_SAFETIES) add(`one second, κ=${safety}`, { ...slow, policy: `sponge(safety=${safety})` });

  const done = await runCases(cases, options);
  const of = (name: string): Outcome => done[name]!;
  return {
    suite: READY_NAMES.map((scenario) => ({
      scenario,
      released: of(`released ${scenario}`),
      kept: of(`kept ${scenario}`),
      tuning: of(`tuning ${scenario}`),
      authors: of(`authors ${scenario}`),
    })),
    shown: SHOWN,
    dial: SAFETIES.map((safety) => ({ safety, outcomes: SHOWN.map((scenario) => of(`κ=${safety} ${scenario}`)) })),
    ablation: VARIANTS.map(({ title }) => ({ title, outcomes: SHOWN.map((scenario) => of(`${title} ${scenario}`)) })),
    bestStatic: AGAINST_STATIC.map((scenario) => ({
      scenario,
      ours: of(`beside static ${scenario}`),
      theirs: of(`static ${scenario}`),
    })),
    wholeCores: STEADY.map((scenario) => ({ scenario, outcome: of(`whole cores ${scenario}`) })),
    oneSecond: atEqualCoreSeconds(of('one second, paper'), (safety) => of(`one second, κ=${safety}`)),
    drift: recovery(of('released drift')),
  };
}

/** The safest setting of ours that needs no more core-seconds than the paper's planner. */
function atEqualCoreSeconds(paper: Outcome, oursAt: (safety: number) => Outcome): PlannerResults['oneSecond'] {
  const affordable = HELD_SAFETIES.filter((each) => oursAt(each).summary.coreSeconds <= paper.summary.coreSeconds);
  const safety = affordable.at(-1) ?? HELD_SAFETIES[0];
  return { paper, ours: oursAt(safety), safety, isAffordable: affordable.length > 0 };
}

/** The scenario's step, in s, and the rolling window over which violations are counted. */
const DRIFT_AT_SEC = 300;
const WINDOW_SEC = 5;
const WATCHED_SEC = 60;
/** At its beginning a run learns, and after the step. */
const SETTLED_AFTER_SEC = 60;

/** How long violations, over all seeds, stay above what they were before the step, and above what they are on such a machine. */
function recovery({ sentBySecond, violatedBySecond }: Outcome): PlannerResults['drift'] {
  const rate = (from: number, to: number): number => {
    const sum = (column: readonly number[]): number => column.slice(from, to).reduce((total, each) => total + each, 0);
    return sum(violatedBySecond) / Math.max(1, sum(sentBySecond));
  };
  const before = rate(SETTLED_AFTER_SEC, DRIFT_AT_SEC);
  const after = rate(DRIFT_AT_SEC + SETTLED_AFTER_SEC, sentBySecond.length);
  // Windows that lie behind the step: sent just before it is hit by it too.
  const windows = Array.from({ length: WATCHED_SEC }, (_, index) =>
    rate(DRIFT_AT_SEC + index, DRIFT_AT_SEC + index + WINDOW_SEC),
  );
  const firstBelow = (level: number): number | null => {
    const index = windows.findIndex((each) => each <= 2 * level);
    return index === -1 ? null : index + WINDOW_SEC;
  };
  const worst = Math.max(rate(DRIFT_AT_SEC - 1, DRIFT_AT_SEC + WINDOW_SEC - 1), ...windows);
  return { before, after, worst, toBeforeSec: firstBelow(before), toAfterSec: firstBelow(after) };
}

// ---- what it is held to ----------------------------------------------------------------------------------------------

export function targets(results: PlannerResults): readonly Target[] {
  const ofScenario = (name: string): PlannerResults['suite'][number] =>
    results.suite.find(({ scenario }) => scenario === name)!;
  const ratios = (names: readonly string[]): [string, number][] =>
    names.map((name) => [name, ofScenario(name).released.toReference]);
  const aboveUnavoidable = (names: readonly string[]): number => {
    const outcomes = names.map((name) => ofScenario(name).released);
    const lost = outcomes.reduce((sum, { unavoidable, summary }) => sum + unavoidable * feasibleCount(summary), 0);
    const due = outcomes.reduce((sum, { summary }) => sum + feasibleCount(summary), 0);
    return 100 * Math.max(0, pooledViolations(outcomes) - lost / due);
  };
  const applied = ofScenario('authors-applied');
  const appliedRatio = applied.released.summary.meanCores / applied.authors.summary.meanCores;
  const worse = results.suite.filter(
    ({ released, authors }) => released.summary.violationRateFeasible > authors.summary.violationRateFeasible,
  );
  const overload = ofScenario('overload').released;
  const overloadShare = (1 - overload.summary.violationRateFeasible) / (1 - overload.unavoidable);
  const { paper, ours, safety, isAffordable } = results.oneSecond;
  const slowRatio = isAffordable ? ratioOf(ours, paper) : null;
  const { toBeforeSec, toAfterSec } = results.drift;
  const seconds = (value: number | null): string => (value === null ? 'not within 60 s' : `${value} s`);
  const whole = results.wholeCores;
  const steadyWhole = whole.filter(({ scenario }) => scenario !== 'authors-light');
  const lightWhole = whole.filter(({ scenario }) => scenario === 'authors-light');
  return [
    atMost('core-seconds / reference, steady', 1.12, 1.06, ratios(STEADY), 3),
    atMost('core-seconds / reference, varying', 1.25, 1.15, ratios(VARYING), 3),
    atMost('violations above the unavoidable, steady', 0.05, 0.01, [['', aboveUnavoidable(STEADY)]], 3, ' pp'),
    atMost('the same, mixed', 0.2, 0.1, [['', aboveUnavoidable(['mixed-payloads'])]], 3, ' pp'),
    atMost('the same, bursts', 1.5, 0.7, [['', aboveUnavoidable(['bursts'])]], 3, ' pp'),
    atMost("core-seconds / the authors' released code, authors-applied", 0.45, 0.4, [['', appliedRatio]], 3),
    {
      measure: 'scenarios with more violations than the released code',
      least: 'none',
      aim: 'none',
      measured: worse.length === 0 ? 'none' : worse.map(({ scenario }) => scenario).join(', '),
      isMet: worse.length === 0,
      isAimMet: worse.length === 0,
    },
    atMost(
      'core-seconds / best static in hindsight, at no more violations',
      0.7,
      0.5,
      results.bestStatic.map(({ scenario, ours: mine, theirs }) => [
        scenario,
        mine.summary.coreSeconds / theirs.summary.coreSeconds,
      ]),
      2,
    ),
    {
      measure: 'overload: on time / the most that preemptive unit jobs could be',
      least: '≥ 0.85',
      aim: '≥ 0.95',
      measured: overloadShare.toFixed(3),
      isMet: overloadShare >= 0.85,
      isAimMet: overloadShare >= 0.95,
    },
    {
      measure: 'service times +30 %: violations of 5 s back to twice their level',
      least: '≤ 10 s',
      aim: '≤ 2 s',
      measured: `${seconds(toBeforeSec)}; to twice the slower machine's own level ${seconds(toAfterSec)}`,
      isMet: toBeforeSec !== null && toBeforeSec <= 10,
      isAimMet: toBeforeSec !== null && toBeforeSec <= 2,
    },
    {
      measure: `1 s actuator: violations / those of paper, at no more core-seconds (κ = ${safety})`,
      least: '≤ 0.5',
      aim: '≤ 0.2',
      measured: slowRatio?.toFixed(2) ?? 'no κ needs as few',
      isMet: slowRatio !== null && slowRatio <= 0.5,
      isAimMet: slowRatio !== null && slowRatio <= 0.2,
    },
    atMost(
      'whole cores, never below 1: core-seconds / reference',
      1.15,
      1.1,
      steadyWhole.map(({ scenario, outcome }) => [scenario, outcome.toReference]),
      3,
    ),
    atMost(
      'the same, authors-light',
      1.27,
      1.1,
      lightWhole.map(({ outcome }) => ['', outcome.toReference]),
      3,
    ),
  ];
}

/** Of violations; null where only the other has none. */
function ratioOf(ours: Outcome, other: Outcome): number | null {
  const [mine, others] = [ours.summary.violationRateFeasible, other.summary.violationRateFeasible];
  if (mine === 0) return 0;
  return others === 0 ? null : mine / others;
}
