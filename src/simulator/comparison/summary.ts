import { EventDigest } from '../sim/event-digest.js';
import { feasibleViolationRate, violationRate, type OutcomeCounts } from '../sim/outcome-ledger.js';
import { quantile } from '../../scheduler/perf-model/quantile.js';
import type { PipelineWork, ReferenceResult, SeedResult } from './run-seed.js';
import type { AccuracyResult } from './run-variants-seed.js';
import { sumOrNull } from '../../scheduler/domain/sum-or-null.js';

/*
 * From seeds to one line a policy: counts and core-seconds are sums, quantiles are pooled. The JSON of `sponge simulate` is
 * this as it stands.
 */

export interface PerSeed extends OutcomeCounts {
  readonly seed: number;
  readonly infeasibleOnArrival: number;
  readonly violationRate: number;
  readonly violationRateFeasible: number;
  readonly meanCores: number;
  readonly coreSeconds: number;
  readonly boundCoreSeconds: number | null;
  readonly durationSec: number;
  readonly eventHash: string;
  /** What a policy in hindsight chose for this seed. */
  readonly chosen?: string;
}

export interface PolicySummary extends OutcomeCounts {
  readonly policy: string;
  /** Of a node: whose part it is, or each model's part of the whole. */
  readonly model?: string;
  readonly models?: readonly PolicySummary[];
  readonly infeasibleOnArrival: number;
  readonly violationRate: number;
  readonly violationRateFeasible: number;
  /** 95 % (Wilson), as if requests were independent; they come in clusters, so look at the spread over seeds too. */
  readonly violationRateFeasible95: readonly [number, number];
  readonly meanCores: number;
  readonly p99Cores: number;
  readonly peakCores: number;
  readonly coreSeconds: number;
  readonly grantedCoreSeconds: number;
  readonly cpuSecondsUsed: number;
  readonly boundCoreSeconds: number | null;
  /** Warm instances, each with an allocation of its own; 1 for all other policies. */
  readonly instances: number;
  /** What so many instances need at least; null for a single one (the scenario's reference), or where there is none. */
  readonly instanceReferenceCoreSeconds: number | null;
  /** Feasible requests that so many instances cannot answer in time: an upper bound on what can be, taken from all. */
  readonly unavoidable: number;
  /** With 0.05 core charged for each instance that rests, where it holds less. */
  readonly coreSecondsWithFloor: number;
  /** Of a model with variants; null where nothing was answered in time. */
  readonly meanAccuracy?: number | null;
  /** Accuracy of all answers in time over the most that anybody could have had. */
  readonly accuracyToMost?: number;
  readonly answered?: AccuracyResult['answered'];
  readonly resizes: number;
  /** Of a pipeline. */
  readonly work?: PipelineWork;
  readonly meanBatch: number;
  readonly latencyMs: { readonly p50: number | null; readonly p95: number | null; readonly p99: number | null };
  readonly perSeed: readonly PerSeed[];
}

export interface SimulationSummary {
  readonly scenario: string;
  readonly seed: number;
  readonly seeds: number;
  readonly policies: readonly PolicySummary[];
  readonly referenceCoreSeconds: number | null;
  /** Why there is none. */
  readonly referenceReason: string | null;
  readonly eventHash: string;
  readonly wallSeconds: number;
  readonly simulatedRequestsPerSec: number;
}

