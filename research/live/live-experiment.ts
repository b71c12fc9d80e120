import { mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { LOAD_MODELS, writeModelFile } from '../load-models/model-files.js';
import { measureCpuCeiling, ROUTER_MILLICORES } from '../../src/server/scalers/cpu-ceiling.js';
import { findModels, type ModelSource } from '../../src/server/models/model-repository.js';
import { MOST_INSTANCES } from '../../src/server/served/instance-groups.js';
import { parseProfile } from '../../src/scheduler/perf-model/profile-schema.js';
import { measuredMachine, type Machine } from '../../src/simulator/sim/machine.js';
import type { LoadProgress } from '../../src/load/load.js';
import type { Protocol } from '../../src/load/target.js';
import { reference, worldOf } from '../../src/simulator/comparison/run-seed.js';
import { atMeanRate } from '../../src/simulator/scenarios/adjust.js';
import { setUp, type ScenarioSetup } from '../../src/simulator/scenarios/setup.js';
import type { ScenarioFile } from '../../src/simulator/comparison/simulate.js';
import { liveCases, type LiveCases } from './live-cases.js';
import type { LiveResults, LiveRun } from './live-results.js';
import type { BatchPoint } from './run-series.js';
import { liveRun } from './live-run.js';
import { runSponge } from './server-process.js';
import { simulatedRun } from './simulated-run.js';

/*
 * The live experiment: a model profiled on this machine, every policy served for real under the same load, in turn and again,
 * and the same simulated on the profile just measured.
 *
 * Interleaved: each repetition goes through all policies before the next begins, and each begins with another one, so that
 * a machine that becomes slower meets none of them alone.
 */

export interface LiveExperimentOptions {
  readonly file: ScenarioFile;
  readonly seed: number;
  readonly repetitions: number;
  /** Null: ResNet-18 as `npm run research -- load-models` writes it. */
  readonly modelPath: string | null;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly protocol: Protocol;
  /** Mean requests a second; null: `LOAD_SHARE` of what the largest allocation can do. */
  readonly ratePerSec: number | null;
  readonly profileSec: number;
  /** Largest allocation; null: what the machine allows, less the router's part and as much for the clients. */
  readonly maxMillicores: number | null;
  readonly unitMillicores: number;
  readonly batchSize: number;
  /** Which settings of the idle release are run. */
  readonly idle: readonly boolean[];
  /** Where everything goes. */
  readonly folder: string;
  /** @param now what is being done; told again and again while it is */
  readonly onProgress: (fraction: number, now: string) => void;
  readonly signal: AbortSignal;
}

/** Of the greatest throughput: bursts at 1.5 times the mean stay below it, and a smaller allocation than all would do. */
const LOAD_SHARE = 0.4;
/** The idle floor that `sponge serve` has. */
const IDLE_CORES = 0.1;
const QUICK_PROFILE_SEC = 30;

export async function runLiveExperiment(options: LiveExperimentOptions): Promise<Omit<LiveResults, 'origin'>> {
  const plan = await prepare(options);
  const { cases, source, file } = plan;
  const { live, brokenOff } = await liveRuns(options, plan);
  const asMeasured = withScatter(afterColdStarts(file, live), live);
  const setup = setUp(asMeasured.scenario, asMeasured.name, asMeasured.folder);
  options.onProgress(1, 'simulating the same');
  const simulated = cases.flatMap((liveCase) =>
    options.idle.map((isIdleReleased) => simulatedRun(asMeasured, options.seed, liveCase, isIdleReleased)),
  );
  const world = worldOf(setup, options.seed);
  const { servableCoreSeconds, unavoidable } = reference(setup, world);
  return {
    model: { name: source.name, description: plan.description, profile: profileRows(plan.machine) },
    cpu: { ...plan.cpu, unitCores: plan.unitMillicores / 1000 },
    // Results are shown to others, to whom a path of this machine says nothing.
    scenario: { ...asMeasured.scenario, profile: basename(source.profilePath) },
    seed: options.seed,
    repetitions: options.repetitions,
    protocol: options.protocol,
    bandwidthKbPerSec: bandwidths(setup, options.seed),
    cases,
    leftOut: [...plan.leftOut, ...brokenOff],
    live,
    simulated,
    reference: {
      servableCoreSeconds,
      infeasible: world.infeasible.reduce((sum, flag) => sum + flag, 0) + unavoidable,
    },
  };
}

// ---- before the first run --------------------------------------------------------------------------------------------

interface Plan extends LiveCases {
  readonly source: ModelSource;
  /** What `sponge serve` is given. */
  readonly servedPath: string;
  readonly description: string;
  readonly machine: Machine;
  readonly cpu: { readonly scaler: string; readonly minCores: number; readonly maxCores: number };
  readonly unitMillicores: number;
  readonly file: ScenarioFile;
}

async function prepare(options: LiveExperimentOptions): Promise<Plan> {
  const { folder, onProgress, profileSec, unitMillicores, batchSize, signal } = options;
  const maxMillicores = options.maxMillicores ?? roomForClients();
  mkdirSync(join(folder, 'events'), { recursive: true });
  const servedPath = options.modelPath ?? (await writeResnet(folder));
  const [source, ...others] = await findModels(servedPath);
  if (source === undefined || others.length > 0)
    throw new Error(`${servedPath}: give one model, not a folder of several`);
  onProgress(0, `profiling ${source.name}`);
  const args = ['profile', servedPath, '--fresh', '--budget', String(profileSec), '--group', `live-${process.pid}`];
  args.push('--max-cores', String(maxMillicores / 1000));
  if (profileSec < QUICK_PROFILE_SEC) args.push('--quick');
  for (const [input, sizes] of Object.entries(options.shapes)) args.push('--shape', `${input}=${sizes.join(',')}`);
  await runSponge(args, () => onProgress(0, `profiling ${source.name}, about ${profileSec} s`), signal);
  const parsed = parseProfile(JSON.parse(readFileSync(source.profilePath, 'utf8')), source.profilePath);
  if (parsed.kind === 'invalid') throw new Error(parsed.message);
  const machine = measuredMachine(parsed.profile);
  const file = onThisMachine(options, source, machine);
  const scaler = parsed.profile.fingerprint?.scaler ?? 'none';
  const { limits } = setUp(file.scenario, file.name, file.folder).environment.cpu;
  // No more than a server makes: on a large machine they are larger.
  const unit = Math.max(unitMillicores, Math.ceil(limits.maxMillicores / MOST_INSTANCES / 50) * 50);
  return {
    source,
    servedPath,
    description: options.modelPath === null ? LOAD_MODELS[0]!.summary : basename(source.modelPath),
    machine,
    cpu: {
      scaler,
      minCores: limits.minMillicores / 1000,
      maxCores: limits.maxMillicores / 1000,
    },
    file,
    unitMillicores: unit,
    ...liveCases({ limits, unitMillicores: unit, batchSize, scaler }),
  };
}

/** Clients run on the same machine: where they have no CPU, it is they that are late. */
function roomForClients(): number {
  const leftMillicores = measureCpuCeiling().millicores - 2 * ROUTER_MILLICORES;
  return Math.max(500, Math.floor(leftMillicores / 100) * 100);
}

async function writeResnet(folder: string): Promise<string> {
  const repository = join(folder, 'models');
  await writeModelFile(repository, LOAD_MODELS[0]!);
  return repository;
}

/** The scenario on the machine and the model that were just measured, at a rate that they can do. */
function onThisMachine(
  { file, ratePerSec }: LiveExperimentOptions,
  source: ModelSource,
  machine: Machine,
): ScenarioFile {
  const mostPerSec = Math.max(...profileRows(machine).map((row) => row.mostPerSec));
  const scenario = atMeanRate(file.scenario, ratePerSec ?? roundRate(LOAD_SHARE * mostPerSec));
  return {
    ...file,
    scenario: { ...scenario, profile: source.profilePath, cpu: { ...scenario.cpu, idleCores: IDLE_CORES } },
  };
}

/** Two digits: as a person would set it. */
function roundRate(ratePerSec: number): number {
  return Number(ratePerSec.toPrecision(2));
}

// ---- live ------------------------------------------------------------------------------------------------------------

/** What was measured before a run failed, or was interrupted, is not lost: it is reported, and says so. */
async function liveRuns(
  options: LiveExperimentOptions,
  { cases, file, source, servedPath, cpu }: Plan,
): Promise<{ readonly live: readonly LiveRun[]; readonly brokenOff: readonly string[] }> {
  const { repetitions, folder, seed, shapes, protocol, signal } = options;
  const settings = cases.flatMap((liveCase) => options.idle.map((isIdleReleased) => ({ liveCase, isIdleReleased })));
  const total = repetitions * settings.length;
  const runs: LiveRun[] = [];
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    const first = ((repetition - 1) * 3) % settings.length;
    for (const { liveCase, isIdleReleased } of [...settings.slice(first), ...settings.slice(0, first)]) {
      const idle = isIdleReleased ? 'released' : 'held';
      const eventLog = `events/${liveCase.name.replaceAll(' ', '-')}-idle-${idle}-${repetition}.jsonl`;
      const name = `${repetition}/${repetitions} ${liveCase.name}, idle CPU ${idle}`;
      const onProgress = ({ elapsedMs, outcomes }: LoadProgress): void => {
        const done = Math.min(1, elapsedMs / (1000 * file.scenario.durationSec));
        const missed = outcomes.late + outcomes.refused + outcomes.lost;
        options.onProgress((runs.length + done) / total, `${name}: ${outcomes['on-time']} on time, ${missed} missed`);
      };
      options.onProgress(runs.length / total, `${name}: starting`);
      try {
        const run = await liveRun({
          ...{
            file,
            seed,
            liveCase,
            isIdleReleased,
            repetition,
            shapes,
            protocol,
            folder,
            eventLog,
            signal,
            onProgress,
          },
          modelPath: servedPath,
          modelName: source.name,
          sloMs: middleSloMs(file),
          minMillicores: Math.round(cpu.minCores * 1000),
          maxMillicores: Math.round(cpu.maxCores * 1000),
        });
        runs.push(run);
      } catch (error) {
        if (runs.length === 0) throw error;
        const cause = error instanceof Error ? error.message : String(error);
        return { live: runs, brokenOff: [`Broken off in run ${runs.length + 1} of ${total} (${name}): ${cause}.`] };
      }
    }
  }
  return { live: runs, brokenOff: [] };
}

