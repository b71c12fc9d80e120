import { rm, writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { profilePicture } from '../reports/profile-picture.js';
import { describeWriteFailure, writeProfile } from '../server/profiler/profile-store.js';
import { summaryOf } from '../server/profiler/profile-summary.js';
import { assertReadable, findModels, type ModelSource } from '../server/models/model-repository.js';
import type { WorkerOptions } from '../server/served/open-worker.js';
import { partialPathOf, profileModel, type ProfilingProgress } from '../server/served/profile-model.js';
import { withoutSecrets } from '../server/sources/elsewhere.js';
import type { FetchedModels } from '../server/sources/fetched-models.js';
import {
  cores,
  positiveInteger,
  positiveNumber,
  shape,
  threadCounts,
  UserError,
  withConfiguration,
  collected,
} from './options.js';
import { reportJson, reportText, type ProfileReport } from './profile-report.js';
import { createProgress } from './progress.js';
import { addSourceFlags, fetchedFrom, type SourceFlags } from './source-flags.js';
import { progressLine } from './start-progress.js';

/*
 * `sponge profile`: measures how long batches take on how much CPU, where and as serving would run them, and stores it
 * where serving looks for it. Everything that decides whether serving takes the profile for its own (the largest
 * allocation of each of several models, threads, period, shape) has the same flags and defaults as `sponge serve`.
 */

/** As commander parses them; see the flags below. */
interface ProfileFlags extends SourceFlags {
  readonly model?: string;
  readonly quick: boolean;
  readonly budget?: number;
  readonly fresh: boolean;
  readonly shape?: NonNullable<WorkerOptions['shapes']>;
  readonly sample?: readonly string[];
  readonly maxBatch: number;
  readonly scaler: WorkerOptions['scaler'];
  readonly maxCores?: number;
  readonly minCores: number;
  readonly group: string;
  readonly quotaPeriodUs: number;
  readonly threads?: readonly number[];
  readonly output?: string;
  readonly picture?: string;
  readonly json: boolean;
}

const FULL_BUDGET_MS = 180_000;
/** Twice what starting a server spends: here nobody waits for an answer. */
const QUICK_BUDGET_MS = 10_000;

/** Of the processors: others who keep more than this busy lengthen the runs on the largest allocation. */
const BUSY_FRACTION = 0.25;

/** 128 + signal number, as shells report it. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

export function profileCommand(): Command {
  const command = new Command('profile')
    .summary('measure how long batches of a model take, by batch size and CPU')
    .description(
      'Measures how long batches take, by batch size and cores, in the CPU group and with the threads that serving uses, ' +
        'fits the latency model to it, and stores both beside the model, where "sponge serve" finds them. ' +
        'A run that was broken off goes on when it is started again.',
    )
    .argument('<path>', 'a .onnx file or a folder of models; or from elsewhere, as for "sponge serve"')
    .option('--model <name>', 'only this model of the folder')
    .option('--quick', 'seconds instead of minutes: fewer cells and runs, planned with a wider margin', false)
    .option(
      '--budget <seconds>',
      'about how long to measure each model (default: 180; with --quick 10)',
      positiveNumber,
    )
    .option('--fresh', 'start over instead of going on with an unfinished run', false)
    .option('--shape <input=sizes>', 'shape of one request, e.g. x=1,3,48,320 (repeatable)', shape)
    .option('--sample <file>', 'a request (JSON) to profile with (repeatable)', collected)
    .option('--max-batch <n>', 'most rows in a batch', positiveInteger, 16)
    .optionsGroup('CPU, as for "sponge serve":')
    .addOption(
      new Option('--scaler <kind>', 'how the worker is resized')
        .choices(['auto', 'cgroup-v2', 'cgroup-v1', 'affinity', 'none'])
        .default('auto'),
    )
    .option('--max-cores <n>', 'largest allocation (default: what the machine allows, less 0.25)', cores)
    .addOption(
      new Option('--min-cores <n>', 'smallest allocation that batches run on').argParser(cores).default(200, '0.2'),
    )
    .option('--group <name>', 'name of the CPU groups; not that of a running server', 'profile')
    .option('--quota-period-us <us>', 'CFS quota period', positiveInteger, 10_000)
    .option('--threads <list>', 'ONNX Runtime thread counts to keep sessions for, e.g. 1,2,4', threadCounts)
    .optionsGroup('Output:')
    .option('--output <file.json>', 'the profile (default: beside the model, where serving finds it)')
    .option('--picture <file.html>', 'measured points and curves (default: beside the profile)')
    .option('--json', 'one JSON object a model, one a line, on standard output', false)
    .addHelpText(
      'after',
      `
Examples:
  sponge profile model.onnx --quick
  sponge profile models/ --model ocr --budget 60
  sponge profile ocr.onnx --shape x=1,3,48,320 --output ocr-small.json --max-cores 1`,
    )
    .action(profile);
  return withConfiguration(addSourceFlags(command));
}

async function profile(path: string, flags: ProfileFlags): Promise<void> {
  const stop = stopOnSignals();
  try {
    const fetched = await fetchedFor(path, flags, stop.signal);
    try {
      await profileAll(fetched?.path ?? path, flags, stop.signal);
    } finally {
      await fetched?.close();
    }
  } finally {
    stop.dispose();
  }
}

/** Null where the path is on this machine. */
async function fetchedFor(path: string, flags: ProfileFlags, interruption: AbortSignal): Promise<FetchedModels | null> {
  const progress = progressLine();
  try {
    return await fetchedFrom(path, flags, {
      onProgress: (message) => progress.show(message),
      onNotice: (line) => console.error(line),
      interruption,
    });
  } finally {
    progress.clear();
  }
}

async function profileAll(path: string, flags: ProfileFlags, signal: AbortSignal): Promise<void> {
  const all = await findModels(path);
  const sources = flags.model === undefined ? all : all.filter(({ name }) => name === flags.model);
  if (sources.length === 0) {
    throw new UserError(`no model "${flags.model!}" in ${path}; it has ${all.map(({ name }) => name).join(', ')}`);
  }
  for (const flag of ['shape', 'sample', 'output', 'picture'] as const) {
    if (sources.length > 1 && flags[flag] !== undefined) {
      throw new UserError(`--${flag} is for one model, and ${path} has ${sources.length}: add --model <name>`);
    }
  }
  await Promise.all(sources.map(assertReadable));
  warnIfBusy();
  for (const source of sources) {
    await profileOne(source, flags.maxCores ?? null, flags, signal);
    if (signal.aborted) return;
  }
}

async function profileOne(
  source: ModelSource,
  maxMillicores: number | null,
  flags: ProfileFlags,
  signal: AbortSignal,
): Promise<void> {
  const profilePath = flags.output === undefined ? source.profilePath : resolve(flags.output);
  const picturePath = resolve(flags.picture ?? `${profilePath.replace(/\.json$/, '')}.html`);
  const progress = createProgress(source.name, process.stderr);
  const result = await profileModel(source, {
    scaler: flags.scaler,
    groupName: `${flags.group}-${source.name}`,
    maxMillicores,
    minMillicores: flags.minCores,
    quotaPeriodUs: flags.quotaPeriodUs,
    maxBatchSize: flags.maxBatch,
    shapes: flags.shape ?? null,
    samplePaths: flags.sample ?? null,
    batching: null,
    threadCounts: flags.threads ?? null,
    nowMs: () => performance.now(),
    onLog: (line) => progress.say(line),
    quality: flags.quick ? 'quick' : 'full',
    budgetMs: flags.budget === undefined ? (flags.quick ? QUICK_BUDGET_MS : FULL_BUDGET_MS) : flags.budget * 1000,
    profilePath,
    isFresh: flags.fresh,
    onProgress: (at) => progress.update(at.fraction, at.elapsedMs, at.remainingMs, cellText(at.cell)),
    signal,
  }).finally(() => progress.clear());

  if (result.kind === 'interrupted') {
    progress.say(
      result.runCount === 0
        ? 'stopped before anything was measured'
        : `stopped; ${result.runCount} runs are kept in ${result.partialPath}. ` +
            'The same command goes on from there; with --fresh it starts over',
    );
    return;
  }
  const { profile: measured } = result;
  const failures: string[] = [];
  const stored = await attempt(profilePath, '--output', () => writeProfile(profilePath, measured), failures);
  if (stored !== null) await rm(partialPathOf(profilePath), { force: true });
  const picture = profilePicture(measured, { command: commandLine() });
  const report: ProfileReport = {
    ...result,
    summary: summaryOf(measured),
    profilePath: stored,
    picturePath: await attempt(
      picturePath,
      '--picture',
      () => writeFile(picturePath, picture, { mode: 0o600 }),
      failures,
    ),
  };
  console.log(flags.json ? reportJson(report) : `${reportText(report)}\n`);
  // What was measured has been printed: a full disk should not cost that too.
  if (failures.length > 0) throw new UserError(failures.join('; '));
}

/** The path when written, null and a failure more when not. */
async function attempt(
  path: string,
  flag: '--output' | '--picture',
  write: () => Promise<void>,
  failures: string[],
): Promise<string | null> {
  try {
    await write();
    return path;
  } catch (error) {
    failures.push(describeWriteFailure(path, error, flag));
    return null;
  }
}

function cellText(cell: ProfilingProgress['cell']): string {
  return cell === null ? '' : `batch ${cell.batchSize} on ${cell.cpuMillicores / 1000} cores`;
}

function warnIfBusy(): void {
  const [load] = loadavg();
  const processors = availableParallelism();
  if (load! <= BUSY_FRACTION * processors) return;
  console.error(
    `warning: the machine is busy (load ${load!.toFixed(1)} on ${processors} processors), ` +
      'so batches will seem slower than they are; profile again when it is quiet',
  );
}

/** The first signal ends the run and keeps what it has; the second ends the process. */
function stopOnSignals(): { readonly signal: AbortSignal; dispose(): void } {
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    process.exitCode = EXIT_CODES[name as keyof typeof EXIT_CODES];
    if (stop.signal.aborted) process.exit();
    stop.abort(new UserError('stopped'));
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, onSignal);
  return {
    signal: stop.signal,
    dispose: () => {
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, onSignal);
    },
  };
}

/** What was typed, to be pasted into a shell. */
function commandLine(): string {
  const quoted = process.argv
    .slice(2)
    .map(withoutSecrets)
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`));
  return ['sponge', ...quoted].join(' ');
}
