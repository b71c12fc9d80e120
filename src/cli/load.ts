import { setTimeout as sleep } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { findTarget } from '../load/find-target.js';
import { highestRate, type RateFound, type Trial } from '../load/highest-rate.js';
import { load, type LoadResult } from '../load/load.js';
import { thisProcess, type LoadSite } from '../load/load-site.js';
import { loadCsv } from '../reports/load-csv.js';
import { summariseLoad } from '../load/load-summary.js';
import { openShapedSite, type ShapedSite } from '../load/shaping/shaped-site.js';
import { DEADLINE_PLACES, PROTOCOLS, type DeadlinePlace, type LoadTarget, type Protocol } from '../load/target.js';
import { loadReport } from '../reports/load-report.js';
import { commandText, describeOrigin } from '../reports/run-origin.js';
import { loadVega } from '../reports/vega.js';
import { atMeanRate, withOneSlo } from '../simulator/scenarios/adjust.js';
import { readyScenarios, readScenario } from '../simulator/scenarios/scenario-files.js';
import { setUp } from '../simulator/scenarios/setup.js';
import { percentText } from '../scheduler/domain/percent.js';
import type { ScenarioFile } from '../simulator/comparison/simulate.js';
import {
  checkWritable,
  collected,
  nonNegativeNumber,
  positiveInteger,
  positiveNumber,
  seedNumber,
  shape,
  UserError,
  withConfiguration,
} from './options.js';
import { isGeneratorBusy, loadTable, progressText } from './load-table.js';
import { writeOwnFile } from './own-file.js';
import { createProgress } from './progress.js';
import { authorization, tokenOption } from './token-flag.js';

interface LoadFlags {
  readonly url?: string;
  /** The token itself: see `tokenOption`. */
  readonly tokenFile?: string;
  readonly protocol: Protocol;
  readonly model?: string;
  readonly modelVersion: string;
  readonly shape?: Readonly<Record<string, readonly number[]>>;
  readonly deadline: DeadlinePlace;
  readonly seed: number;
  readonly set?: readonly string[];
  readonly durationSec?: number;
  readonly rate?: number;
  readonly slo?: number;
  readonly threads: number;
  readonly shaping: (typeof SHAPINGS)[number];
  readonly search?: true;
  readonly mostViolations: number;
  readonly mostRate: number;
  readonly list?: true;
  readonly json?: true;
  readonly report?: string;
  readonly csv?: string;
}

/** Trials of a search, where the scenario says nothing shorter: a thousand requests at 50 a second. */
const TRIAL_SEC = 20;

/** Who makes uploads as slow as their networks: the generator, or the kernel. */
const SHAPINGS = ['paced', 'tc'] as const;

