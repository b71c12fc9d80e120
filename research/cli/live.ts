import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { liveCsv } from '../live/live-csv.js';
import { runLiveExperiment } from '../live/live-experiment.js';
import { livePage } from '../live/live-page.js';
import type { LiveResults } from '../live/live-results.js';
import { PROTOCOLS, type Protocol } from '../../src/load/target.js';
import { liveReport } from '../live/report/live-report.js';
import { describeOrigin } from '../../src/reports/run-origin.js';
import { typedCommand } from './typed-command.js';
import { loadVega } from '../../src/reports/vega.js';
import { withOneSlo } from '../../src/simulator/scenarios/adjust.js';
import { readScenario } from '../../src/simulator/scenarios/scenario-files.js';
import {
  collected,
  cores,
  positiveInteger,
  positiveNumber,
  seedNumber,
  shape,
  UserError,
  withConfiguration,
} from '../../src/cli/options.js';
import { writeOwnFile } from '../../src/cli/own-file.js';
import { textAround, writeInto } from './pages.js';
import { createProgress } from '../../src/cli/progress.js';

/** The load of the experiment, beside the code as it is installed. */
const SCENARIO = fileURLToPath(new URL('../../examples/live.yaml', import.meta.url));

interface LiveFlags {
  readonly model?: string;
  readonly shape?: Readonly<Record<string, readonly number[]>>;
  readonly protocol: Protocol;
  readonly scenario: string;
  readonly set?: readonly string[];
  readonly durationSec?: number;
  readonly rate?: number;
  readonly slo?: number;
  readonly seed: number;
  readonly repetitions: number;
  readonly profileSec: number;
  readonly maxCores?: number;
  readonly unitCores: number;
  readonly batch: number;
  readonly idle: 'both' | 'released' | 'held';
  readonly out: string;
  readonly into?: string;
  readonly json?: true;
}

/** `npm run research -- live`: what the simulator claims, on this machine. */
export function liveCommand(): Command {
  const command = new Command('live')
    .summary('serve every policy for real under one load, and simulate the same')
    .description(
      'On this machine: profiles a model, then serves it under Sponge, the paper’s planner, a small and the full fixed ' +
        'allocation (first come, first served) and FA2-like replicas, each under the same load of clients on an emulated mobile ' +
        'network, with idle CPU released and held, in turn and again; then simulates the same on the profile just measured. ' +
        'Writes report.html, results.json, CSV files and an event log of every run, which the dashboard opens.',
    )
    .option('--model <path>', 'a .onnx file or a folder with one model (default: ResNet-18 with seeded weights)')
    .option('--shape <input=sizes>', 'shape of one request, e.g. x=1,3,48,320 (repeatable)', shape)
    .addOption(new Option('--protocol <name>', 'of the clients').choices(PROTOCOLS).default('rest'))
    .optionsGroup('Load:')
    .addOption(
      new Option('--scenario <file>', 'a ready scenario or a YAML file').default(SCENARIO, 'examples/live.yaml'),
    )
    .option('--set <key=value>', 'overrides a key of the scenario; repeatable', collected)
    .option('--duration-sec <s>', 'length of each run (default: the scenario’s)', positiveNumber)
    .option('--rate <n>', 'mean requests a second (default: 0.4 of what the largest allocation can do)', positiveNumber)
    .option('--slo <ms>', 'one SLO for all (default: the scenario’s)', positiveNumber)
    .option('--seed <n>', 'of the clients, the same in every run', seedNumber, 1)
    .option('--repetitions <n>', 'of every policy and setting', positiveInteger, 3)
    .optionsGroup('CPU:')
    .option('--profile-sec <s>', 'how long to profile before', positiveNumber, 100)
    .option(
      '--max-cores <n>',
      'largest allocation (default: what the machine allows, less 0.5 for the router and the clients)',
      cores,
    )
    .addOption(new Option('--unit-cores <n>', 'of one replica').argParser(cores).default(250, '0.25'))
    .option('--batch <n>', 'largest batch of the fixed allocations', positiveInteger, 4)
    .addOption(
      new Option('--idle <setting>', 'whether idle CPU is given back')
        .choices(['both', 'released', 'held'])
        .default('both'),
    )
    .optionsGroup('Output:')
    .option('--out <folder>', 'where the files go', 'results/live')
    .option('--into <file.md>', 'replace what that file has between its marks by the tables')
    .option('--json', 'results.json on stdout instead of the tables')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  npm run research -- live\n' +
        '  npm run research -- live --model models/ocr --shape x=1,3,48,320 --slo 500 --repetitions 5\n' +
        '  npm run research -- live --duration-sec 20 --profile-sec 20 --repetitions 1 --out results/short',
    )
    .action(run);
  return withConfiguration(command);
}

async function run(flags: LiveFlags): Promise<void> {
  const { out, into, seed, repetitions } = flags;
  if (into !== undefined) textAround(into);
  await loadVega();
  try {
    mkdirSync(out, { recursive: true });
  } catch (error) {
    throw new UserError(`--out ${out}: ${(error as Error).message}; give a folder that can be written`);
  }
  const idle = flags.idle === 'both' ? [true, false] : [flags.idle === 'released'];
  const progress = createProgress('live', process.stderr);
  const startedAtMs = performance.now();
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort(new UserError('interrupted'));
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const found = await runLiveExperiment({
    file: scenarioOf(flags),
    seed,
    repetitions,
    modelPath: flags.model ?? null,
    shapes: flags.shape ?? {},
    protocol: flags.protocol,
    ratePerSec: flags.rate ?? null,
    profileSec: flags.profileSec,
    maxMillicores: flags.maxCores ?? null,
    unitMillicores: flags.unitCores,
    batchSize: flags.batch,
    idle,
    folder: out,
    onProgress: (fraction, now) => {
      const elapsedMs = performance.now() - startedAtMs;
      progress.update(fraction, elapsedMs, fraction === 0 ? 0 : (elapsedMs * (1 - fraction)) / fraction, now);
    },
    signal: interruption.signal,
  }).finally(() => {
    progress.clear();
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  });
  const origin = describeOrigin({
    command: typedCommand(),
    seeds: String(seed),
    tookSeconds: (performance.now() - startedAtMs) / 1000,
  });
  const results: LiveResults = { origin, ...found };
  const page = livePage(results);
  const json = `${JSON.stringify(results)}\n`;
  const data = new Map([['results.json', json], ...liveCsv(results)]);
  for (const [name, text] of data) writeOwnFile(join(out, name), text);
  // It takes some seconds, and is made from them.
  writeOwnFile(join(out, 'report.html'), await liveReport(results));
  const planned = found.cases.length * idle.length * repetitions;
  const isComplete = found.live.length === planned;
  if (into !== undefined && isComplete) writeInto(into, page);
  process.stdout.write(flags.json === true ? json : page);
  progress.say(`report.html, ${[...data.keys()].join(', ')} and events/ are in ${out}`);
  if (!isComplete) throw new UserError(found.leftOut.at(-1));
}

function scenarioOf({ scenario: path, set = [], durationSec, slo }: LiveFlags): ReturnType<typeof readScenario> {
  const settings = [...set, ...(durationSec === undefined ? [] : [`durationSec=${durationSec}`])];
  const file = readScenario(path, settings);
  return slo === undefined ? file : { ...file, scenario: withOneSlo(file.scenario, slo) };
}
