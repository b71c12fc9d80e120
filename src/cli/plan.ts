import { Command, Option } from 'commander';
import {
  RELEASED_SLO_FRACTION,
  releasedLatencyMs,
  releasedPlan,
  WORKED_EXAMPLE_SLO_FRACTION,
} from '../scheduler/controlplane/baselines/released.js';
import { whatIf, worstServerTimeMs, type WhatIfAnswer } from '../scheduler/controlplane/what-if.js';
import { limitsOfEach, type InstancesQuestion } from '../scheduler/controlplane/what-if-instances.js';
import { fittedLatencyMs } from '../scheduler/perf-model/fit.js';
import { collected, nonNegativeNumber, positiveNumber, UserError, withConfiguration } from './options.js';
import {
  answersUpTo,
  chosenOf,
  instancesFlag,
  instancesJson,
  instancesTable,
  type InstancesFlag,
} from './plan-instances.js';
import { MODEL_KEYS, nodePlanText } from './plan-node.js';
import { loadSource, type Source } from './plan-source.js';
import { boundedCores, coresText, millicoresOf, tidy, wholeBatch } from './plan-text.js';

interface PlanOptions {
  readonly profile: string;
  readonly rate: number;
  readonly slo: number;
  readonly networkDelay: number;
  readonly policy: 'sponge' | 'released';
  readonly maxCores?: number;
  readonly step?: number;
  readonly maxBatch?: number;
  readonly instances?: InstancesFlag;
  readonly sloFraction?: number;
  readonly json?: true;
}

/** As parsed: what is required may also come from the environment or a file, so commander cannot ask for it. */
type PlanFlags = Omit<PlanOptions, 'profile' | 'rate' | 'slo'> &
  Partial<PlanOptions> & { readonly model?: readonly string[] };

function complete({ profile, rate, slo, ...rest }: PlanFlags, command: Command): PlanOptions {
  if (profile === undefined) command.error('sponge: plan needs --profile, a published name or a profile file');
  if (rate === undefined) command.error('sponge: plan needs --rate, requests per second');
  if (slo === undefined) command.error('sponge: plan needs --slo, the total time budget in ms');
  return { ...rest, profile, rate, slo };
}

