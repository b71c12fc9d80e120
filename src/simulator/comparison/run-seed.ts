import { allocationAt, stepCount } from '../../scheduler/controlplane/solver.js';
import type { Event } from '../../scheduler/domain/event.js';
import { fluidBound, unitJobsOnTime, type WindowedWork } from '../clairvoyant/fluid-bound.js';
import {
  powerCurve,
  replicatedPowerCurve,
  upToCores,
  type PowerCurve,
} from '../../scheduler/perf-model/power-curve.js';
import { feasibleViolationRate, violationRate, type OutcomeCounts } from '../sim/outcome-ledger.js';
import { meanMultiplier, slownessAt } from '../sim/service-noise.js';
import type { RunReport, SimulatedPolicy } from '../sim/environment.js';
import { startRun } from '../sim/simulation.js';
import type { Workload } from '../workloads/workload.js';
import { bestStatic } from './best-static.js';
import type { AccuracyResult } from './run-variants-seed.js';
import { policyFor, BEST_STATIC } from '../policies/policies.js';
import type { ScenarioSetup } from '../scenarios/setup.js';

/*
 * One policy on one seed of a scenario, judged: the run, and the bound for what it answered on time. Self-contained and
 * plain data in and out, so that runs can be spread over threads.
 */

/** Plain data: crosses threads, and is written to JSON but for the columns. */
export interface SeedResult extends OutcomeCounts {
  readonly policy: string;
  /** Whose part of a node's result it is. */
  readonly model?: string;
  /** Of a node: the result of each model; all else is of all together. */
  readonly models?: readonly SeedResult[];
  readonly seed: number;
  readonly infeasibleOnArrival: number;
  readonly infeasibleOnTime: number;
  readonly violationRate: number;
  readonly violationRateFeasible: number;
  readonly durationSec: number;
  readonly coreSeconds: number;
  readonly grantedCoreSeconds: number;
  readonly cpuSecondsUsed: number;
  /** Null where no batch ran. */
  readonly boundCoreSeconds: number | null;
  /** Warm instances that it had, each with an allocation of its own; 1 for all others. */
  readonly instances: number;
  /** What so many instances need at least, before anyone has run: as `ReferenceResult`. */
  readonly instanceReference: ReferenceResult | null;
  /** What charging 0.05 core for each instance that rests would add, where it holds less. */
  readonly restingFloorCoreSeconds: number;
  readonly resizes: number;
  /** Of a pipeline: what was done for whom, and what its bound is at the mean service time. */
  readonly work?: PipelineWork;
  readonly batches: number;
  readonly batchedRequests: number;
  readonly eventHash: string;
  /** Of a model with variants. */
  readonly accuracy?: AccuracyResult;
  /** What a policy in hindsight chose. */
  readonly chosen?: string;
  readonly wallMs: number;
  readonly heldMs: RunReport['allocation']['heldMs'];
  readonly coresBySecond: readonly number[];
  readonly sentBySecond: readonly number[];
  readonly violatedBySecond: readonly number[];
  /** As they ended. */
  readonly latenciesMs: Float64Array;
}

/** Sums of core-seconds; a function's thread is one core. */
export interface PipelineWork {
  /** Of batches and functions, in all; of these for requests that were not answered in time; and of functions. */
  readonly workCoreSeconds: number;
  readonly lostCoreSeconds: number;
  readonly functionSeconds: number;
  /** The least for what was answered on time, at the mean service time. */
  readonly meanBoundCoreSeconds: number;
}

export interface ReferenceResult {
  readonly seed: number;
  readonly coreSeconds: number | null;
  /** Why there is none. */
  readonly reason: string | null;
  /** The same for all the work that can be done by the deadlines: `coreSeconds` where that is all of it. */
  readonly servableCoreSeconds: number;
  /** Feasible requests that nobody can answer in time at the mean service time: an upper bound on what can be, taken from all. */
  readonly unavoidable: number;
}

/** A workload and what is known of it before any policy has seen it. */
export interface SeedWorld {
  readonly seed: number;
  readonly workload: Workload;
  /** 1 for each request that no allocation can answer in time. */
  readonly infeasible: Uint8Array;
}

export function worldOf(setup: ScenarioSetup, seed: number): SeedWorld {
  const workload = setup.workload(seed);
  return { seed, workload, infeasible: infeasibleOnArrival(setup, workload) };
}

