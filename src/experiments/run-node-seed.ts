import type { SimulatedPolicy } from '../sim/environment.js';
import { EventDigest } from '../sim/event-digest.js';
import { startNodeRun, type NodeReport } from '../sim/node-simulation.js';
import { feasibleViolationRate, violationRate } from '../sim/outcome-ledger.js';
import { bestSplit } from './best-split.js';
import { parseNodePolicy, sharingPolicies, splitPolicy, withCores } from './node-policies.js';
import {
  EVENTS_A_TURN,
  reference,
  resultOf,
  worldOf,
  type ReferenceResult,
  type SeedResult,
  type SeedWorld,
} from './run-seed.js';
import { modelSeed, type NodeSetup } from './scenarios/node-setup.js';
import { sumOrNull } from './summary.js';

/*
 * One policy of a node on one seed, judged: as `run-seed.ts`, each model and all together.
 */

export interface NodeWorld {
  readonly seed: number;
  /** By model. */
  readonly worlds: readonly SeedWorld[];
}

export function nodeWorldOf({ models }: NodeSetup, seed: number): NodeWorld {
  return { seed, worlds: models.map((model) => worldOf(model.setup, modelSeed(seed, model))) };
}

export function runNodeSeed(
  setup: NodeSetup,
  world: NodeWorld,
  policy: string,
  onProgress: (fraction: number) => void = () => undefined,
): SeedResult {
  const startedAtMs = performance.now();
  const shares = sharesOf(setup, world, policy);
  const simulated =
    shares === null
      ? sharingPolicies(policy, setup)
      : setup.models.map((model, index) =>
          splitPolicy(policy, withCores(model.setup, shares[index]!), world.worlds[index]!.seed),
        );
  const run = startNodeRun({
    budgetMillicores: setup.budgetMillicores,
    isShared: shares === null,
    seed: world.seed,
    models: setup.models.map((model, index) => ({
      ...world.worlds[index]!,
      ...model,
      environment: (shares === null ? model.setup : withCores(model.setup, shares[index]!)).environment,
      simulated: simulated[index]!,
    })),
  });
  while (run.advance(EVENTS_A_TURN)) onProgress(run.endedFraction);
  const report = run.report();
  const models = setup.models.map((model, index): SeedResult => ({
    ...resultOf(model.setup, world.worlds[index]!, policy, simulated[index]!, report.models[index]!, startedAtMs),
    seed: world.seed,
    model: model.name,
  }));
  const chosen = parseNodePolicy(policy).name === 'best-split' ? { chosen: sharesText(setup, shares!) } : {};
  return { ...together(models, report, simulated), ...chosen, wallMs: performance.now() - startedAtMs };
}

/** The least that each model needs by itself with a single instance, added up. */
export function nodeReference({ models }: NodeSetup, { seed, worlds }: NodeWorld): ReferenceResult {
  const each = models.map(({ setup }, index) => reference(setup, worlds[index]!));
  return {
    seed,
    coreSeconds: sumOrNull(each.map(({ coreSeconds }) => coreSeconds)),
    reason: models.map(({ name }, index) => reasonText(name, each[index]!)).find((reason) => reason !== null) ?? null,
    servableCoreSeconds: each.reduce((sum, { servableCoreSeconds }) => sum + servableCoreSeconds, 0),
    unavoidable: each.reduce((sum, { unavoidable }) => sum + unavoidable, 0),
  };
}

function reasonText(model: string, { reason }: ReferenceResult): string | null {
  return reason === null ? null : `${model}: ${reason}`;
}

/** By model, millicores; null where they share. */
function sharesOf(setup: NodeSetup, { worlds }: NodeWorld, policy: string): readonly number[] | null {
  switch (parseNodePolicy(policy).name) {
    case 'even-split':
      return setup.models.map(() => Math.floor(setup.budgetMillicores / setup.models.length));
    case 'best-split':
      return bestSplit(setup, worlds, policy);
    default:
      return null;
  }
}

function sharesText({ models }: NodeSetup, shares: readonly number[]): string {
  return models.map(({ name }, index) => `${name} ${shares[index]! / 1000}`).join(', ');
}

/** Counts and core-seconds are sums; what is held at once is the node's. */
function together(
  models: readonly SeedResult[],
  { allocation, durationMs }: NodeReport,
  simulated: readonly SimulatedPolicy[],
): SeedResult {
  const sum = (of: (result: SeedResult) => number): number => models.reduce((total, each) => total + of(each), 0);
  const counts = {
    sent: sum(({ sent }) => sent),
    onTime: sum(({ onTime }) => onTime),
    late: sum(({ late }) => late),
    rejectedInfeasible: sum(({ rejectedInfeasible }) => rejectedInfeasible),
    rejectedOverload: sum(({ rejectedOverload }) => rejectedOverload),
    expired: sum(({ expired }) => expired),
    cancelled: sum(({ cancelled }) => cancelled),
    failed: sum(({ failed }) => failed),
    infeasibleOnArrival: sum(({ infeasibleOnArrival }) => infeasibleOnArrival),
    infeasibleOnTime: sum(({ infeasibleOnTime }) => infeasibleOnTime),
  };
  const { policy, seed } = models[0]!;
  const digest = new EventDigest();
  for (const { eventHash } of models) digest.addText(eventHash);
  return {
    policy,
    seed,
    models,
    ...counts,
    violationRate: violationRate(counts),
    violationRateFeasible: feasibleViolationRate(counts),
    durationSec: durationMs / 1000,
    coreSeconds: allocation.coreSeconds,
    grantedCoreSeconds: allocation.grantedCoreSeconds,
    cpuSecondsUsed: sum(({ cpuSecondsUsed }) => cpuSecondsUsed),
    boundCoreSeconds: sumOrNull(models.map(({ boundCoreSeconds }) => boundCoreSeconds)),
    instances: simulated.reduce((total, { instances = 1 }) => total + instances, 0),
    instanceReference: referenceOf(models, seed),
    restingFloorCoreSeconds: sum(({ restingFloorCoreSeconds }) => restingFloorCoreSeconds),
    resizes: allocation.resizes,
    batches: sum(({ batches }) => batches),
    batchedRequests: sum(({ batchedRequests }) => batchedRequests),
    eventHash: digest.text,
    wallMs: 0,
    heldMs: allocation.heldMs,
    coresBySecond: allocation.coresBySecond,
    sentBySecond: bySecond(models.map(({ sentBySecond }) => sentBySecond)),
    violatedBySecond: bySecond(models.map(({ violatedBySecond }) => violatedBySecond)),
    latenciesMs: Float64Array.from(models.flatMap(({ latenciesMs }) => [...latenciesMs])),
  };
}

/** Of all models where each has several instances; one that has a single one needs what the scenario's reference says. */
function referenceOf(models: readonly SeedResult[], seed: number): ReferenceResult | null {
  const each = models.map(({ instanceReference }) => instanceReference);
  if (each.some((reference) => reference === null)) return null;
  return {
    seed,
    coreSeconds: sumOrNull(each.map((reference) => reference!.coreSeconds)),
    reason: each.find((reference) => reference!.reason !== null)?.reason ?? null,
    servableCoreSeconds: each.reduce((sum, reference) => sum + reference!.servableCoreSeconds, 0),
    unavoidable: each.reduce((sum, reference) => sum + reference!.unavoidable, 0),
  };
}

function bySecond(columns: readonly (readonly number[])[]): readonly number[] {
  const seconds = Math.max(...columns.map(({ length }) => length));
  return Array.from({ length: seconds }, (_, second) =>
    columns.reduce((sum, column) => sum + (column[second] ?? 0), 0),
  );
}
