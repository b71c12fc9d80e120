import type { ReferenceResult, SeedResult } from '../../src/simulator/comparison/run-seed.js';
import { readScenario, READY_NAMES } from '../../src/simulator/scenarios/scenario-files.js';
import { runJobs, type Job, type ScenarioFile } from '../../src/simulator/comparison/simulate.js';
import { summarisePolicy, type PolicySummary } from '../../src/simulator/comparison/summary.js';

/*
 * Every policy on every ready scenario, over several seeds, with idle CPU released and kept: the table that says where each
 * policy stands, ours included.
 */

const EVALUATED_POLICIES = [
  'sponge',
  'sponge-latency',
  'program',
  'paper',
  'released',
  'best-static',
  'static-8',
  'static-16',
  'fa2',
  'fa2-cold',
  'fa2-published',
  'themis',
  'vpa',
  'triton',
  'mlserver',
  'mlserver-fork',
  'bentoml',
] as const;

export interface EvaluatedPolicy {
  readonly released: PolicySummary;
  /** The same with the CPU kept while idle. */
  readonly kept: PolicySummary;
}

export interface EvaluatedScenario {
  readonly file: ScenarioFile;
  readonly policies: readonly EvaluatedPolicy[];
  /** With idle CPU released, one a seed. */
  readonly references: readonly ReferenceResult[];
}

export interface EvaluationOptions {
  readonly seed: number;
  readonly seeds: number;
  readonly threads: number;
  /** Overrides of every scenario, `key=value`. */
  readonly settings?: readonly string[];
  readonly policies?: readonly string[];
  readonly onProgress?: (fraction: number, now: string) => void;
}

const KEPT = 'cpu.idleRelease=false';

export async function evaluate(options: EvaluationOptions): Promise<readonly EvaluatedScenario[]> {
  const { settings = [], policies = EVALUATED_POLICIES } = options;
  const seeds = Array.from({ length: options.seeds }, (_, index) => options.seed + index);
  const plans = READY_NAMES.map((name) => ({
    file: readScenario(name, settings),
    kept: readScenario(name, [...settings, KEPT]),
  }));
  const jobs = plans.flatMap(({ file, kept }) =>
    seeds.flatMap((seed): Job[] => [
      { kind: 'reference', file, seed },
      ...policies.map((policy): Job => ({ kind: 'policy', file, seed, policy })),
      ...policies.map((policy): Job => ({ kind: 'policy', file: kept, seed, policy })),
    ]),
  );
  const done = await runJobs(jobs, options.threads, options.onProgress);

  const stride = 1 + 2 * policies.length;
  return plans.map(({ file }, index) => {
    const ofScenario = (offset: number): unknown[] =>
      seeds.map((_, seedIndex) => done[(index * seeds.length + seedIndex) * stride + offset]);
    const summary = (offset: number): PolicySummary => summarisePolicy(ofScenario(offset) as SeedResult[]);
    return {
      file,
      references: ofScenario(0) as ReferenceResult[],
      policies: policies.map((_, column) => ({
        released: summary(1 + column),
        kept: summary(1 + policies.length + column),
      })),
    };
  });
}
