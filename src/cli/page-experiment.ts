import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { evaluate } from '../experiments/evaluation/evaluation.js';
import { evaluationPage } from '../experiments/evaluation/evaluation-page.js';
import { runPlannerExperiment } from '../experiments/planner/planner-experiment.js';
import { plannerPage } from '../experiments/planner/planner-page.js';
import { commandText, describeOrigin, type RunOrigin } from '../experiments/reports/run-origin.js';
import { UserError } from './options.js';
import { createProgress } from './progress.js';

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

/** `sponge experiment evaluation`: every policy on every ready scenario. */
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
}

/** `sponge experiment planner`: what the default planner is held to, and what its parts are worth. */
export async function runPlanner(flags: PlannerFlags): Promise<PageFiles> {
  const seeds = 'from 1001 on, and from 1 on for the constants';
  const run = (onProgress: OnProgress): ReturnType<typeof runPlannerExperiment> =>
    runPlannerExperiment({ ...flags, onProgress });
  const [results, origin] = await withProgress('planner', seeds, run);
  return { page: plannerPage(results, origin), json: `${JSON.stringify({ origin, results }, null, 1)}\n` };
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
  return [result, describeOrigin({ command: commandText(process.argv.slice(2)), seeds, tookSeconds })];
}

// ---- a page as a part of another one ---------------------------------------------------------------------------------

const BEGIN = '<!-- generated: begin -->';
const END = '<!-- generated: end -->';

/** @throws UserError where the file cannot be read or has no place for it */
export function textAround(path: string): readonly [before: string, after: string] {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from === -1 || to < from)
    throw new UserError(`--into ${path}: give a file with the lines "${BEGIN}" and "${END}"`);
  return [text.slice(0, from + BEGIN.length), text.slice(to)];
}

export function writeInto(path: string, page: string): void {
  const [before, after] = textAround(path);
  writeFileSync(path, `${before}\n\n${page.trim()}\n\n${after}`);
}
