import { availableParallelism } from 'node:os';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { reproduce } from '../euromlsys24/experiment.js';
import { networkSource, PAPER_LOG } from '../euromlsys24/network-source.js';
import { RUN_SEC } from '../euromlsys24/published.js';
import { csvFiles } from '../euromlsys24/report/csv.js';
import { seedsText } from '../euromlsys24/report/head.js';
import { resultsJson } from '../euromlsys24/report/json.js';
import { experimentPage } from '../euromlsys24/report/page.js';
import { originLines, textReport } from '../euromlsys24/report/text-report.js';
import { describeOrigin } from '../../src/reports/run-origin.js';
import { loadVega } from '../../src/reports/vega.js';
import { runEvaluation, runPagePart, textAround, writeInto, type PageFiles, type PartName } from './pages.js';
import { liveCommand } from './live.js';
import { loadModelsCommand } from './load-models.js';
import { RESEARCH, typedCommand } from './typed-command.js';
import {
  positiveInteger,
  positiveNumber,
  seedCount,
  seedNumber,
  UserError,
  withConfiguration,
} from '../../src/cli/options.js';
import { createProgress } from '../../src/cli/progress.js';

interface ExperimentFlags {
  readonly networkLog?: string;
  readonly seed: number;
  readonly seeds: number;
  readonly out?: string;
  readonly threads: number;
  readonly durationSec: number;
  readonly json?: true;
  readonly into?: string;
  readonly scale: number;
  readonly leastSeeds?: number;
  readonly loads?: readonly number[];
}

const SEEDS = 5;
const FIRST_SEED = 1;

interface Experiment {
  readonly title: string;
  readonly run: (flags: ExperimentFlags) => Promise<void>;
}

const EXPERIMENTS: Readonly<Record<string, Experiment>> = {
  euromlsys24: { title: 'the numbers and figures of the Sponge paper, beside the published ones', run: runEuromlsys24 },
  evaluation: { title: 'every policy on every ready scenario, as a Markdown page', run: runEvaluationExperiment },
  planner: {
    title: 'what the default planner is held to, and what each of its parts is worth',
    run: partRun('planner'),
  },
  instances: { title: 'the same of several warm instances, beside what others need', run: partRun('instances') },
  node: { title: 'what a node of several models carries, by us and by what others would do', run: partRun('node') },
  pods: { title: 'what balancing over many pods is worth', run: partRun('pods') },
  sizing: { title: 'what sizing a workload is worth, pods × cores, by us and by autoscalers', run: partRun('sizing') },
  pipelines: {
    title: 'one deadline through a pipeline, beside other splits and servers like others',
    run: partRun('pipelines'),
  },
  variants: {
    title: 'what variants of a model are worth, by us and by what others would do',
    run: partRun('variants'),
  },
};

/** `npm run research`: runs whose results are kept in files, and the models that they put load on. */
export function researchProgram(): Command {
  const names = Object.keys(EXPERIMENTS);
  const list = Object.entries(EXPERIMENTS).map(([name, { title }]) => `  ${name.padEnd(12)} ${title}\n`);
  const command = new Command(RESEARCH)
    .description(
      'Runs an experiment: a report on stdout, and files in a folder (euromlsys24: results.json, a CSV file a figure and report.html; ' +
        `the others: a Markdown page and JSON). On virtual clocks, but for live.\n\n${list.join('')}`,
    )
    .argument('[name]', names.join(', '))
    .addCommand(liveCommand())
    .addCommand(loadModelsCommand())
    .option(
      '--network-log <file>',
      `bandwidth log, such as ${PAPER_LOG} of the Ghent 4G/LTE logs (default: generated series)`,
    )
    .option('--seeds <n>', 'how many seeds', seedCount, SEEDS)
    .option('--seed <n>', 'the first seed', seedNumber, FIRST_SEED)
    .option('--out <folder>', 'where the files go (default: results/<name>)')
    .option(
      '--into <file.md>',
      'planner, instances, node, pods, sizing, pipelines, variants: replace what that file has between its marks too',
    )
    .option('--threads <n>', 'runs side by side', positiveInteger, availableParallelism())
    .addOption(
      new Option('--duration-sec <s>', 'length of each run').argParser(positiveInteger).default(RUN_SEC).hideHelp(),
    )
    .addOption(
      new Option('--scale <share>', 'of the requests of planner, instances, node, pods, sizing, pipelines and variants')
        .argParser(Number)
        .default(1)
        .hideHelp(),
    )
    .addOption(
      new Option('--least-seeds <n>', 'of each case of planner and instances').argParser(positiveInteger).hideHelp(),
    )
    .addOption(
      new Option('--loads <list>', 'of node')
        .argParser((text) => text.split(',').map((each) => positiveNumber(each)))
        .hideHelp(),
    )
    .option('--json', 'results.json on stdout instead of the report')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  npm run research -- euromlsys24\n' +
        `  npm run research -- euromlsys24 --network-log ${PAPER_LOG}\n` +
        '  npm run research -- euromlsys24 --seeds 20 --out results/twenty --json > twenty.json\n' +
        '  npm run research -- planner --into docs/planner.md',
    )
    .action(async (name: string | undefined, flags: ExperimentFlags, self: Command) => {
      const known = name !== undefined && Object.hasOwn(EXPERIMENTS, name);
      const experiment = known ? EXPERIMENTS[name] : undefined;
      if (experiment === undefined)
        self.error(
          `sponge: ${name === undefined ? 'give an experiment' : `no experiment is called ${name}`}; there are: ${names.join(', ')}, live, load-models`,
        );
      else if (flags.into !== undefined && !isPart(name!))
        throw new UserError('--into belongs to planner, instances, node, pods, sizing, pipelines and variants');
      else await experiment.run(flags);
    });
  return withConfiguration(
    command.enablePositionalOptions().showHelpAfterError('(add --help for the flags and examples)'),
  );
}