/** @param onProgress told now and then of the share that is done */
export function runSeed(
  setup: ScenarioSetup,
  world: SeedWorld,
  policy: string,
  onProgress: (fraction: number) => void = () => undefined,
): SeedResult {
  const startedAtMs = performance.now();
  if (policy === BEST_STATIC) {
    // A search of unknown length: it has no share to tell before its end.
    const { chosen, simulated, report } = bestStatic(setup, world.seed, (candidate) =>
      runPolicy(setup, world, candidate),
    );
    return { ...resultOf(setup, world, policy, simulated, report, startedAtMs), chosen };
  }
  const simulated = policyFor(policy, setup, world.seed);
  return resultOf(setup, world, policy, simulated, runPolicy(setup, world, simulated, onProgress), startedAtMs);
}

/** What a warm instance costs that rests, whatever its quota says: its thread, its wake-ups. */
const RESTING_FLOOR_CORES = 0.05;

/** Few enough for a smooth progress bar, enough to cost nothing. */
export const EVENTS_A_TURN = 200_000;

/** @param onEvent told of everything that happens in the system */
export function runPolicy(
  { environment }: ScenarioSetup,
  { workload, infeasible, seed }: SeedWorld,
  simulated: SimulatedPolicy,
  onProgress: (fraction: number) => void = () => undefined,
  onEvent?: (event: Event) => void,
): RunReport {
  const run = startRun(environment, workload, infeasible, simulated, seed, onEvent);
  while (run.advance(EVENTS_A_TURN)) onProgress(run.endedFraction);
  return run.report();
}

export function resultOf(
  setup: ScenarioSetup,
  world: SeedWorld,
  policy: string,
  simulated: SimulatedPolicy,
  report: RunReport,
  startedAtMs: number,
): SeedResult {
  const { outcomes, allocation } = report;
  return {
    policy,
    seed: world.seed,
    sent: outcomes.sent,
    onTime: outcomes.onTime,
    late: outcomes.late,
    rejectedInfeasible: outcomes.rejectedInfeasible,
    rejectedOverload: outcomes.rejectedOverload,
    expired: outcomes.expired,
    cancelled: outcomes.cancelled,
    failed: outcomes.failed,
    infeasibleOnArrival: outcomes.infeasibleOnArrival,
    infeasibleOnTime: outcomes.infeasibleOnTime,
    violationRate: violationRate(outcomes),
    violationRateFeasible: feasibleViolationRate(outcomes),
    durationSec: report.durationMs / 1000,
    coreSeconds: allocation.coreSeconds,
    grantedCoreSeconds: allocation.grantedCoreSeconds,
    cpuSecondsUsed: report.cpuSecondsUsed,
    boundCoreSeconds: boundCoreSeconds(setup, world.workload, simulated, report),
    instances: simulated.instances ?? 1,
    instanceReference: (simulated.instances ?? 1) > 1 ? reference(setup, world, simulated.instances) : null,
    restingFloorCoreSeconds:
      Math.max(0, RESTING_FLOOR_CORES - setup.environment.cpu.idleMillicores / 1000) * report.restingSeconds,
    resizes: allocation.resizes,
    batches: report.batches,
    batchedRequests: Math.round(report.batches * report.meanBatchSize),
    eventHash: report.eventHash,
    wallMs: performance.now() - startedAtMs,
    heldMs: allocation.heldMs,
    coresBySecond: allocation.coresBySecond,
    sentBySecond: outcomes.sentBySecond,
    violatedBySecond: outcomes.violatedBySecond,
    latenciesMs: outcomes.latenciesMs,
  };
}

// ---- what nobody can do better ---------------------------------------------------------------------------------------

/** Those that even alone, at the largest allocation and the mean service time, would be answered too late. */
function infeasibleOnArrival({ machine, environment }: ScenarioSetup, workload: Workload): Uint8Array {
  const aloneMs =
    machine.curve.latencyMs(1, environment.cpu.limits.maxMillicores) * meanMultiplier(machine.logDeviation);
  return Uint8Array.from(workload.receivedAtMs, (atMs, i) =>
    Number(atMs + aloneMs * slownessAt(environment.worker.state, atMs) > workload.latestFinishAtMs[i]!),
  );
}

/**
 * The least core-seconds at which all feasible requests can be answered on time, at the mean service time of the moment in
 * which each is received; any single instance, or so many of them, the idle floor of each included.
 */
