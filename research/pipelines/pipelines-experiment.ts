import { runJobs, type Job } from '../../src/simulator/comparison/simulate.js';
import type { SeedResult } from '../../src/simulator/comparison/run-seed.js';
import { readScenario } from '../../src/simulator/scenarios/scenario-files.js';
import type { Target } from '../planner/target.js';

/*
 * One deadline through a pipeline, beside other ways to divide it and other servers: the same requests before every policy, seeds that nothing was
 * chosen on.
 */

const FIRST_SEED = 2001;

interface CaseSpec {
  readonly scenario: string;
  readonly load: number;
  readonly seeds: number;
  readonly durationSec: number;
  readonly rows: readonly (readonly [title: string, policy: string])[];
}

const OURS: CaseSpec['rows'] = [['sponge', 'sponge']];
const SPLITS: CaseSpec['rows'] = [
  ['equal split', 'equal-split'],
  ['proportional split', 'proportional-split'],
];

/**
 * What a Triton of today does to a client that gives up: nothing, as of REST; or, of gRPC with a deadline, nothing new is begun for it, and where
 * queues are limited by the client's time, who has waited at one step for all of it is refused there. One that hears it everywhere at once
 * there is not.
 */
const [AS_IT_COMES, WITH_LIMITS, AT_ONCE] = [
  'Triton-like, as it comes',
  'Triton-like, gRPC and limited queues',
  'Triton-like, if it heard at once who has left',
] as const;

/** Of each kind the cores, the batch and the wait that had most in time on seed 1, of twelve and more of them. */
const CROPS_OTHERS: CaseSpec['rows'] = [
  [AS_IT_COMES, 'triton(cores=1,batch=2,waitMs=5,cancel=0)'],
  [WITH_LIMITS, 'triton(cores=1,batch=8,waitMs=0,cancel=2,timeout=1)'],
  [AT_ONCE, 'triton(cores=1,batch=2,waitMs=5)'],
  ['PARD-like', 'pard(cores=1,batch=4,waitMs=0)'],
];
const PAGE_OTHERS: CaseSpec['rows'] = [
  [AS_IT_COMES, 'triton(cores=1,batch=2,waitMs=5,cancel=0)'],
  [WITH_LIMITS, 'triton(cores=1,batch=4,waitMs=5,cancel=2,timeout=1)'],
  [AT_ONCE, 'triton(cores=1,batch=2,waitMs=5)'],
  ['PARD-like', 'pard(cores=1,batch=2,waitMs=0)'],
];

const CASES: readonly CaseSpec[] = [
  { scenario: 'crops', load: 0.9, seeds: 5, durationSec: 100, rows: [...OURS, ...CROPS_OTHERS] },
  { scenario: 'crops', load: 0.5, seeds: 5, durationSec: 60, rows: [...OURS, ...SPLITS, ...CROPS_OTHERS] },
  { scenario: 'page', load: 0.9, seeds: 5, durationSec: 25, rows: [...OURS, ...SPLITS, ...PAGE_OTHERS] },
  { scenario: 'page', load: 0.5, seeds: 5, durationSec: 10, rows: [...OURS, ...SPLITS, ...PAGE_OTHERS] },
];

/** Pooled over seeds; shares with their 95 % interval over the seeds. */
export interface PipelineRow {
  readonly title: string;
  readonly policy: string;
  readonly sent: number;
  readonly onTime: Estimate;
  /** Of the work that was done. */
  readonly lostWork: Estimate;
  readonly coreSeconds: number;
  readonly overMeanBound: Estimate;
  /** Null where one of the seeds has none. */
  readonly overBound: number | null;
  readonly digests: readonly string[];
}

export interface Estimate {
  readonly value: number;
  /** To either side; 0 of a single seed. */
  readonly halfWidth: number;
}

export interface PipelineCase {
  readonly scenario: string;
  readonly load: number;
  readonly seeds: number;
  readonly durationSec: number;
  readonly rows: readonly PipelineRow[];
}

export interface PipelinesResults {
  readonly cases: readonly PipelineCase[];
}

export interface PipelinesExperimentOptions {
  readonly threads: number;
  /** Of seeds and of durations, this share. */
  readonly scale: number;
  readonly onProgress: (fraction: number, now: string) => void;
}

