import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { evaluate } from '../evaluation/evaluation.js';
import { evaluationPage } from '../evaluation/evaluation-page.js';
import { runInstancesExperiment } from '../planner/instances-experiment.js';
import { instancesPage } from '../planner/instances-page.js';
import { runNodeExperiment } from '../planner/node-experiment.js';
import { nodePage } from '../planner/node-page.js';
import { runPodsExperiment } from '../pods/pods-experiment.js';
import { runPipelinesExperiment } from '../pipelines/pipelines-experiment.js';
import { pipelinesPage } from '../pipelines/pipelines-page.js';
import { podsPage } from '../pods/pods-page.js';
import { runSizingExperiment } from '../pods/sizing-experiment.js';
import { sizingPage } from '../pods/sizing-page.js';
import { runVariantsExperiment } from '../variants/variants-experiment.js';
import { variantsPage } from '../variants/variants-page.js';
import { runPlannerExperiment } from '../planner/planner-experiment.js';
import { plannerPage } from '../planner/planner-page.js';
import { describeOrigin, type RunOrigin } from '../../src/reports/run-origin.js';
import { typedCommand } from './typed-command.js';
import { UserError } from '../../src/cli/options.js';
import { createProgress } from '../../src/cli/progress.js';

/* Experiments whose result is a Markdown page, and the same as JSON. */

export interface PageFiles {
  readonly page: string;
  readonly json: string;
}

export interface EvaluationFlags {
  readonly seed: number;
  readonly seeds: number;
  readonly threads: number;
  /** Overrides of every scenario, `key=value`. */
  readonly settings?: readonly string[];
}

type OnProgress = (fraction: number, now: string) => void;

/** `npm run research -- evaluation`: every policy on every ready scenario. */
export async function runEvaluation(flags: EvaluationFlags): Promise<PageFiles> {
  const seeds = `${flags.seed} to ${flags.seed + flags.seeds - 1}`;
  const run = (onProgress: OnProgress): ReturnType<typeof evaluate> => evaluate({ ...flags, onProgress });
  const [scenarios, origin] = await withProgress('evaluation', seeds, run);
  const data = scenarios.map(({ file, policies, references }) => ({ scenario: file.name, policies, references }));
  return { page: evaluationPage(scenarios, origin), json: `${JSON.stringify({ origin, scenarios: data }, null, 1)}\n` };
}

export interface PlannerFlags {
  readonly threads: number;
  readonly settings: readonly string[];
  readonly scale: number;
  readonly leastSeeds?: number;
  readonly loads?: readonly number[];
}

/** Those whose pages are parts of another page. */
export type PartName = 'planner' | 'instances' | 'node' | 'pods' | 'sizing' | 'pipelines' | 'variants';

/**
 * What each is: `npm run research -- <name> --into docs/planner.md`, of `pods` and `sizing` docs/scale.md, of `pipelines` docs/pipelines.md, of
 * `variants` docs/variants.md.
 */
const PARTS: Readonly<Record<PartName, (flags: PlannerFlags) => Promise<PageFiles>>> = {
  planner: (flags) =>
    runPart('planner', 'from 1001 on, and from 1 on for the constants', flags, runPlannerExperiment, plannerPage),
  instances: (flags) => runPart('instances', 'from 1001 on', flags, runInstancesExperiment, instancesPage),
  node: (flags) => runPart('node', 'from 1001 on', flags, runNodeExperiment, nodePage),
  pods: (flags) => runPart('pods', 'from 2001 on', flags, runPodsExperiment, podsPage),
  sizing: (flags) => runPart('sizing', 'from 2001 on', flags, runSizingExperiment, sizingPage),
  pipelines: (flags) => runPart('pipelines', 'from 2001 on', flags, runPipelinesExperiment, pipelinesPage),
  variants: (flags) => runPart('variants', 'from 3001 on', flags, runVariantsExperiment, variantsPage),
};

export function runPagePart(name: PartName, flags: PlannerFlags): Promise<PageFiles> {
  return PARTS[name](flags);
}

async function runPart<Results>(
  name: PartName,
  seeds: string,
  flags: PlannerFlags,
  experiment: (options: PlannerFlags & { readonly onProgress: OnProgress }) => Promise<Results>,
  pageOf: (results: Results, origin: RunOrigin) => string,
): Promise<PageFiles> {
  const [results, origin] = await withProgress(name, seeds, (onProgress) => experiment({ ...flags, onProgress }));
  return { page: pageOf(results, origin), json: `${JSON.stringify({ origin, results }, null, 1)}\n` };
}

async function withProgress<Result>(
  name: string,
  seeds: string,
  run: (onProgress: OnProgress) => Promise<Result>,
): Promise<readonly [Result, RunOrigin]> {
  const progress = createProgress(name, process.stderr);
  const startedAtMs = performance.now();
  const result = await run((fraction, now) => {
    const elapsedMs = performance.now() - startedAtMs;
    progress.update(fraction, elapsedMs, fraction === 0 ? 0 : (elapsedMs * (1 - fraction)) / fraction, now);
  }).finally(() => progress.clear());
  const tookSeconds = (performance.now() - startedAtMs) / 1000;
  return [result, describeOrigin({ command: typedCommand(), seeds, tookSeconds })];
}

// ---- a page as a part of another one ---------------------------------------------------------------------------------

/** Of a page's only part, or the planner's, which were there first, they have no name. */
function marksOf(name: PartName): readonly [begin: string, end: string] {
  const whose = name === 'planner' ? 'generated' : `generated ${name}`;
  return [`<!-- ${whose}: begin -->`, `<!-- ${whose}: end -->`];
}

/** @throws UserError where the file cannot be read or has no place for it */
export function textAround(path: string, name: PartName = 'planner'): readonly [before: string, after: string] {
  const [begin, end] = marksOf(name);
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from === -1 || to < from)
    throw new UserError(`--into ${path}: give a file with the lines "${begin}" and "${end}"`);
  return [text.slice(0, from + begin.length), text.slice(to)];
}

export function writeInto(path: string, page: string, name: PartName = 'planner'): void {
  const [before, after] = textAround(path, name);
  writeFileSync(path, `${before}\n\n${page.trim()}\n\n${after}`);
}