async function runEvaluationExperiment({ out = 'results/evaluation', ...flags }: ExperimentFlags): Promise<void> {
  if (flags.networkLog !== undefined) {
    throw new UserError(
      '--network-log belongs to euromlsys24; the scenarios of the evaluation have their own networks',
    );
  }
  const settings = flags.durationSec === RUN_SEC ? [] : [`durationSec=${flags.durationSec}`];
  // Before the work, which takes minutes.
  writing(out, () => mkdirSync(out, { recursive: true }));
  writePage('evaluation', out, await runEvaluation({ ...flags, settings }), flags.json);
}

/** Those that can be written into a page. */
const PART_NAMES: readonly string[] = [
  'planner',
  'instances',
  'node',
  'pods',
  'sizing',
  'pipelines',
  'variants',
] satisfies PartName[];

function isPart(name: string): boolean {
  return PART_NAMES.includes(name);
}

function partRun(name: PartName): Experiment['run'] {
  return async ({ out = `results/${name}`, into, ...flags }) => {
    if (flags.networkLog !== undefined) throw new UserError('--network-log belongs to euromlsys24');
    if (flags.seed !== FIRST_SEED || flags.seeds !== SEEDS) {
      throw new UserError(
        `--seed and --seeds: ${name} has seeds of its own, others than those of its constants; leave them out`,
      );
    }
    const settings = flags.durationSec === RUN_SEC ? [] : [`durationSec=${flags.durationSec}`];
    if (into !== undefined) textAround(into, name);
    writing(out, () => mkdirSync(out, { recursive: true }));
    const files = await runPagePart(name, { ...flags, settings });
    writePage(name, out, files, flags.json);
    if (into !== undefined) writeInto(into, files.page, name);
  };
}

function writePage(name: string, out: string, { page, json }: PageFiles, isJson: true | undefined): void {
  writing(out, () => {
    writeFileSync(join(out, `${name}.md`), page);
    writeFileSync(join(out, `${name}.json`), json);
  });
  process.stdout.write(isJson === true ? json : page);
}

async function runEuromlsys24(flags: ExperimentFlags): Promise<void> {
  const { networkLog, seed, durationSec, threads, out = 'results/euromlsys24' } = flags;
  const network = networkSource(networkLog);
  await loadVega();
  const seeds = Array.from({ length: flags.seeds }, (_, index) => seed + index);
  // Before the work, which takes minutes.
  writing(out, () => mkdirSync(out, { recursive: true }));

  const progress = createProgress('euromlsys24', process.stderr);
  if (network.kind !== 'paper-log') progress.say(`network: ${network.description}`);
  const startedAtMs = performance.now();
  const results = await reproduce({ seeds, durationSec, network }, threads, (fraction, now) => {
    const elapsedMs = performance.now() - startedAtMs;
    progress.update(fraction, elapsedMs, fraction === 0 ? 0 : (elapsedMs * (1 - fraction)) / fraction, now);
  }).finally(() => progress.clear());

  const origin = describeOrigin({
    command: typedCommand(),
    seeds: seedsText(seeds),
    tookSeconds: (performance.now() - startedAtMs) / 1000,
  });
  const json = resultsJson(results, origin);
  const head = [...originLines(origin), `network: ${network.description}`];
  const files = new Map([
    ['results.json', json],
    ['report.html', await experimentPage(results, origin)],
    ...csvFiles(results, head),
  ]);
  writing(out, () => files.forEach((text, name) => writeFileSync(join(out, name), text)));
  process.stdout.write(flags.json === true ? json : textReport(results, origin));
  progress.say(`${[...files.keys()].join(', ')} are in ${out}`);
}

function writing(folder: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    throw new UserError(`--out ${folder}: ${(error as Error).message}; give a folder that can be written`);
  }
}
