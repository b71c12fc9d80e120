import { isAbsolute, join } from 'node:path';
import { readFileSync } from 'node:fs';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import { formulaProfile } from '../../scheduler/perf-model/formula-profile.js';
import {
  PUBLISHED_PROFILE_NAMES,
  publishedProfile,
  type PublishedProfileName,
} from '../../scheduler/perf-model/published.js';
import type { Profile, ProfileCell } from '../../scheduler/perf-model/profile.js';
import { parseProfile } from '../../scheduler/perf-model/profile-schema.js';
import { stream } from '../../scheduler/random/streams.js';
import { measuredMachine, publishedMachine, type Machine } from '../sim/machine.js';
import type { Environment } from '../sim/environment.js';
import type { ArrivalSpec } from '../workloads/arrivals.js';
import { BandwidthTrace } from '../workloads/bandwidth-trace.js';
import { lteBandwidth } from '../workloads/lte-trace.js';
import { generateWorkload, type NetworkSpec, type Workload } from '../workloads/workload.js';
import { loadAuthorsTrace, loadRates, loadTrace } from '../traces/load-trace.js';
import { meanRatePerSec } from './adjust.js';
import type { Scenario } from './schema.js';

/** A request takes about 100 bytes of columns, and a policy's run holds some of them at a time. */
const MOST_REQUESTS = 20_000_000;
/** Allocations that every decision may have to look at. */
const MOST_STEPS = 10_000;

/** A scenario with its files read: all that a run needs but its seed and its policy. */
export interface ScenarioSetup {
  readonly name: string;
  readonly scenario: Scenario;
  readonly machine: Machine;
  readonly environment: Environment;
  /** What policies that are told the load beforehand are told. */
  readonly predictedRatePerSec: number;
  /** The middle of the first payload's SLOs: what policies with one SLO for all are configured with. */
  readonly commonSloMs: number;
  workload(seed: number): Workload;
  /** What the workload's transfers go over. */
  network(seed: number): NetworkSpec;
}

/** @throws Error, one line, where a file is missing or wrong   @param folder that paths in the scenario are relative to */
export function setUp(scenario: Scenario, name: string, folder: string): ScenarioSetup {
  const resolved = (path: string): string => (isAbsolute(path) ? path : join(folder, path));
  const loaded = loadMachine(scenario, name, resolved);
  const { scatter = loaded.logDeviation } = scenario;
  const machine = { ...loaded, logDeviation: scatter };
  const arrivals = arrivalSpec(scenario, resolved);
  const networkFor = networkSpecs(scenario, resolved);
  const { leavingFraction, payloads } = scenario;
  const durationMs = scenario.durationSec * 1000;
  const expected = meanRatePerSec(arrivals, scenario.durationSec) * scenario.durationSec;
  if (expected > MOST_REQUESTS) {
    throw new Error(
      `${name}: about ${Math.round(expected)} requests, which do not fit into memory; ` +
        `lower durationSec or the rate of arrivals, to ${MOST_REQUESTS} in all`,
    );
  }
  return {
    name,
    scenario,
    machine,
    environment: environmentOf(scenario, machine, name),
    predictedRatePerSec: scenario.predictedRatePerSec ?? meanRatePerSec(arrivals, scenario.durationSec),
    commonSloMs: middle(payloads[0]!.sloMs),
    workload: (seed) =>
      generateWorkload({ durationMs, arrivals, payloads, network: networkFor(seed), leavingFraction }, seed),
    network: networkFor,
  };
}

function loadMachine(
  { profile: nameOrPath, service, formula, latencyFactor }: Scenario,
  name: string,
  resolved: (path: string) => string,
): Machine {
  // Its cells are exact, so nothing is gained by a fit to them.
  if (formula !== undefined)
    return publishedMachine(scaledProfile(formulaProfile(name, formula), latencyFactor), 'p99-table');
  if ((PUBLISHED_PROFILE_NAMES as readonly string[]).includes(nameOrPath)) {
    const published = publishedProfile(nameOrPath as PublishedProfileName);
    return publishedMachine(latencyFactor === 1 ? published : scaledProfile(published, latencyFactor), service);
  }
  const path = resolved(nameOrPath);
  const remedy = `give ${PUBLISHED_PROFILE_NAMES.join(', ')}, or a file that \`sponge profile\` wrote`;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const cause = error instanceof SyntaxError ? 'it is not JSON' : (error as Error).message;
    throw new Error(`profile ${path}: ${cause}; ${remedy}`, { cause: error });
  }
  const parsed = parseProfile(value, path);
  if (parsed.kind === 'invalid') throw new Error(`${parsed.message}; ${remedy}`);
  return measuredMachine(latencyFactor === 1 ? parsed.profile : scaledProfile(parsed.profile, latencyFactor));
}

/** A model that takes so many times as long, whatever the batch and the cores. */
function scaledProfile(profile: Profile, factor: number): Profile {
  const scaled = (cell: ProfileCell): ProfileCell => ({
    ...cell,
    samplesMs: cell.samplesMs.map((each) => factor * each),
    ...{ p50Ms: factor * cell.p50Ms, p95Ms: factor * cell.p95Ms, p99Ms: factor * cell.p99Ms },
  });
  return { ...profile, cells: profile.cells.map(scaled) };
}

