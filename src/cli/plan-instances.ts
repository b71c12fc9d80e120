import { InvalidArgumentError } from 'commander';
import {
  RESTING_MILLICORES,
  savedByOneMore,
  whatIfUpTo,
  worthwhileInstances,
  type InstancesAnswer,
  type InstancesQuestion,
} from '../scheduler/controlplane/what-if-instances.js';
import { MOST_INSTANCES } from '../scheduler/controlplane/what-if-node.js';
import { worstServerTimeMs } from '../scheduler/controlplane/what-if.js';
import { positiveInteger } from './options.js';
import { coresText, tidy } from './plan-text.js';

/* `sponge plan --instances`: how many warm instances of a model are worth having, and what each number of them needs. */

/** A server has at most as many. */
const MOST_ASKED = 64;

export type InstancesFlag = number | 'auto';

export function instancesFlag(text: string): InstancesFlag {
  if (text === 'auto') return text;
  const value = positiveInteger(text);
  if (value > MOST_ASKED) throw new InvalidArgumentError(`Give auto, or a whole number from 1 to ${MOST_ASKED}.`);
  return value;
}

/** By number of instances, from 1 on, one more than can be asked for: what that would save is told. */
export function answersUpTo(question: InstancesQuestion, asked: InstancesFlag): readonly InstancesAnswer[] {
  return whatIfUpTo(question, Math.max(MOST_INSTANCES, asked === 'auto' ? 0 : asked) + 1);
}

/** Null where there are too few cores for so many. */
export function chosenOf(answers: readonly InstancesAnswer[], asked: InstancesFlag): InstancesAnswer | null {
  // Beyond that none more is looked for: a server by default has no more either.
  const usual = answers.slice(0, MOST_INSTANCES);
  const instances = asked === 'auto' ? (worthwhileInstances(usual) ?? 1) : asked;
  return answers.find((answer) => answer.instances === instances) ?? null;
}

export function instancesJson(answers: readonly InstancesAnswer[], chosen: InstancesAnswer): object {
  return {
    ...chosen,
    savedByOneMoreMillicores: savedByOneMore(answers, chosen.instances),
    worthwhileInstances: worthwhileInstances(answers.slice(0, MOST_INSTANCES)),
  };
}

export function instancesTable(
  answers: readonly InstancesAnswer[],
  { arrivalRatePerSec, networkDelayMs }: InstancesQuestion,
  asked: InstancesFlag | null,
): readonly string[] {
  const counts = answers.filter(({ instances }) => instances <= MOST_INSTANCES || instances === asked);
  const row = (cells: readonly string[]): string =>
    `  ${cells[0]!.padStart(9)}${cells[1]!.padStart(20)}${cells
      .slice(2)
      .map((cell) => cell.padStart(16))
      .join('')}`;
  const worth = worthwhileInstances(answers.slice(0, MOST_INSTANCES));
  return [
    'by instances: what all need at once, and the cores that they hold at least on average',
    '',
    row(['instances', 'needs', 'batch', 'at worst ms', 'on average', 'one more saves']),
    ...counts.map((answer) => {
      const { instances, feasible, batchSize, predictedLatencyMs, leastMeanMillicores: mean } = answer;
      const saved = savedByOneMore(answers, instances);
      const worstMs = worstServerTimeMs(batchSize, predictedLatencyMs, arrivalRatePerSec) + networkDelayMs;
      return row([
        String(instances),
        needsText(answer),
        feasible ? String(batchSize) : '-',
        feasible ? worstMs.toFixed(0) : '-',
        mean === null ? '-' : (mean / 1000).toFixed(2),
        saved === null ? '-' : (saved / 1000).toFixed(2),
      ]);
    }),
    '',
    worth === null
      ? '  none of these is enough'
      : `  worth having: ${worth}, with ${tidy(RESTING_MILLICORES / 1000)} core charged for each while it rests`,
  ];
}

/** "4 × 1.5 = 6 cores" */
export function needsText({ feasible, instances, cpuMillicores, togetherMillicores }: InstancesAnswer): string {
  if (!feasible) return '-';
  return instances === 1
    ? coresText(cpuMillicores)
    : `${instances} × ${tidy(cpuMillicores / 1000)} = ${coresText(togetherMillicores)}`;
}