/** `sponge load`: the simulator's scenarios against a real server. */
export function loadCommand(): Command {
  const command = new Command('load')
    .summary('put the load of a scenario on a running server, and judge it as its clients would')
    .description(
      'Sends the requests of a scenario to any server of the Open Inference Protocol: arrivals, sizes, SLOs and networks are ' +
        'those of `sponge simulate`, of the same seed. Uploads are really as slow as their client’s network; requests leave when ' +
        'they are due, whatever became of those before. On time is what is answered within its SLO, as the client sees it.',
    )
    .argument('[scenario]', 'a ready scenario by name (--list), or a YAML file')
    .option('--url <url>', 'where the server is (default: http://127.0.0.1:8000, or :8001 for gRPC)')
    .addOption(tokenOption())
    .addOption(new Option('--protocol <name>', 'rest has binary tensors').choices(PROTOCOLS).default('rest'))
    .option('--model <name>', 'name of the model (default: the only one there is)')
    .option('--model-version <version>', 'its version', '')
    .option('--shape <input=sizes>', 'shape of an input, e.g. x=1,3,48,320 (repeatable)', shape)
    .addOption(
      new Option(
        '--deadline <where>',
        'how a request states its SLO: header (Request-Timeout-Ms, grpc-timeout), parameter (timeout), none',
      )
        .choices(DEADLINE_PLACES)
        .default('header'),
    )
    .optionsGroup('Load:')
    .option('--seed <n>', 'of arrivals, sizes and networks', seedNumber, 1)
    .option('--set <key=value>', 'overrides a key of the scenario, such as network.scale=0.5; repeatable', collected)
    .option('--duration-sec <s>', 'how long clients send (default: the scenario’s)', positiveNumber)
    .option('--rate <n>', 'mean requests a second (default: the scenario’s)', positiveNumber)
    .option('--slo <ms>', 'one SLO for all (default: the scenario’s)', positiveNumber)
    .option('--threads <n>', 'of the generator; clients are shared among them', positiveInteger, 1)
    .addOption(
      new Option(
        '--shaping <how>',
        'paced: the generator writes bodies as slowly as networks are; tc: the kernel shapes a link for each client, ' +
          'in a network namespace (root; the server on this machine, with --host 0.0.0.0)',
      )
        .choices(SHAPINGS)
        .default('paced'),
    )
    .optionsGroup('Search:')
    .option(
      '--search',
      `find the highest rate that is sustained; trials of ${TRIAL_SEC} s unless --duration-sec says otherwise`,
    )
    .option('--most-violations <fraction>', 'share of requests that may miss their SLO', nonNegativeNumber, 0.01)
    .option('--most-rate <n>', 'highest rate to try', positiveNumber, 10_000)
    .optionsGroup('Output:')
    .option('--list', 'name the ready scenarios')
    .option('--json', 'one JSON object instead of the table')
    .option('--report <file>', 'also write an HTML page with plots')
    .option('--csv <file>', 'also write a line for every request')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  sponge load authors-applied --model ocr --shape x=1,3,48,320 --duration-sec 60\n' +
        '  sponge load bursts --rate 40 --protocol grpc --report load.html\n' +
        '  sponge load multi-client --search --most-violations 0.01 --slo 500\n' +
        '  sponge load my-scenario.yaml --url http://10.0.0.7:8000 --deadline parameter   # Triton\n' +
        '  sponge load multi-client --shaping tc   # real links; start the server with --host 0.0.0.0',
    )
    .action(async (name: string | undefined, flags: LoadFlags, self: Command) => {
      if (flags.list === true) {
        process.stdout.write(
          readyScenarios()
            .map((each) => `  ${each.name.padEnd(18)}${each.title}\n`)
            .join(''),
        );
      } else if (name === undefined) {
        self.error('sponge: load needs a scenario: a name from --list, or a YAML file');
      } else await run(scenarioOf(name, flags), flags);
    });
  return withConfiguration(command);
}

function scenarioOf(name: string, { set = [], durationSec, slo, rate, search }: LoadFlags): ScenarioFile {
  const seconds = durationSec ?? (search === true ? TRIAL_SEC : undefined);
  const settings = [...set, ...(seconds === undefined ? [] : [`durationSec=${seconds}`])];
  const file = readScenario(name, settings);
  const scenario = slo === undefined ? file.scenario : withOneSlo(file.scenario, slo);
  return { ...file, scenario: rate === undefined ? scenario : atMeanRate(scenario, rate) };
}

async function run(file: ScenarioFile, flags: LoadFlags): Promise<void> {
  for (const [flag, path] of [
    ['--report', flags.report],
    ['--csv', flags.csv],
  ] as const) {
    if (path === undefined) continue;
    if (flags.search === true)
      throw new UserError(`${flag} belongs to one load, and --search makes many; give one of the two`);
    checkWritable(flag, path);
  }
  if (flags.report !== undefined) await loadVega();
  // Better said here than by a thread.
  const setup = setUp(file.scenario, file.name, file.folder);
  const found = await findTarget({
    url: flags.url ?? null,
    protocol: flags.protocol,
    model: flags.model ?? null,
    version: flags.modelVersion,
    shapes: flags.shape ?? {},
    deadline: flags.deadline,
    ...authorization(flags.tokenFile),
  });
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort();
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const name of signals) process.once(name, interrupt);
  let shaped: ShapedSite | null = null;
  try {
    if (flags.shaping === 'tc') shaped = await openShapedSite(setup, flags.seed, found);
    const way: Way = { target: shaped?.target ?? found, site: shaped ?? thisProcess, signal: interruption.signal };
    if (flags.search === true) await search(file, way, setup.predictedRatePerSec, flags);
    else await once(file, way, flags);
  } finally {
    shaped?.close();
    for (const name of signals) process.off(name, interrupt);
  }
}

/** To the server, for every load of a command. */
interface Way {
  readonly target: LoadTarget;
  readonly site: LoadSite;
  readonly signal: AbortSignal;
}

