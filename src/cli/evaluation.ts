import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { evaluate } from '../experiments/evaluation/evaluation.js';
import { evaluationPage } from '../experiments/evaluation/evaluation-page.js';
import { commandText, describeOrigin } from '../experiments/reports/run-origin.js';
import { createProgress } from './progress.js';

export interface EvaluationFlags {
  readonly seed: number;
  readonly seeds: number;
  readonly threads: number;
  readonly out: string;
  /** Overrides of every scenario, `key=value`. */
  readonly settings?: readonly string[];
}

/** `sponge experiment evaluation`: every policy on every ready scenario; evaluation.md and evaluation.json in a folder. */
export async function runEvaluation(flags: EvaluationFlags): Promise<void> {
  mkdirSync(flags.out, { recursive: true });
  const progress = createProgress('evaluation', process.stderr);
  const startedAtMs = performance.now();
  const scenarios = await evaluate({
    ...flags,
    onProgress: (fraction, now) => {
      const elapsedMs = performance.now() - startedAtMs;
      progress.update(fraction, elapsedMs, fraction === 0 ? 0 : (elapsedMs * (1 - fraction)) / fraction, now);
    },
  }).finally(() => progress.clear());
  const origin = describeOrigin({
    command: commandText(process.argv.slice(2)),
    seeds: `${flags.seed} to ${flags.seed + flags.seeds - 1}`,
    tookSeconds: (performance.now() - startedAtMs) / 1000,
  });
  const page = evaluationPage(scenarios, origin);
  const data = scenarios.map(({ file, policies, references }) => ({ scenario: file.name, policies, references }));
  writeFileSync(join(flags.out, 'evaluation.md'), page);
  writeFileSync(join(flags.out, 'evaluation.json'), `${JSON.stringify({ origin, scenarios: data }, null, 1)}\n`);
  process.stdout.write(page);
  progress.say(`evaluation.md and evaluation.json are in ${flags.out}`);
}