/** `sponge plan`: what (c, b) a steady load needs, without a server. */
export function planCommand(): Command {
  const plan = new Command('plan')
    .summary('what CPU and batch size a load needs')
    .description(
      'Answers how much CPU and which batch size a model needs for a steady rate of requests and a latency objective.\n\n' +
        'sponge: least CPU, then least batch size b, for which (b - 1)/rate + 2 l + network delay <= SLO and ' +
        'b/l >= rate, where l is the planned latency of such a batch. With k instances on equal cores k b/l >= rate; what they hold ' +
        'on average is told too, and how many are worth having.\n' +
        'released: the rule in the code that the authors of the Sponge paper published; whole cores only.',
    )
    .option('--profile <name|file>', 'yolov5s, yolov5n or resnet18 as published, or a profile file')
    .option('--rate <per second>', 'requests per second', positiveNumber)
    .option('--slo <ms>', 'total time budget of a request, from send to answer', positiveNumber)
    .option('--network-delay <ms>', 'part of the budget that the network takes', nonNegativeNumber, 0)
    .addOption(
      new Option('--policy <policy>', 'which rule answers').choices(['sponge', 'released'] as const).default('sponge'),
    )
    .option(
      '--max-cores <cores>',
      'largest allocation (default: 16 published, else the largest measured); of all instances and models together',
      boundedCores,
    )
    .option('--step <cores>', 'step between allocations, with sponge (default: 1 published, else 0.1)', positiveNumber)
    .option(
      '--max-batch <n>',
      'largest batch (default: 8 for yolov5s, 16 other published, else the largest measured)',
      wholeBatch,
    )
    .option(
      '--instances <n>',
      'warm instances that are each resized by themselves, or auto: as many as are worth it, up to 4',
      instancesFlag,
    )
    .option(
      '--model <name|file:key=value,…>',
      `one of several models on the same --max-cores, instead of the flags above; repeatable; keys: ${MODEL_KEYS}`,
      collected,
    )
    .option(
      '--slo-fraction <f>',
      `share of the SLO that may be used, with released (default: ${RELEASED_SLO_FRACTION}; resnet18: ${WORKED_EXAMPLE_SLO_FRACTION}, as in the authors' example)`,
      positiveNumber,
    )
    .option(
      '--json',
      'one JSON object: feasible, reason, cpuMillicores, batchSize, predictedLatencyMs, throughputPerSec',
    )
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  sponge plan --profile resnet18 --rate 100 --slo 1000 --network-delay 50\n' +
        '  sponge plan --profile resnet18 --rate 100 --slo 1000 --network-delay 50 --policy released\n' +
        '  sponge plan --profile models/ocr/1/profile.json --rate 40 --slo 250 --step 0.25 --json\n' +
        '  sponge plan --profile yolov5s --rate 20 --slo 1000 --instances auto\n' +
        '  sponge plan --model resnet18:rate=40,slo=400 --model yolov5s:rate=8,slo=1000,network-delay=100 --max-cores 8',
    )
    .action((flags: PlanFlags, command: Command) => {
      if (flags.model !== undefined) {
        process.stdout.write(nodePlan(flags, flags.model));
        return;
      }
      const options = complete(flags, command);
      if (options.policy === 'released' && options.instances !== undefined)
        command.error('sponge: --instances has no meaning with --policy released. Leave it out.');
      const misplaced = options.policy === 'sponge' ? 'sloFraction' : 'step';
      if (options[misplaced] !== undefined) {
        const flag = misplaced === 'step' ? '--step' : '--slo-fraction';
        command.error(`sponge: ${flag} has no meaning with --policy ${options.policy}. Leave it out.`);
      }
      const source = loadSource(options.profile);
      if (typeof source === 'string') command.error(`sponge: ${source}`);
      const setting = settingOf(source, options);
      if (typeof setting === 'string') command.error(`sponge: ${setting}`);
      const question = { rate: options.rate, networkDelayMs: options.networkDelay };
      process.stdout.write(
        options.json === true ? `${JSON.stringify(setting.json(question))}\n` : pageText(setting, question),
      );
    });
  return withConfiguration(plan);
}

/** Flags that say of one model what `--model` says of each. */
const OF_ONE_MODEL = ['profile', 'rate', 'slo', 'step', 'maxBatch', 'sloFraction', 'instances'] as const;

function nodePlan(flags: PlanFlags, models: readonly string[]): string {
  const given = OF_ONE_MODEL.find((flag) => flags[flag] !== undefined);
  if (given !== undefined)
    throw new UserError(
      `--${given.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} is of one model; say it in --model, keys: ${MODEL_KEYS}`,
    );
  if (flags.policy !== 'sponge') throw new UserError(`--model has no meaning with --policy ${flags.policy}`);
  if (flags.maxCores === undefined) throw new UserError('--model needs --max-cores, what all models have together');
  return nodePlanText(models, flags.maxCores, flags.json === true);
}

/** One policy on one profile: a question in, an answer out. */
interface Setting {
  readonly title: string;
  readonly sloMs: number;
  readonly instances: number;
  readonly answer: (question: Question) => WhatIfAnswer;
  readonly json: (question: Question) => object;
  /** What other numbers of instances would need; none where there is one only. */
  readonly byInstances: readonly string[];
  /** How the answer uses up the SLO. */
  readonly account: (question: Question, answer: WhatIfAnswer) => string;
}

interface Question {
  readonly rate: number;
  readonly networkDelayMs: number;
}