export async function runPipelinesExperiment(options: PipelinesExperimentOptions): Promise<PipelinesResults> {
  const { threads, scale, onProgress } = options;
  const scaled = CASES.map((spec) => ({
    ...spec,
    seeds: Math.max(1, Math.round(scale * spec.seeds)),
    durationSec: Math.max(2, Math.round(scale * spec.durationSec)),
  }));
  const jobs: Job[] = [];
  const places = scaled.map(({ scenario, load, seeds, durationSec, rows }) => {
    const file = readScenario(scenario, [`load=${load}`, `durationSec=${durationSec}`]);
    return Array.from({ length: seeds }, (_, index) =>
      // A thread keeps the last world that it made: seed by seed.
      rows.map(([, policy]) => jobs.push({ kind: 'policy', file, seed: FIRST_SEED + index, policy }) - 1),
    );
  });
  const results = (await runJobs(jobs, threads, onProgress)) as readonly SeedResult[];
  return {
    cases: scaled.map(({ scenario, load, seeds, durationSec, rows }, index) => ({
      ...{ scenario, load, seeds, durationSec },
      rows: rows.map(([title, policy], row) =>
        rowOf(
          title,
          policy,
          places[index]!.map((ofSeed) => results[ofSeed[row]!]!),
        ),
      ),
    })),
  };
}

function rowOf(title: string, policy: string, runs: readonly SeedResult[]): PipelineRow {
  const sum = (of: (run: SeedResult) => number): number => runs.reduce((total, run) => total + of(run), 0);
  const bounds = runs.map((run) => run.boundCoreSeconds);
  return {
    ...{ title, policy, sent: sum(({ sent }) => sent), coreSeconds: sum((run) => run.coreSeconds) },
    onTime: estimate(runs.map((run) => run.onTime / run.sent)),
    lostWork: estimate(runs.map(({ work }) => work!.lostCoreSeconds / work!.workCoreSeconds)),
    overMeanBound: estimate(runs.map((run) => run.coreSeconds / run.work!.meanBoundCoreSeconds)),
    overBound: bounds.includes(null) ? null : sum((run) => run.coreSeconds) / sum((run) => run.boundCoreSeconds!),
    digests: runs.map(({ eventHash }) => eventHash),
  };
}

/** Student's t for 95 %, by degrees of freedom from 1 on. */
const T95 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

/** Mean and 95 % interval of the seeds' own. */
export function estimate(values: readonly number[]): Estimate {
  const count = values.length;
  const value = values.reduce((sum, each) => sum + each, 0) / count;
  if (count < 2) return { value, halfWidth: 0 };
  const variance = values.reduce((sum, each) => sum + (each - value) ** 2, 0) / (count - 1);
  return { value, halfWidth: (T95[count - 2] ?? 1.96) * Math.sqrt(variance / count) };
}

// ---- what it is held to ----------------------------------------------------------------------------------------------

const LEAST_OF_TRITON = 1.3;
const MOST_OF_BOUND = 1.15;
const MOST_LOST = 0.01;

export function pipelinesTargets({ cases }: PipelinesResults): readonly Target[] {
  const targets: Target[] = [];
  for (const { scenario, load, rows } of cases) {
    const of = (title: string): PipelineRow => rows.find((row) => row.title === title)!;
    const ours = of('sponge');
    const where = `${scenario} at ${load} of capacity`;
    const add = (what: string, measured: string, limit: string, isMet: boolean): void => {
      targets.push({ measure: `${where}: ${what}`, least: limit, aim: limit, measured, isMet, isAimMet: isMet });
    };
    if (load === 0.5) {
      const { value } = ours.overMeanBound;
      add('core-seconds, of the bound', value.toFixed(3), `≤ ${MOST_OF_BOUND}`, value <= MOST_OF_BOUND);
      continue;
    }
    for (const title of [AS_IT_COMES, WITH_LIMITS, AT_ONCE]) {
      const ratio = ours.onTime.value / of(title).onTime.value;
      add(`in time, times ${title}`, ratio.toFixed(2), `≥ ${LEAST_OF_TRITON}`, ratio >= LEAST_OF_TRITON);
    }
    const ratio = ours.onTime.value / of('PARD-like').onTime.value;
    add('in time, times PARD-like', ratio.toFixed(3), '≥ 1', ratio >= 1);
    const lost = ours.lostWork.value;
    add('work for requests that were lost', `${(100 * lost).toFixed(2)} %`, '≤ 1 %', lost <= MOST_LOST);
  }
  return targets;
}
