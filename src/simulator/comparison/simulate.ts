import type { Worker } from 'node:worker_threads';
import { startModuleThread } from '../../threads/module-thread.js';
import { worldOf, reference, runSeed, type ReferenceResult, type SeedResult, type SeedWorld } from './run-seed.js';
import { inParallel } from './parallel.js';
import { runVariantsSeed, variantsReference, variantsWorldOf, type VariantsWorld } from './run-variants-seed.js';
import { nodeReference, nodeWorldOf, runNodeSeed, type NodeWorld } from './run-node-seed.js';
import { setUpNode, type NodeSetup } from '../scenarios/node-setup.js';
import { setUpVariants, type VariantsSetup } from '../scenarios/variants-setup.js';
import type { Scenario } from '../scenarios/schema.js';
import { setUp, type ScenarioSetup } from '../scenarios/setup.js';
import { setUpPipeline, type PipelineSetup } from '../pipelines/pipeline-setup.js';
import { pipelineWorldOf, type PipelineWorld } from '../pipelines/pipeline-world.js';
import { pipelineReference, runPipelineSeed } from '../pipelines/run-pipeline-seed.js';
import { summarise, type SimulationSummary } from './summary.js';

/*
 * Policies × seeds of one scenario, spread over threads. What a job gives depends on nothing but its words, so the result
 * is the same on any number of threads.
 */

/** A scenario on its way to a thread. */
export interface ScenarioFile {
  readonly name: string;
  readonly scenario: Scenario;
  /** That paths in the scenario are relative to. */
  readonly folder: string;
}

export type Job = { readonly file: ScenarioFile; readonly seed: number } & (
  { readonly kind: 'policy'; readonly policy: string } | { readonly kind: 'reference' }
);

export type JobResult = SeedResult | ReferenceResult;

export interface SimulateOptions {
  readonly file: ScenarioFile;
  readonly policies: readonly string[];
  /** The first; the others follow it. */
  readonly seed: number;
  readonly seeds: number;
  /** 1: in this thread. */
  readonly threads: number;
  readonly onProgress?: (fraction: number, now: string) => void;
}

export interface SimulationResults {
  readonly summary: SimulationSummary;
  /** Policy by policy, seed by seed. */
  readonly results: readonly (readonly SeedResult[])[];
  readonly references: readonly ReferenceResult[];
}

export async function simulate(options: SimulateOptions): Promise<SimulationResults> {
  const { file, policies, seed, seeds } = options;
  const startedAtMs = performance.now();
  const seedList = Array.from({ length: seeds }, (_, index) => seed + index);
  // Seed by seed: a thread keeps the last world it made.
  const jobs = seedList.flatMap((each): Job[] => [
    { kind: 'reference', file, seed: each },
    ...policies.map((policy): Job => ({ kind: 'policy', file, seed: each, policy })),
  ]);
  const done = await runJobs(jobs, options.threads, options.onProgress);
  const stride = policies.length + 1;
  const references = seedList.map((_, index) => done[index * stride] as ReferenceResult);
  const results = policies.map((_, column) =>
    seedList.map((_, index) => done[index * stride + 1 + column] as SeedResult),
  );
  const wallSeconds = (performance.now() - startedAtMs) / 1000;
  return {
    summary: summarise({ scenario: file.name, seed, seeds, results, references, wallSeconds }),
    results,
    references,
  };
}

/** Results in the order of the jobs. */
export function runJobs(
  jobs: readonly Job[],
  threads: number,
  onProgress: (fraction: number, now: string) => void = () => undefined,
): Promise<JobResult[]> {
  const startThread = (): Worker => startModuleThread(import.meta.url, './simulation-thread.js');
  return inParallel({ jobs, threads, startThread, runHere: runJob, nameOf: jobName, onProgress });
}

function jobName(job: Job): string {
  return `${job.file.name}, seed ${job.seed}, ${job.kind === 'policy' ? job.policy : 'reference'}`;
}

type LastWorld = { readonly key: string } & (
  | { readonly kind: 'model'; readonly setup: ScenarioSetup; readonly world: SeedWorld }
  | { readonly kind: 'node'; readonly setup: NodeSetup; readonly world: NodeWorld }
  | { readonly kind: 'pipeline'; readonly setup: PipelineSetup; readonly world: PipelineWorld }
  | { readonly kind: 'variants'; readonly setup: VariantsSetup; readonly world: VariantsWorld }
);

let lastWorld: LastWorld | null = null;

/** One job, in whichever thread this is. */
export function runJob(job: Job, onProgress: (fraction: number) => void): JobResult {
  const last = worldFor(job);
  if (last.kind === 'pipeline') {
    const { setup, world } = last;
    return job.kind === 'reference' ? pipelineReference(world) : runPipelineSeed(setup, world, job.policy, onProgress);
  }
  if (last.kind === 'node') {
    const { setup, world } = last;
    return job.kind === 'reference' ? nodeReference(setup, world) : runNodeSeed(setup, world, job.policy, onProgress);
  }
  if (last.kind === 'variants') {
    const { setup, world } = last;
    return job.kind === 'reference'
      ? variantsReference(setup, world)
      : runVariantsSeed(setup, world, job.policy, onProgress);
  }
  const { setup, world } = last;
  return job.kind === 'reference' ? reference(setup, world) : runSeed(setup, world, job.policy, onProgress);
}

function worldFor({ file, seed }: Job): LastWorld {
  const key = JSON.stringify([file, seed]);
  if (lastWorld?.key !== key) {
    lastWorld = { key, ...worldOfFile(file, seed) };
  }
  return lastWorld;
}

function worldOfFile(file: ScenarioFile, seed: number) {
  const { pipeline, models, variants } = file.scenario;
  if (variants !== undefined) return worldOfVariants(file, seed);
  if (pipeline !== undefined) return worldOfPipeline(file, seed);
  return models === undefined ? worldOfModel(file, seed) : worldOfNode(file, seed);
}

function worldOfPipeline({ scenario, name, folder }: ScenarioFile, seed: number) {
  const setup = setUpPipeline(scenario, name, folder);
  return { kind: 'pipeline', setup, world: pipelineWorldOf(setup, seed) } as const;
}

function worldOfModel({ scenario, name, folder }: ScenarioFile, seed: number) {
  const setup = setUp(scenario, name, folder);
  return { kind: 'model', setup, world: worldOf(setup, seed) } as const;
}

function worldOfNode({ scenario, name, folder }: ScenarioFile, seed: number) {
  const setup = setUpNode(scenario, name, folder);
  return { kind: 'node', setup, world: nodeWorldOf(setup, seed) } as const;
}

function worldOfVariants({ scenario, name, folder }: ScenarioFile, seed: number) {
  const setup = setUpVariants(scenario, name, folder);
  return { kind: 'variants', setup, world: variantsWorldOf(setup, seed) } as const;
}