/** @param results of one policy, a seed each */
export function summarisePolicy(results: readonly SeedResult[]): PolicySummary {
  const sum = (of: (result: SeedResult) => number): number => results.reduce((total, result) => total + of(result), 0);
  const counts = {
    sent: sum((result) => result.sent),
    onTime: sum((result) => result.onTime),
    late: sum((result) => result.late),
    rejectedInfeasible: sum((result) => result.rejectedInfeasible),
    rejectedOverload: sum((result) => result.rejectedOverload),
    expired: sum((result) => result.expired),
    cancelled: sum((result) => result.cancelled),
    failed: sum((result) => result.failed),
  };
  const infeasible = {
    infeasibleOnArrival: sum((result) => result.infeasibleOnArrival),
    infeasibleOnTime: sum((result) => result.infeasibleOnTime),
  };
  const coreSeconds = sum((result) => result.coreSeconds);
  const batches = sum((result) => result.batches);
  const held = pooledHeld(results);
  const latencies = pooledLatencies(results);
  const latencyAt = (q: number): number | null => (latencies.length === 0 ? null : quantile(latencies, q));
  const due = counts.sent - counts.cancelled - infeasible.infeasibleOnArrival;
  const { policy, model, models } = results[0]!;
  return {
    policy,
    ...(model === undefined ? {} : { model }),
    ...counts,
    infeasibleOnArrival: infeasible.infeasibleOnArrival,
    violationRate: violationRate(counts),
    violationRateFeasible: feasibleViolationRate({ ...counts, ...infeasible }),
    violationRateFeasible95: wilson95(due - (counts.onTime - infeasible.infeasibleOnTime), due),
    meanCores: coreSeconds / sum((result) => result.durationSec),
    p99Cores: heldQuantile(held, 0.99),
    peakCores: (held.at(-1)?.[0] ?? 0) / 1000,
    coreSeconds,
    grantedCoreSeconds: sum((result) => result.grantedCoreSeconds),
    cpuSecondsUsed: sum((result) => result.cpuSecondsUsed),
    boundCoreSeconds: sumOrNull(results.map((result) => result.boundCoreSeconds)),
    instances: results[0]!.instances,
    instanceReferenceCoreSeconds: sumOrNull(results.map((result) => result.instanceReference?.coreSeconds ?? null)),
    unavoidable: sum((result) => result.instanceReference?.unavoidable ?? 0),
    coreSecondsWithFloor: coreSeconds + sum((result) => result.restingFloorCoreSeconds),
    resizes: sum((result) => result.resizes),
    ...workOf(results),
    meanBatch: batches === 0 ? 0 : sum((result) => result.batchedRequests) / batches,
    latencyMs: { p50: latencyAt(0.5), p95: latencyAt(0.95), p99: latencyAt(0.99) },
    perSeed: results.map(perSeed),
    ...accuracyOf(results),
    ...(models === undefined
      ? {}
      : { models: models.map((_, index) => summarisePolicy(results.map((result) => result.models![index]!))) }),
  };
}

function workOf(results: readonly SeedResult[]): { readonly work?: PipelineWork } {
  if (results[0]!.work === undefined) return {};
  const sum = (of: (work: PipelineWork) => number): number => results.reduce((total, { work }) => total + of(work!), 0);
  return {
    work: {
      workCoreSeconds: sum(({ workCoreSeconds }) => workCoreSeconds),
      lostCoreSeconds: sum(({ lostCoreSeconds }) => lostCoreSeconds),
      functionSeconds: sum(({ functionSeconds }) => functionSeconds),
      meanBoundCoreSeconds: sum(({ meanBoundCoreSeconds }) => meanBoundCoreSeconds),
    },
  };
}

function accuracyOf(
  results: readonly SeedResult[],
): Pick<PolicySummary, 'meanAccuracy' | 'accuracyToMost' | 'answered'> {
  const all = results.flatMap(({ accuracy }) => (accuracy === undefined ? [] : [accuracy]));
  if (all.length === 0) return {};
  const sum = (of: (each: AccuracyResult) => number): number => all.reduce((total, each) => total + of(each), 0);
  const answered = all[0]!.answered.map(({ variant }, level) => ({
    variant,
    onTime: sum((each) => each.answered[level]!.onTime),
  }));
  const onTime = answered.reduce((total, each) => total + each.onTime, 0);
  return {
    meanAccuracy: onTime === 0 ? null : sum(({ accuracySum }) => accuracySum) / onTime,
    accuracyToMost: sum(({ accuracySum }) => accuracySum) / sum(({ mostAccuracySum }) => mostAccuracySum),
    answered,
  };
}