function settingOf(source: Source, options: PlanOptions): Setting | string {
  const maxMillicores = options.maxCores === undefined ? source.maxMillicores : millicoresOf(options.maxCores);
  const maxBatchSize = options.maxBatch ?? source.maxBatchSize;
  return options.policy === 'released'
    ? releasedSetting(source, options, Math.floor(maxMillicores / 1000), maxBatchSize)
    : spongeSetting(source, options, maxMillicores, maxBatchSize);
}

function spongeSetting(
  source: Source,
  options: PlanOptions,
  maxMillicores: number,
  maxBatchSize: number,
): Setting | string {
  const { minMillicores, model } = source;
  const sloMs = options.slo;
  if (maxMillicores < minMillicores) {
    return `--max-cores ${options.maxCores ?? 0} is below the least allocation of the profile. Give at least ${coresText(minMillicores)}.`;
  }
  const stepMillicores = options.step === undefined ? source.stepMillicores : millicoresOf(options.step);
  if (stepMillicores < 1) return `--step ${options.step ?? 0} is below a thousandth of a core. Give 0.001 or more.`;
  const limits = { minMillicores, maxMillicores, stepMillicores };
  const askOf = ({ rate, networkDelayMs }: Question): InstancesQuestion => ({
    model,
    arrivalRatePerSec: rate,
    sloMs,
    networkDelayMs,
    limits,
    maxBatchSize,
  });
  const asked = options.instances ?? 1;
  const askedOf = askOf({ rate: options.rate, networkDelayMs: options.networkDelay });
  const answers = answersUpTo(askedOf, asked);
  const chosen = chosenOf(answers, asked);
  if (chosen === null)
    return `--instances ${asked}: there are cores for ${Math.floor(maxMillicores / minMillicores)} at most. Give more --max-cores.`;
  const { instances } = chosen;
  const answer = (question: Question): WhatIfAnswer =>
    whatIf({ ...askOf(question), instances, limits: limitsOfEach(limits, instances) });
  return {
    title: `${source.title}, policy sponge`,
    sloMs,
    instances,
    answer,
    json: (question) => (options.instances === undefined ? answer(question) : instancesJson(answers, chosen)),
    byInstances: instancesTable(answers, askedOf, instances),
    account: ({ rate, networkDelayMs }, { batchSize, predictedLatencyMs }) => {
      const latency = predictedLatencyMs.toFixed(1);
      const fill = (((batchSize - 1) * 1000) / rate).toFixed(1);
      const total = (worstServerTimeMs(batchSize, predictedLatencyMs, rate) + networkDelayMs).toFixed(1);
      return `${total} of ${sloMs} ms = ${fill} filling + ${latency} batch in flight + ${latency} own batch + ${networkDelayMs} network`;
    },
  };
}

function releasedSetting(
  source: Source,
  options: PlanOptions,
  maxCores: number,
  maxBatchSize: number,
): Setting | string {
  const { releasedFit: coefficients } = source;
  const sloMs = options.slo;
  const sloFraction = options.sloFraction ?? source.sloFraction;
  if (coefficients === null) return 'the profile has too few points for the released fit. Profile more (b, c) cells.';
  if (maxCores < 1) return 'the released rule knows whole cores only. Give --max-cores 1 or more.';
  // It keeps the plan in force when infeasible; the authors' evaluation started with this one.
  const current = { cores: maxCores, batchSize: 1 };
  const decide = ({ rate, networkDelayMs }: Question) =>
    releasedPlan({
      coefficients,
      arrivalRatePerSec: rate,
      sloMs,
      networkDelayMs,
      sloFraction,
      maxCores,
      maxBatchSize,
      current,
    });
  const answer = (question: Question): WhatIfAnswer => {
    const { isFeasible, plan } = decide(question);
    const { cores, batchSize } = plan;
    const cpuMillicores = cores * 1000;
    const values = {
      cpuMillicores,
      batchSize,
      predictedLatencyMs: releasedLatencyMs(coefficients, batchSize, cores),
      throughputPerSec: (1000 * batchSize) / fittedLatencyMs(coefficients, batchSize, cpuMillicores),
    };
    if (isFeasible) return { feasible: true, ...values };
    const isNetworkToBlame = decide({ ...question, networkDelayMs: 0 }).isFeasible;
    return { feasible: false, reason: isNetworkToBlame ? 'budget_spent_in_network' : 'queue_overload', ...values };
  };
  return {
    title: `${source.title}, policy released`,
    sloMs,
    instances: 1,
    answer,
    json: answer,
    byInstances: [],
    account: ({ rate, networkDelayMs }, { batchSize, predictedLatencyMs }) => {
      const batchCount = Math.ceil(rate / batchSize);
      const total = batchCount * predictedLatencyMs + networkDelayMs;
      return `${total} of ${sloFraction * sloMs} ms = ${batchCount} batches · ${predictedLatencyMs} + ${networkDelayMs} network`;
    },
  };
}

