import { basename } from 'node:path';
import { worstServerTimeMs } from '../scheduler/controlplane/what-if.js';
import { whatIfNode, type ModelQuestion, type NodeAnswer } from '../scheduler/controlplane/what-if-node.js';
import { nonNegativeNumber, positiveNumber, UserError } from './options.js';
import { instancesFlag, needsText } from './plan-instances.js';
import { loadSource } from './plan-source.js';
import { coresText, millicoresOf, tidy, wholeBatch } from './plan-text.js';

/* `sponge plan --model … --model …`: do several models fit on the same cores? */

/** What `--model` says of one, `<profile>:rate=20,slo=1000`. */
interface AskedModel {
  readonly name: string;
  readonly question: ModelQuestion;
}

export const MODEL_KEYS = 'rate, slo, network-delay, instances, step, max-batch';

/** Keys are those of the flags for one model. */
const PARSERS = {
  rate: positiveNumber,
  slo: positiveNumber,
  'network-delay': nonNegativeNumber,
  instances: instancesFlag,
  step: positiveNumber,
  'max-batch': wholeBatch,
} as const;

type Values = { readonly [Key in keyof typeof PARSERS]?: ReturnType<(typeof PARSERS)[Key]> };

/** @throws UserError */
export function nodePlanText(specs: readonly string[], maxCores: number, isJson: boolean): string {
  const budgetMillicores = millicoresOf(maxCores);
  const models = specs.map((spec) => askedModel(spec, budgetMillicores));
  const answer = whatIfNode({ budgetMillicores, models: models.map(({ question }) => question) });
  return isJson ? jsonText(models, answer, budgetMillicores) : pageText(models, answer, budgetMillicores);
}

function askedModel(spec: string, budgetMillicores: number): AskedModel {
  const colon = spec.lastIndexOf(':');
  if (colon === -1) throw new UserError(`--model ${spec}: give <name|file>:rate=…,slo=…; keys are ${MODEL_KEYS}`);
  const profile = spec.slice(0, colon);
  const values = valuesOf(spec, spec.slice(colon + 1));
  const { rate, slo: sloMs, instances = 'auto' } = values;
  if (rate === undefined || sloMs === undefined) throw new UserError(`--model ${spec}: needs rate=… and slo=…`);
  const source = loadSource(profile);
  if (typeof source === 'string') throw new UserError(source);
  const { model, minMillicores } = source;
  const least = minMillicores * (instances === 'auto' ? 1 : instances);
  if (budgetMillicores < least) {
    throw new UserError(`--model ${spec}: needs ${coresText(least)} for its least allocation; give more --max-cores`);
  }
  const stepMillicores = values.step === undefined ? source.stepMillicores : millicoresOf(values.step);
  if (stepMillicores < 1) throw new UserError(`--model ${spec}: a step is at least a thousandth of a core`);
  return {
    name: basename(profile, '.json'),
    question: {
      model,
      arrivalRatePerSec: rate,
      sloMs,
      networkDelayMs: values['network-delay'] ?? 0,
      limits: { minMillicores, maxMillicores: budgetMillicores, stepMillicores },
      maxBatchSize: values['max-batch'] ?? source.maxBatchSize,
      instances: instances === 'auto' ? null : instances,
    },
  };
}

function valuesOf(spec: string, text: string): Values {
  const values: Record<string, unknown> = {};
  for (const pair of text.split(',')) {
    const [, key = '', value = ''] = /^([^=]*)=?(.*)$/.exec(pair)!;
    if (!Object.hasOwn(PARSERS, key)) throw new UserError(`--model ${spec}: no key ${key}; keys are ${MODEL_KEYS}`);
    try {
      values[key] = PARSERS[key as keyof typeof PARSERS](value);
    } catch (error) {
      throw new UserError(`--model ${spec}: ${key}: ${(error as Error).message}`);
    }
  }
  return values;
}

function jsonText(models: readonly AskedModel[], answer: NodeAnswer, budgetMillicores: number): string {
  const { models: answers, ...rest } = answer;
  return `${JSON.stringify({
    budgetMillicores,
    ...rest,
    models: models.map(({ name }, index) => ({ name, ...answers[index] })),
  })}\n`;
}

const FITS: Readonly<Record<NodeAnswer['fits'], string>> = {
  apart: 'yes: all of them at once have what they need',
  shared:
    'on average, by sharing: not where their bursts coincide; simulate it (sponge simulate four-models is an example)',
  no: 'no: somebody is refused, whoever plans',
};

function pageText(models: readonly AskedModel[], answer: NodeAnswer, budgetMillicores: number): string {
  const width = Math.max(5, ...models.map(({ name }) => name.length));
  const row = (cells: readonly string[]): string =>
    `  ${cells[0]!.padEnd(width)}${cells
      .slice(1, 4)
      .map((cell) => cell.padStart(12))
      .join('')}` +
    `${cells[4]!.padStart(22)}${cells
      .slice(5)
      .map((cell) => cell.padStart(13))
      .join('')}`;
  const ofModel = ({ name, question }: AskedModel, index: number): string => {
    const own = answer.models[index]!;
    const { arrivalRatePerSec, sloMs, networkDelayMs } = question;
    const worstMs = worstServerTimeMs(own.batchSize, own.predictedLatencyMs, arrivalRatePerSec) + networkDelayMs;
    return row([
      name,
      tidy(arrivalRatePerSec),
      tidy(sloMs),
      tidy(networkDelayMs),
      own.feasible ? needsText(own) : own.reason!,
      own.feasible ? String(own.batchSize) : '-',
      own.feasible ? worstMs.toFixed(0) : '-',
      coresOrDash(own.leastMeanMillicores),
    ]);
  };
  const { fits, togetherMillicores, leastMeanMillicores, fullAtLoad, apartAtLoad } = answer;
  return [
    `${models.length} ${models.length === 1 ? 'model' : 'models'} on ${coresText(budgetMillicores)}, policy sponge`,
    '',
    row(['model', 'requests/s', 'SLO ms', 'network ms', 'needs', 'batch', 'at worst ms', 'on average']),
    ...models.map(ofModel),
    row(['all', '', '', '', coresOrDash(togetherMillicores), '', '', coresOrDash(leastMeanMillicores)]),
    '',
    `  fits   ${FITS[fits]}`,
    `  full   at ${fullAtLoad.toFixed(2)} × these rates: more than that so many instances cannot carry`,
    `  apart  up to ${apartAtLoad.toFixed(2)} × these rates, each with its own cores`,
    '',
    '  needs: arrivals evenly spread, all instances busy when a batch is full. on average: the cheapest batches, whatever',
    '  the deadlines. Bursts, and neighbours that slow each other down, are in neither.',
    '',
  ].join('\n');
}

function coresOrDash(millicores: number | null): string {
  return millicores === null ? '-' : (millicores / 1000).toFixed(2);
}
