import { wilson95 } from '../../src/simulator/comparison/summary.js';
import { startModuleThread } from '../../src/threads/module-thread.js';
import { inParallel } from '../../src/simulator/comparison/parallel.js';
import { evaluationJobs, type EvaluationJob, type EvaluationPlan, type EvaluationSetting } from './evaluation-jobs.js';
import { paperPercentOf, runEvaluation, type EvaluationResult } from './evaluation-run.js';
import { YOLOV5S, type EvaluatedModel } from './published.js';
import { meanOf, spreadOf, sumOf, type Spread } from './spread.js';

/* Violations and cores of every policy in every setting, from all seeds. */

export interface EvaluationCell {
  readonly setting: EvaluationSetting;
  readonly model: EvaluatedModel;
  readonly policy: string;
  /** Ours: requests not answered within their SLO, pooled over the seeds; 95 % as if they were independent. */
  readonly violationPercent: number;
  readonly violationPercent95: readonly [number, number];
  readonly violationPercentBySeed: Spread;
  /** The paper's measure, with its two drop limits and what it divides by. */
  readonly paperPercent: Spread;
  readonly paperPercentLimit1s: Spread;
  readonly dividedBy: number;
  /** Mean over the seeds: seconds with any violation of the paper's, its worst second in percent. */
  readonly paperViolatedSec: number;
  readonly paperMaxPercent: number;
  readonly meanCores: Spread;
  readonly meanBatchSize: number;
  readonly sent: number;
  readonly late: number;
  /** Refused, expired or failed. */
  readonly unanswered: number;
  readonly infeasibleOnArrival: number;
  /** Of the late ones, those whose batch did not start in the second in which they were sent. */
  readonly lateCarriedOver: number;
  /** What a policy in hindsight chose, seed by seed. */
  readonly chosen: readonly string[];
}

export interface Evaluation {
  readonly cells: readonly EvaluationCell[];
  /** As they came; the columns by second are the raw data of the drawings. */
  readonly results: readonly EvaluationResult[];
}

/** What policies other than the paper's are divided by, as Sponge is. */
const DIVIDED_BY = 40;

export async function evaluate(
  plan: EvaluationPlan,
  threads: number,
  onProgress: (fraction: number, now: string) => void,
): Promise<Evaluation> {
  const results = await inParallel<EvaluationJob, EvaluationResult>({
    jobs: evaluationJobs(plan),
    threads,
    startThread: () => startModuleThread(import.meta.url, './evaluation-thread.js'),
    runHere: runEvaluation,
    nameOf: jobName,
    onProgress,
  });
  const groups = new Map<string, EvaluationResult[]>();
  for (const result of results) {
    const { setting, model, policy } = result.job;
    const key = JSON.stringify([model.profile, setting, policy]);
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  return { cells: [...groups.values()].map((each) => cellOf(each)), results };
}

function jobName({ policy, seed, setting }: EvaluationJob): string {
  return `seed ${seed}, ${setting.arrivals}, ${setting.delay}, ${policy}`;
}

function cellOf(results: readonly EvaluationResult[]): EvaluationCell {
  const { setting, model, policy } = results[0]!.job;
  const dividedBy = dividedByOf(policy);
  const due = sumOf(results.map(({ sent, cancelled }) => sent - cancelled));
  const violated = due - sumOf(results.map(({ onTime }) => onTime));
  const [least, most] = wilson95(violated, due);
  return {
    setting,
    model,
    policy,
    violationPercent: due === 0 ? 0 : (100 * violated) / due,
    violationPercent95: [100 * least, 100 * most],
    violationPercentBySeed: spreadOf(results.map(({ violationPercent }) => violationPercent)),
    paperPercent: spreadOf(results.map((each) => paperPercentOf(each, 'limit3s', dividedBy))),
    paperPercentLimit1s: spreadOf(results.map((each) => paperPercentOf(each, 'limit1s', dividedBy))),
    dividedBy,
    paperViolatedSec: meanOf(
      results.map(({ paperBySecond }) => paperBySecond.limit3s.filter((each) => each > 0).length),
    ),
    paperMaxPercent: meanOf(results.map(({ paperBySecond }) => (100 * Math.max(...paperBySecond.limit3s)) / dividedBy)),
    meanCores: spreadOf(results.map(({ meanCores }) => meanCores)),
    meanBatchSize: meanOf(results.map(({ meanBatchSize }) => meanBatchSize)),
    sent: sumOf(results.map(({ sent }) => sent)),
    late: sumOf(results.map(({ late }) => late)),
    unanswered: sumOf(
      results.map(
        ({ rejectedInfeasible, rejectedOverload, expired, failed }) =>
          rejectedInfeasible + rejectedOverload + expired + failed,
      ),
    ),
    infeasibleOnArrival: sumOf(results.map(({ infeasibleOnArrival }) => infeasibleOnArrival)),
    lateCarriedOver: sumOf(results.map(({ lateCarriedOver }) => lateCarriedOver)),
    chosen: results.flatMap(({ chosen }) => (chosen === null ? [] : [chosen])),
  };
}

/** The static runs are divided by 20, the others by 40: as in the figure. */
function dividedByOf(policy: string): number {
  return policy.startsWith('static') ? 20 : DIVIDED_BY;
}

/** @throws Error where there is none */
export function cellIn(
  evaluation: Pick<Evaluation, 'cells'>,
  policy: string,
  setting: EvaluationSetting,
  model: EvaluatedModel = YOLOV5S,
): EvaluationCell {
  const found = findCell(evaluation, policy, setting, model);
  if (found === undefined) throw new Error(`${policy} was not run with ${JSON.stringify(setting)}`);
  return found;
}

export function findCell(
  { cells }: Pick<Evaluation, 'cells'>,
  policy: string,
  setting: EvaluationSetting,
  model: EvaluatedModel = YOLOV5S,
): EvaluationCell | undefined {
  return cells.find(
    (cell) => cell.policy === policy && cell.model.profile === model.profile && isSameSetting(cell.setting, setting),
  );
}

/** Of one policy in one setting, seed by seed. */
export function resultsIn(
  { results }: Pick<Evaluation, 'results'>,
  policy: string,
  setting: EvaluationSetting,
  model: EvaluatedModel = YOLOV5S,
): readonly EvaluationResult[] {
  return results.filter(
    ({ job }) => job.policy === policy && job.model.profile === model.profile && isSameSetting(job.setting, setting),
  );
}

function isSameSetting(a: EvaluationSetting, b: EvaluationSetting): boolean {
  return (
    a.service === b.service && a.arrivals === b.arrivals && a.delay === b.delay && a.releasesIdle === b.releasesIdle
  );
}