function perSeed(result: SeedResult): PerSeed {
  const { seed, sent, onTime, late, rejectedInfeasible, rejectedOverload, expired, cancelled, failed } = result;
  return {
    seed,
    sent,
    onTime,
    late,
    rejectedInfeasible,
    rejectedOverload,
    expired,
    cancelled,
    failed,
    infeasibleOnArrival: result.infeasibleOnArrival,
    violationRate: result.violationRate,
    violationRateFeasible: result.violationRateFeasible,
    meanCores: result.coreSeconds / result.durationSec,
    coreSeconds: result.coreSeconds,
    boundCoreSeconds: result.boundCoreSeconds,
    durationSec: result.durationSec,
    eventHash: result.eventHash,
    ...(result.chosen === undefined ? {} : { chosen: result.chosen }),
  };
}

export interface SummaryOptions {
  readonly scenario: string;
  readonly seed: number;
  readonly seeds: number;
  /** Policy by policy, seed by seed. */
  readonly results: readonly (readonly SeedResult[])[];
  readonly references: readonly ReferenceResult[];
  readonly wallSeconds: number;
}

export function summarise({
  scenario,
  seed,
  seeds,
  results,
  references,
  wallSeconds,
}: SummaryOptions): SimulationSummary {
  const digest = new EventDigest();
  for (const { policy, seed: ofSeed, eventHash } of results.flat()) {
    digest.addText(policy);
    digest.add(ofSeed);
    digest.addText(eventHash);
  }
  const simulated = results.flat().reduce((total, { sent }) => total + sent, 0);
  return {
    scenario,
    seed,
    seeds,
    policies: results.map(summarisePolicy),
    referenceCoreSeconds: sumOrNull(references.map(({ coreSeconds }) => coreSeconds)),
    referenceReason: reasonOf(references),
    eventHash: digest.text,
    wallSeconds,
    simulatedRequestsPerSec: simulated / wallSeconds,
  };
}

/** Of the first seed that has none. */
function reasonOf(references: readonly ReferenceResult[]): string | null {
  const without = references.find(({ reason }) => reason !== null);
  return without === undefined ? null : `seed ${without.seed}: ${without.reason!}`;
}

/** The score interval for a share of `hits` in `count` (Wilson, 1927). */
export function wilson95(hits: number, count: number): readonly [number, number] {
  if (count === 0) return [0, 1];
  const z = 1.959964;
  const share = hits / count;
  const centre = share + (z * z) / (2 * count);
  const half = z * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count));
  const scale = 1 + (z * z) / count;
  return [Math.max(0, (centre - half) / scale), Math.min(1, (centre + half) / scale)];
}

function pooledLatencies(results: readonly SeedResult[]): Float64Array {
  const pooled = new Float64Array(results.reduce((total, { latenciesMs }) => total + latenciesMs.length, 0));
  let offset = 0;
  for (const { latenciesMs } of results) {
    pooled.set(latenciesMs, offset);
    offset += latenciesMs.length;
  }
  return pooled.sort();
}

type Held = readonly (readonly [millicores: number, durationMs: number])[];

function pooledHeld(results: readonly SeedResult[]): Held {
  const pooled = new Map<number, number>();
  for (const { heldMs } of results) {
    for (const [millicores, durationMs] of heldMs) pooled.set(millicores, (pooled.get(millicores) ?? 0) + durationMs);
  }
  return [...pooled].sort(([a], [b]) => a - b);
}

/** The least allocation, in cores, that was enough for this share of the time. */
function heldQuantile(held: Held, q: number): number {
  const totalMs = held.reduce((sum, [, durationMs]) => sum + durationMs, 0);
  let coveredMs = 0;
  for (const [millicores, durationMs] of held) {
    coveredMs += durationMs;
    if (coveredMs >= q * totalMs) return millicores / 1000;
  }
  return 0;
}