export function reference(setup: ScenarioSetup, world: SeedWorld, instances = 1): ReferenceResult {
  const { work, curve } = demandOf(setup, world, instances);
  const bound = fluidBound(curve, work, world.workload.durationMs);
  const { coreSeconds: servableCoreSeconds } = bound;
  const { seed } = world;
  if (bound.kind === 'feasible') {
    return { seed, coreSeconds: servableCoreSeconds, reason: null, servableCoreSeconds, unavoidable: 0 };
  }
  const unavoidable = work.work.length - unitJobsOnTime(curve.ratesPerMs.at(-1)!, work);
  return { seed, coreSeconds: null, reason: bound.reason, servableCoreSeconds, unavoidable };
}

/** All feasible requests as work at the mean service time, and what so many instances need for a rate of it. */
export function demandOf(
  setup: ScenarioSetup,
  { workload, infeasible }: SeedWorld,
  instances: number,
): { readonly work: WindowedWork; readonly curve: PowerCurve } {
  const { machine, environment } = setup;
  const mean = meanMultiplier(machine.logDeviation);
  const work = windows(
    workload,
    (i) => infeasible[i] === 0 && workload.leavesAtMs[i] === Infinity,
    (i) => mean * slownessAt(environment.worker.state, workload.receivedAtMs[i]!),
  );
  return { work, curve: instancesCurve(setup, environment.cpu.limits.minMillicores, instances) };
}

/** For the requests that a run answered on time, at the least service time that it met: true for whatever might have served them. */
function boundCoreSeconds(
  setup: ScenarioSetup,
  workload: Workload,
  simulated: SimulatedPolicy,
  report: RunReport,
): number | null {
  if (report.batches === 0) return null;
  const { isOnTime } = report.outcomes;
  const work = windows(
    workload,
    (i) => isOnTime[i] === 1,
    () => report.leastMultiplier,
  );
  const bound = fluidBound(curveOf(setup, simulated, report), work, workload.durationMs);
  // It served them, so they can be served; what is left is the rounding of a window that was used up to its end.
  return bound.kind === 'feasible' ? bound.coreSeconds : null;
}

function curveOf(setup: ScenarioSetup, simulated: SimulatedPolicy, report: RunReport): PowerCurve {
  const { horizontal, instances = 1 } = simulated;
  if (horizontal === undefined) return instancesCurve(setup, report.leastRunningMillicores, instances);
  const { heldMs } = report.allocation;
  const mostMillicores = heldMs.at(-1)![0];
  const most = Math.max(1, Math.ceil(mostMillicores / horizontal.limits.minMillicores));
  return replicatedPowerCurve(singleCurve(setup, report.leastRunningMillicores, horizontal.limits), most);
}

/** So many warm instances share the machine's cores, each resized by itself. */
export function instancesCurve(setup: ScenarioSetup, leastMillicores: number, instances: number): PowerCurve {
  const single = singleCurve(setup, leastMillicores);
  if (instances === 1) return single;
  const { maxMillicores } = setup.environment.cpu.limits;
  return upToCores(replicatedPowerCurve(single, instances, instances), maxMillicores / 1000);
}

/** @param leastMillicores that a batch ran on; the grid begins there where it is less than it should be */
export function singleCurve(
  { machine, environment }: ScenarioSetup,
  leastMillicores: number,
  limits = environment.cpu.limits,
): PowerCurve {
  const { cpu } = environment;
  const allocations = Array.from({ length: stepCount(limits) }, (_, step) => allocationAt(limits, step));
  if (leastMillicores < limits.minMillicores) allocations.push(leastMillicores);
  return powerCurve({
    latencyMs: (batchSize, cpuMillicores) => machine.curve.latencyMs(batchSize, cpuMillicores),
    maxBatchSize: cpu.maxBatchSize,
    allocations,
    idleMillicores: cpu.idleReleaseMs === null ? limits.minMillicores : cpu.idleMillicores,
  });
}

function windows(
  { count, receivedAtMs, latestFinishAtMs }: Workload,
  isCounted: (index: number) => boolean,
  workOf: (index: number) => number,
): WindowedWork {
  const counted = Array.from({ length: count }, (_, index) => index).filter(isCounted);
  return {
    releaseAtMs: Float64Array.from(counted, (index) => receivedAtMs[index]!),
    dueAtMs: Float64Array.from(counted, (index) => latestFinishAtMs[index]!),
    work: Float64Array.from(counted, workOf),
  };
}