const REASON_TEXTS: Readonly<Record<NonNullable<WhatIfAnswer['reason']>, string>> = {
  budget_spent_in_network: 'the network takes too much of the SLO',
  infeasible_at_max_cores: 'the SLO is too short for this model, even at the largest allocation',
  queue_overload: 'the rate is too high for the largest allocation',
};

const NEIGHBOUR_DELAY_FRACTIONS = [0, 0.1, 0.25, 0.5, 0.75];
const NEIGHBOUR_RATE_FACTORS = [0.5, 1, 1.5, 2];

function pageText(setting: Setting, question: Question): string {
  const answer = setting.answer(question);
  const { instances } = setting;
  const instancesPrefix = instances === 1 ? '' : `${instances} instances of `;
  const needs = answer.feasible
    ? `${instancesPrefix}${coresText(answer.cpuMillicores)}, batch size ${answer.batchSize}`
    : `infeasible: ${REASON_TEXTS[answer.reason!]} (${answer.reason!})`;
  const lines = [
    setting.title,
    `${question.rate} requests/s, SLO ${setting.sloMs} ms, network delay ${question.networkDelayMs} ms`,
    '',
    `  needs       ${needs}`,
    `  batch       ${answer.predictedLatencyMs.toFixed(1)} ms`,
    `  throughput  ${answer.throughputPerSec.toFixed(1)}/s`,
    `  at worst    ${setting.account(question, answer)}`,
  ];
  if (!answer.feasible)
    lines.splice(
      4,
      0,
      `  shown at    ${instancesPrefix}${coresText(answer.cpuMillicores)}, batch size ${answer.batchSize}`,
    );

  const delaysMs = withNeighbours(
    question.networkDelayMs,
    NEIGHBOUR_DELAY_FRACTIONS.map((f) => f * setting.sloMs),
  );
  const rates = NEIGHBOUR_RATE_FACTORS.map((factor) => factor * question.rate);
  const ofAll = instances === 1 ? 'cores' : `cores of all ${instances} instances`;
  lines.push('', `${ofAll} × batch size, by network delay and rate`, '');
  lines.push(`  ${'ms'.padStart(6)}${rates.map((rate) => `${tidy(rate)}/s`.padStart(12)).join('')}`);
  for (const networkDelayMs of delaysMs) {
    const row = rates.map((rate) => {
      const { feasible, cpuMillicores, batchSize } = setting.answer({ rate, networkDelayMs });
      return (feasible ? `${tidy((instances * cpuMillicores) / 1000)} × ${batchSize}` : '-').padStart(12);
    });
    lines.push(`  ${tidy(networkDelayMs).padStart(6)}${row.join('')}`);
  }
  if (setting.byInstances.length > 0) lines.push('', ...setting.byInstances);
  return `${lines.join('\n')}\n`;
}

function withNeighbours(own: number, others: readonly number[]): readonly number[] {
  return [...new Set([own, ...others])].sort((a, b) => a - b);
}
