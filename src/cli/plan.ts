import { readFileSync } from 'node:fs';
import { shapeClass } from '../domain/request.js';
import { Command, InvalidArgumentError, Option } from 'commander';
import {
  RELEASED_FITS,
  RELEASED_SLO_FRACTION,
  releasedLatencyMs,
  releasedPlan,
  WORKED_EXAMPLE_SLO_FRACTION,
} from '../controlplane/baselines/released.js';
import { whatIf, worstServerTimeMs, type WhatIfAnswer } from '../controlplane/what-if.js';
import { exactLatency, type LatencyModel } from '../domain/latency.js';
import { cellPoints } from '../perf-model/curve.js';
import { fittedLatencyMs, ordinaryLeastSquares, type LatencyCoefficients } from '../perf-model/fit.js';
import { OnlineLatencyModels } from '../perf-model/latency-model.js';
import { parseProfile } from '../perf-model/profile-schema.js';
import { nonNegativeNumber, positiveNumber, withConfiguration } from './options.js';

interface PlanOptions {
  readonly profile: string;
  readonly rate: number;
  readonly slo: number;
  readonly networkDelay: number;
  readonly policy: 'sponge' | 'released';
  readonly maxCores?: number;
  readonly step?: number;
  readonly maxBatch?: number;
  readonly sloFraction?: number;
  readonly json?: true;
}

/** As parsed: what is required may also come from the environment or a file, so commander cannot ask for it. */
type PlanFlags = Omit<PlanOptions, 'profile' | 'rate' | 'slo'> & Partial<PlanOptions>;

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
        'b/l >= rate, where l is the planned latency of such a batch.\n' +
        'released: the rule in the code that the authors of the Sponge paper published; whole cores only.',
    )
    .option('--profile <name|file>', 'yolov5s, yolov5n or resnet18 as published, or a profile file')
    .option('--rate <per second>', 'requests per second', positiveNumber)
    .option('--slo <ms>', 'total time budget of a request, from send to answer', positiveNumber)
    .option('--network-delay <ms>', 'part of the budget that the network takes', nonNegativeNumber, 0)
    .addOption(
      new Option('--policy <policy>', 'which rule answers').choices(['sponge', 'released'] as const).default('sponge'),
    )
    .option('--max-cores <cores>', 'largest allocation (default: 16 published, else the largest measured)', cores)
    .option('--step <cores>', 'step between allocations, with sponge (default: 1 published, else 0.1)', positiveNumber)
    .option(
      '--max-batch <n>',
      'largest batch (default: 8 for yolov5s, 16 other published, else the largest measured)',
      batchSize,
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
        '  sponge plan --profile models/ocr/1/profile.json --rate 40 --slo 250 --step 0.25 --json',
    )
    .action((flags: PlanFlags, command: Command) => {
      const options = complete(flags, command);
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
      process.stdout.write(options.json === true ? jsonText(setting, question) : pageText(setting, question));
    });
  return withConfiguration(plan);
}

/** What a latency model comes with, and what is assumed where no flag says otherwise. */
interface Source {
  readonly title: string;
  readonly model: LatencyModel;
  /** As the authors' code would fit it; null where the points do not determine a fit. */
  readonly releasedFit: LatencyCoefficients | null;
  readonly minMillicores: number;
  readonly maxMillicores: number;
  readonly stepMillicores: number;
  readonly maxBatchSize: number;
  readonly sloFraction: number;
}

/**
 * Published profiles answer with the authors' own fits under both policies, so that two rules are compared and not two
 * fits; on whole cores and with the batch limits of their evaluation.
 */
const PUBLISHED: ReadonlyMap<string, Source> = new Map(
  (
    [
      ['yolov5s', 'YOLOv5s as published (fit of P99)', 8, RELEASED_SLO_FRACTION],
      ['yolov5n', 'YOLOv5n as published (fit of series 72)', 16, RELEASED_SLO_FRACTION],
      ['resnet18', "ResNet18 as published (fit of P95 in the authors' example)", 16, WORKED_EXAMPLE_SLO_FRACTION],
    ] as const
  ).map(([name, title, maxBatchSize, sloFraction]) => {
    const fit = RELEASED_FITS[name];
    const latencyMs = (batchSize: number, cpu: number): number => fittedLatencyMs(fit, batchSize, cpu);
    const model = exactLatency(latencyMs);
    const limits = { minMillicores: 1000, maxMillicores: 16_000, stepMillicores: 1000 };
    return [name, { title, model, releasedFit: fit, ...limits, maxBatchSize, sloFraction }];
  }),
);

