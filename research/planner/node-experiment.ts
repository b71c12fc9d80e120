import { runCases, type Case, type CaseOptions, type Outcome } from './cases.js';
import type { Target } from './target.js';

/*
 * What a node of several models carries: four models on eight cores, at loads from little to nearly all that there is, by us, in fixed shares
 * and by what others would do.
 */

const FIRST_SEED = 1001;
const SEEDS = 5;
const SCENARIOS = ['four-models', 'four-models-heavy'] as const;
const LOADS = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] as const;
const OURS = 'sponge';
const POLICIES = [
  OURS,
  'sponge(instances=1)',
  'even-split',
  'even-split(instances=4)',
  'best-split(instances=4)',
  'one-core-pool',
  'vpa',
  'fa2',
  'themis',
] as const;

/** A load is carried where no more of the feasible requests are lost. */
const LOST_FRACTION = 0.01;
const LEAST_LOAD = 0.7;
const AIM_LOAD = 0.79;

export interface PolicyLoads {
  readonly policy: string;
  /** By load. */
  readonly outcomes: readonly Outcome[];
  /** The highest load at which at most 1 % is lost, interpolated; null below the first. */
  readonly carried: number | null;
}

export interface NodeResults {
  readonly loads: readonly number[];
  readonly seeds: number;
  readonly scenarios: readonly { readonly scenario: string; readonly policies: readonly PolicyLoads[] }[];
}

export interface NodeExperimentOptions extends CaseOptions {
  /** Of the full number of seeds, this share. */
  readonly scale: number;
  /** Ascending; those of the page where absent. */
  readonly loads?: readonly number[];
}

export async function runNodeExperiment(options: NodeExperimentOptions): Promise<NodeResults> {
  const { loads = LOADS } = options;
  const seeds = Math.max(1, Math.round(SEEDS * options.scale));
  const cases: Record<string, Case> = {};
  for (const scenario of SCENARIOS) {
    for (const policy of POLICIES) {
      cases[`${scenario} ${policy}`] = { scenario, policy, requests: 0, firstSeed: FIRST_SEED };
    }
  }
  const byLoad: Readonly<Record<string, Outcome>>[] = [];
  for (const load of loads) {
    const before = byLoad.length / loads.length;
    const settings = [...options.settings, `load=${load}`];
    const onProgress = (fraction: number, now: string): void =>
      options.onProgress?.(before + fraction / loads.length, `load ${load}: ${now}`);
    byLoad.push(await runCases(cases, { ...options, settings, leastSeeds: seeds, onProgress }));
  }
  return {
    loads,
    seeds,
    scenarios: SCENARIOS.map((scenario) => ({
      scenario,
      policies: POLICIES.map((policy) => {
        const outcomes = byLoad.map((each) => each[`${scenario} ${policy}`]!);
        const lost = outcomes.map(({ summary }) => summary.violationRateFeasible);
        return { policy, outcomes, carried: loadCarried(loads, lost) };
      }),
    })),
  };
}

/** Linear between two loads of which the lower one is carried and the higher one is not. */
export function loadCarried(loads: readonly number[], lost: readonly number[]): number | null {
  const beyond = lost.findIndex((each) => each > LOST_FRACTION);
  if (beyond === -1) return loads.at(-1)!;
  if (beyond === 0) return null;
  const [below, above] = [lost[beyond - 1]!, lost[beyond]!];
  const share = (LOST_FRACTION - below) / (above - below);
  return loads[beyond - 1]! + share * (loads[beyond]! - loads[beyond - 1]!);
}

export function nodeTargets({ scenarios }: NodeResults): readonly Target[] {
  const { policies } = scenarios.find(({ scenario }) => scenario === 'four-models')!;
  const carried = policies.find(({ policy }) => policy === OURS)!.carried ?? 0;
  return [
    {
      measure: 'four models on eight cores: highest load with at most 1 % lost',
      least: `≥ ${LEAST_LOAD}`,
      aim: `≥ ${AIM_LOAD}`,
      measured: carried.toFixed(2),
      isMet: carried >= LEAST_LOAD,
      isAimMet: carried >= AIM_LOAD,
    },
  ];
}
