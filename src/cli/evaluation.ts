import { evaluate } from '../experiments/evaluation/evaluation.js';
import { evaluationPage } from '../experiments/evaluation/evaluation-page.js';
import { commandText, describeOrigin } from '../experiments/reports/run-origin.js';
import { createProgress } from './progress.js';

export interface EvaluationFlags {
  readonly seed: number;
  readonly seeds: number;
  readonly threads: number;
  /** Overrides of every scenario, `key=value`. */
  readonly settings?: readonly string[];
}

/** `sponge experiment evaluation`: every policy on every ready scenario, as a Markdown page and as JSON. */
export async function runEvaluation(flags: EvaluationFlags): Promise<{ readonly page: string; readonly json: string }> {
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
  const data = scenarios.map(({ file, policies, references }) => ({ scenario: file.name, policies, references }));
  return {
    page: evaluationPage(scenarios, origin),
    json: `${JSON.stringify({ origin, scenarios: data }, null, 1)}\n`,
  };
}