/** The source, or one line saying what is wrong. */
function loadSource(nameOrPath: string): Source | string {
  const published = PUBLISHED.get(nameOrPath);
  if (published !== undefined) return published;

  const remedy = `Give ${[...PUBLISHED.keys()].join(', ')}, or a file that \`sponge profile\` wrote.`;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(nameOrPath, 'utf8'));
  } catch (error) {
    const cause =
      error instanceof SyntaxError ? 'it is not JSON' : error instanceof Error ? error.message : String(error);
    return `cannot read profile ${nameOrPath}: ${cause}. ${remedy}`;
  }
  const parsed = parseProfile(value, nameOrPath);
  if (parsed.kind === 'invalid') return `${parsed.message}. ${remedy}`;

  const { profile } = parsed;
  const { cells, elementCount, fingerprint } = profile;
  const millicores = cells.map((cell) => cell.cpuMillicores);
  const wholeMs = cellPoints(profile, 'p99Ms').map((point) => ({ ...point, latencyMs: Math.trunc(point.latencyMs) }));
  return {
    title: `${profile.name} (measured ${profile.measuredAt}, ${profile.quality}; planned p99)`,
    model: new OnlineLatencyModels(profile).forClass(shapeClass(fingerprint?.shapeClassKey ?? '', elementCount)),
    releasedFit: ordinaryLeastSquares(wholeMs),
    minMillicores: Math.min(...millicores),
    maxMillicores: Math.max(...millicores),
    stepMillicores: 100,
    maxBatchSize: Math.max(...cells.map((cell) => cell.batchSize)),
    sloFraction: RELEASED_SLO_FRACTION,
  };
}

/** One policy on one profile: a question in, an answer out. */
interface Setting {
  readonly title: string;
  readonly sloMs: number;
  readonly answer: (question: Question) => WhatIfAnswer;
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
  return {
    title: `${source.title}, policy sponge`,
    sloMs,
    answer: ({ rate, networkDelayMs }) =>
      whatIf({ model, arrivalRatePerSec: rate, sloMs, networkDelayMs, limits, maxBatchSize }),
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
  return {
    title: `${source.title}, policy released`,
    sloMs,
    answer: (question) => {
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
    },
    account: ({ rate, networkDelayMs }, { batchSize, predictedLatencyMs }) => {
      const batchCount = Math.ceil(rate / batchSize);
      const total = batchCount * predictedLatencyMs + networkDelayMs;
      return `${total} of ${sloFraction * sloMs} ms = ${batchCount} batches · ${predictedLatencyMs} + ${networkDelayMs} network`;
    },
  };
}

function jsonText(setting: Setting, question: Question): string {
  return `${JSON.stringify(setting.answer(question))}\n`;
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
  const needs = answer.feasible
    ? `${coresText(answer.cpuMillicores)}, batch size ${answer.batchSize}`
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
    lines.splice(4, 0, `  shown at    ${coresText(answer.cpuMillicores)}, batch size ${answer.batchSize}`);

  const delaysMs = withNeighbours(
    question.networkDelayMs,
    NEIGHBOUR_DELAY_FRACTIONS.map((f) => f * setting.sloMs),
  );
  const rates = NEIGHBOUR_RATE_FACTORS.map((factor) => factor * question.rate);
  lines.push('', 'cores × batch size, by network delay and rate', '');
  lines.push(`  ${'ms'.padStart(6)}${rates.map((rate) => `${tidy(rate)}/s`.padStart(12)).join('')}`);
  for (const networkDelayMs of delaysMs) {
    const row = rates.map((rate) => {
      const { feasible, cpuMillicores, batchSize } = setting.answer({ rate, networkDelayMs });
      return (feasible ? `${tidy(cpuMillicores / 1000)} × ${batchSize}` : '-').padStart(12);
    });
    lines.push(`  ${tidy(networkDelayMs).padStart(6)}${row.join('')}`);
  }
  return `${lines.join('\n')}\n`;
}

function withNeighbours(own: number, others: readonly number[]): readonly number[] {
  return [...new Set([own, ...others])].sort((a, b) => a - b);
}

function coresText(cpuMillicores: number): string {
  return cpuMillicores === 1000 ? '1 core' : `${tidy(cpuMillicores / 1000)} cores`;
}

/** At most three decimals, none that are zero. */
function tidy(value: number): string {
  return String(Number(value.toFixed(3)));
}

function millicoresOf(cores: number): number {
  return Math.round(cores * 1000);
}

/** Every (c, b) is looked at, so both are bounded. */
const MOST_CORES = 1024;
const LARGEST_BATCH = 1024;

function cores(text: string): number {
  const value = positiveNumber(text);
  if (value > MOST_CORES) throw new InvalidArgumentError(`Give ${MOST_CORES} or less.`);
  return value;
}

function batchSize(text: string): number {
  const value = positiveNumber(text);
  if (!Number.isInteger(value) || value > LARGEST_BATCH) {
    throw new InvalidArgumentError(`Give a whole number from 1 to ${LARGEST_BATCH}.`);
  }
  return value;
}