async function once(file: ScenarioFile, way: Way, flags: LoadFlags): Promise<void> {
  const { target } = way;
  const result = await loadWithProgress(file, way, flags, file.name);
  const summary = summariseLoad(result);
  const origin = describeOrigin({ command: commandText(process.argv.slice(2)), seeds: String(flags.seed) });
  if (flags.csv !== undefined) writeOwnFile(flags.csv, loadCsv(result.columns));
  if (flags.report !== undefined)
    writeOwnFile(flags.report, await loadReport({ file, target, summary, result, origin }));
  const { inputs, ...plainTarget } = { ...target, authorization: undefined };
  const shapes = Object.fromEntries(inputs.map(({ name, shape: sizes }) => [name, sizes]));
  const json = { scenario: file.name, target: { ...plainTarget, shapes }, shaping: flags.shaping, ...summary, origin };
  process.stdout.write(flags.json === true ? `${JSON.stringify(json, null, 2)}\n` : loadTable(file, target, summary));
}

async function search(file: ScenarioFile, way: Way, fromRatePerSec: number, flags: LoadFlags): Promise<void> {
  let whyCutShort = 'interrupted';
  const found = await highestRate({
    fromRatePerSec,
    mostViolations: flags.mostViolations,
    mostRatePerSec: flags.mostRate,
    resolution: 0.05,
    tryRate: async (ratePerSec) => {
      const neededSec = Math.min(MOST_TRIAL_SEC, requestsNeeded(flags.mostViolations) / ratePerSec);
      const durationSec = Math.max(file.scenario.durationSec, neededSec);
      const trial = { ...file, scenario: atMeanRate({ ...file.scenario, durationSec }, ratePerSec) };
      const result = await loadWithProgress(trial, way, flags, `${file.name} at ${ratePerSec.toFixed(1)}/s`);
      if (way.signal.aborted) return null;
      const summary = summariseLoad(result);
      if (summary.sent - summary.outcomes.cancelled === 0)
        throw new UserError('nothing was due in a trial; give a longer --duration-sec');
      if (isGeneratorBusy(summary)) {
        whyCutShort = 'the generator was too busy for more: give it more --threads';
        return null;
      }
      // So that what one trial has left behind does not fail the next.
      await sleep(BETWEEN_TRIALS_MS);
      return summary.violationRate;
    },
    onTrial: (trial) => process.stderr.write(`${trialText(trial)}\n`),
  });
  process.stdout.write(
    flags.json === true
      ? `${JSON.stringify({ ...found, whyCutShort: found.isCutShort ? whyCutShort : null }, null, 2)}\n`
      : foundText(found, flags.mostViolations, whyCutShort),
  );
}

const BETWEEN_TRIALS_MS = 1000;
/** A search that finds nothing sustained goes to low rates, where so many requests would take an hour. */
const MOST_TRIAL_SEC = 60;

/** So many that a share of violations can be told from twice as much, roughly: four are allowed. */
function requestsNeeded(mostViolations: number): number {
  return 4 / Math.max(0.002, mostViolations);
}

function trialText({ ratePerSec, violationRate, isSustained }: Trial): string {
  return `${ratePerSec.toFixed(1).padStart(8)}/s  ${percentText(violationRate, 2).padStart(8)} violations  ${isSustained ? 'sustained' : 'too much'}`;
}

function foundText(
  { sustainedPerSec, failedPerSec, isCutShort }: RateFound,
  mostViolations: number,
  why: string,
): string {
  const bound = `at most ${100 * mostViolations} % violations`;
  const end = isCutShort ? `; the search ended early: ${why}` : '';
  if (sustainedPerSec === null) {
    const tried = failedPerSec === null ? 'no rate' : `no rate down to ${failedPerSec.toFixed(1)}/s`;
    return `${tried} was found to be served with ${bound}${end}\n`;
  }
  const next = failedPerSec === null ? 'no higher rate was tried' : `${failedPerSec.toFixed(1)}/s was too much`;
  return `highest rate with ${bound}: ${sustainedPerSec.toFixed(1)} requests/s (${next})${end}\n`;
}

async function loadWithProgress(
  file: ScenarioFile,
  way: Way,
  { seed, threads }: LoadFlags,
  title: string,
): Promise<LoadResult> {
  const progress = createProgress(title, process.stderr);
  const durationMs = file.scenario.durationSec * 1000;
  return load({
    file,
    seed,
    threads,
    ...way,
    onProgress: (now) => {
      const fraction = Math.min(1, now.elapsedMs / durationMs);
      progress.update(fraction, now.elapsedMs, Math.max(0, durationMs - now.elapsedMs), progressText(now));
    },
  }).finally(() => progress.clear());
}