function arrivalSpec({ arrivals }: Scenario, resolved: (path: string) => string): ArrivalSpec {
  if (arrivals.kind !== 'rates') return arrivals;
  const ratesPerSec = arrivals.ratesPerSec ?? loadRates(resolved(arrivals.file!));
  return { kind: 'rates', ratesPerSec, repeat: true };
}

/** Logs are read once; generated series are made anew for each seed. */
function networkSpecs(
  { network, durationSec }: Scenario,
  resolved: (path: string) => string,
): (seed: number) => NetworkSpec {
  const { mode, clients, scale, fades } = network;
  if (mode === 'none') return () => ({ mode });
  const load = mode === 'subtracted' ? loadAuthorsTrace : loadTrace;
  const logs = network.log === undefined ? null : [network.log].flat().map((path) => load(resolved(path)));
  const seconds = Math.ceil(durationSec) + 60;

  const traceOf = (client: number, seed: number): BandwidthTrace => {
    if (logs === null) {
      const prng = stream(seed, `bandwidth of client ${client}`);
      const options = { seconds, meanScale: scale, ...(fades === undefined ? {} : { fades }) };
      return BandwidthTrace.even(1000, lteBandwidth(prng, options));
    }
    const log = logs[client % logs.length]!.scaled(scale);
    // A client alone meets the log as it was recorded; several begin it anywhere.
    return clients === 1 ? log : log.startingAt(stream(seed, `offset of client ${client}`).uniform() * log.durationMs);
  };
  return (seed) => {
    const traces = Array.from({ length: clients }, (_, client) => traceOf(client, seed));
    if (mode === 'subtracted') return { mode, traces };
    const { propagationMs, replyBytes, clocks } = network;
    return { mode, traces, propagationMs, replyBytes, clocks: clocks ?? null };
  };
}

function environmentOf(scenario: Scenario, machine: Machine, name: string): Environment {
  const { cpu, scaler, worker } = scenario;
  return {
    machine,
    cpu: {
      limits: allocationLimits(scenario, machine, name),
      idleMillicores: millicores(cpu.idleCores),
      idleReleaseMs: cpu.idleRelease ? cpu.idleReleaseMs : null,
      interference: cpu.interference,
      maxBatchSize: cpu.maxBatch ?? largestMeasuredBatch(machine),
    },
    scaler,
    worker: {
      stagingMs: worker.stagingMs,
      restartMs: worker.restartMs,
      crashesAtMs: worker.crashesAtSec.map((atSec) => atSec * 1000),
      state: {
        slowSpells: worker.slow.map(({ atSec, forSec, factor }) => ({
          atMs: atSec * 1000,
          forMs: forSec * 1000,
          factor,
        })),
        drifts: worker.drift.map(({ atSec, overSec, factor }) => ({
          atMs: atSec * 1000,
          overMs: overSec * 1000,
          factor,
        })),
      },
    },
    timerLatenessMs: scenario.timerLatenessMs,
    queueLimit: scenario.queueLimit,
  };
}

/** The published tables are for 1 to 16 cores here; a measured profile is for what was measured. */
function allocationLimits({ cpu }: Scenario, { profile }: Machine, name: string): AllocationLimits {
  const measured = profile.cells.map((cell) => cell.cpuMillicores);
  const isPublished = profile.quality === 'published';
  const leastMillicores = isPublished ? 1000 : Math.min(...measured);
  const mostMillicores = isPublished ? 16_000 : Math.max(...measured);
  const minMillicores = cpu.minCores === undefined ? leastMillicores : millicores(cpu.minCores);
  const maxMillicores = cpu.maxCores === undefined ? mostMillicores : millicores(cpu.maxCores);
  const inCores = (value: number): number => value / 1000;
  if (maxMillicores < minMillicores) {
    throw new Error(`${name}: cpu.maxCores ${inCores(maxMillicores)} is below cpu.minCores ${inCores(minMillicores)}`);
  }
  if (!isPublished && maxMillicores > mostMillicores) {
    throw new Error(
      `${name}: cpu.maxCores ${inCores(maxMillicores)} is more than was measured; ` +
        `profile ${profile.name} goes up to ${inCores(mostMillicores)}`,
    );
  }
  if (millicores(cpu.idleCores) > minMillicores) {
    throw new Error(`${name}: cpu.idleCores ${cpu.idleCores} is above cpu.minCores ${inCores(minMillicores)}`);
  }
  const stepMillicores = millicores(cpu.stepCores);
  if ((maxMillicores - minMillicores) / stepMillicores > MOST_STEPS) {
    throw new Error(
      `${name}: cpu.stepCores ${cpu.stepCores} makes more than ${MOST_STEPS} allocations; take larger steps`,
    );
  }
  return { minMillicores, maxMillicores, stepMillicores };
}

function millicores(cores: number): number {
  return Math.round(cores * 1000);
}

/** 8 for YOLOv5s and 16 for the other published profiles, as in the authors' evaluation. */
function largestMeasuredBatch({ profile }: Machine): number {
  return Math.max(...profile.cells.map((cell) => cell.batchSize));
}

function middle(range: number | readonly [number, number]): number {
  return typeof range === 'number' ? range : (range[0] + range[1]) / 2;
}