function middleSloMs({ scenario }: ScenarioFile): number {
  const { sloMs } = scenario.payloads[0]!;
  return typeof sloMs === 'number' ? sloMs : (sloMs[0] + sloMs[1]) / 2;
}

// ---- around it -------------------------------------------------------------------------------------------------------

/** Simulated replicas start as slowly as the live ones did. */
function afterColdStarts(file: ScenarioFile, live: readonly LiveRun[]): ScenarioFile {
  const coldStartsMs = live.flatMap((run) => run.coldStartsMs).sort((a, b) => a - b);
  if (coldStartsMs.length === 0) return file;
  const coldStartSec = Number((coldStartsMs[Math.floor(coldStartsMs.length / 2)]! / 1000).toFixed(3));
  return { ...file, scenario: { ...file.scenario, coldStartSec } };
}

/**
 * As widely as batches scattered around what was predicted of them, under load: a profile is measured on a machine that does nothing else.
 */
function withScatter(file: ScenarioFile, live: readonly LiveRun[]): ScenarioFile {
  const scatter = scatterOf(live.flatMap(({ series }) => series.batches));
  return scatter === null ? file : { ...file, scenario: { ...file.scenario, scatter } };
}

/** σ of ln(actual / predicted), three digits; null where there are too few. */
function scatterOf(batches: readonly Pick<BatchPoint, 'actualToPredicted'>[]): number | null {
  const logs = batches.flatMap(({ actualToPredicted: ratio }) =>
    ratio === null || ratio <= 0 ? [] : [Math.log(ratio)],
  );
  if (logs.length < LEAST_BATCHES) return null;
  return Number(Math.sqrt(logs.reduce((sum, each) => sum + each * each, 0) / logs.length).toFixed(3));
}

/** Fewer say nothing of how they scatter. */
const LEAST_BATCHES = 50;

function profileRows({ curve, profile }: Machine): LiveResults['model']['profile'] {
  const allocations = [...new Set(profile.cells.map((cell) => cell.cpuMillicores))].sort((a, b) => a - b);
  const batchSizes = [...new Set(profile.cells.map((cell) => cell.batchSize))];
  return allocations.map((millicores) => ({
    cores: millicores / 1000,
    aloneMs: curve.latencyMs(1, millicores),
    mostPerSec: Math.max(...batchSizes.map((batchSize) => (1000 * batchSize) / curve.latencyMs(batchSize, millicores))),
  }));
}

const MOST_SHOWN_CLIENTS = 8;

function bandwidths(setup: ScenarioSetup, seed: number): readonly (readonly number[])[] {
  const network = setup.network(seed);
  if (network.mode === 'none') return [];
  const seconds = Array.from({ length: Math.ceil(setup.scenario.durationSec) }, (_, second) => second);
  return network.traces
    .slice(0, MOST_SHOWN_CLIENTS)
    .map((trace) => seconds.map((second) => Math.round(trace.bytesPerMsAt(second * 1000 + 500))));
}
