import { slopeFrom } from '../../scheduler/perf-model/power-curve.js';
import { nodeOnTime } from '../clairvoyant/node-bound.js';
import { EventDigest } from '../sim/event-digest.js';
import { startNodeRun, type NodeReport, type SimulatedNode, type SimulatedNodeModel } from '../sim/node-simulation.js';
import { feasibleViolationRate, violationRate } from '../sim/outcome-ledger.js';
import { bestSplit } from './best-split.js';
import { parseNodePolicy, sharingPolicies, splitPolicy, withCores } from '../policies/node-policies.js';
import {
  demandOf,
  EVENTS_A_TURN,
  reference,
  resultOf,
  worldOf,
  type ReferenceResult,
  type SeedResult,
  type SeedWorld,
} from './run-seed.js';
import { modelSeed, type NodeSetup } from '../scenarios/node-setup.js';
import { sumOrNull } from '../../scheduler/domain/sum-or-null.js';

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
  const { node, shares } = simulatedNode(setup, world, policy);
  const run = startNodeRun(node);
  while (run.advance(EVENTS_A_TURN)) onProgress(run.endedFraction);
  const report = run.report();
  const models = setup.models.map((model, index): SeedResult => ({
    ...resultOf(
      model.setup,
      world.worlds[index]!,
      policy,
      node.models[index]!.simulated,
      report.models[index]!,
      startedAtMs,
    ),
    seed: world.seed,
    model: model.name,
  }));
  const whole = {
    ...together(models, report, node.models),
    instanceReference: instanceReference(setup, world, models),
  };
  const chosen = parseNodePolicy(policy).cores === 'best' ? { chosen: sharesText(setup, shares!) } : {};
  return { ...whole, ...chosen, wallMs: performance.now() - startedAtMs };
}

/** What is run, with policies made anew; `shares` as `sharesOf`. */
export function simulatedNode(
  setup: NodeSetup,
  world: NodeWorld,
  policy: string,
): { readonly node: SimulatedNode; readonly shares: readonly number[] | null } {
  const shares = sharesOf(setup, world, policy);
  const models = setup.models.map((model, index) => ({
    ...model,
    setup: shares === null ? model.setup : withCores(model.setup, shares[index]!),
  }));
  const simulated =
    shares === null
      ? sharingPolicies(policy, setup, world.seed)
      : models.map((model, index) => splitPolicy(policy, model.setup, world.worlds[index]!.seed));
  const node: SimulatedNode = {
    budgetMillicores: setup.budgetMillicores,
    isShared: shares === null,
    seed: world.seed,
    models: models.map((model, index) => ({
      ...world.worlds[index]!,
      ...model,
      environment: model.setup.environment,
      simulated: simulated[index]!,
    })),
  };
  return { node, shares };
}

/** The least that each model needs by itself with a single instance, added up. */
export function nodeReference(setup: NodeSetup, world: NodeWorld): ReferenceResult {
  const each = setup.models.map((model, index) => reference(model.setup, world.worlds[index]!));
  return referenceOf(setup, world, each);
}

/** Of so many instances of each model: what they need is added up, and no more are answered in time than all cores together can. */
function referenceOf(
  setup: NodeSetup,
  world: NodeWorld,
  each: readonly ReferenceResult[],
  instances?: readonly number[],
): ReferenceResult {
  const { models } = setup;
  const alone = each.reduce((sum, { unavoidable }) => sum + unavoidable, 0);
  return {
    seed: world.seed,
    coreSeconds: sumOrNull(each.map(({ coreSeconds }) => coreSeconds)),
    reason: models.map(({ name }, index) => reasonText(name, each[index]!)).find((reason) => reason !== null) ?? null,
    servableCoreSeconds: each.reduce((sum, { servableCoreSeconds }) => sum + servableCoreSeconds, 0),
    unavoidable: Math.max(alone, unavoidableTogether(setup, world, instances ?? models.map(() => 1))),
  };
}

/** Feasible requests of all models that so many instances of each cannot answer in time on the node's cores. */
function unavoidableTogether(
  { models, budgetMillicores }: NodeSetup,
  { worlds }: NodeWorld,
  instances: readonly number[],
): number {
  const demands = models.map(({ setup }, index) => {
    const { work, curve } = demandOf(setup, worlds[index]!, instances[index]!);
    return { work, leastCoreMs: slopeFrom(curve, 0), idleCores: curve.idleCores };
  });
  const count = demands.reduce((sum, { work }) => sum + work.work.length, 0);
  return count - nodeOnTime(demands, budgetMillicores / 1000);
}

function reasonText(model: string, { reason }: ReferenceResult): string | null {
  return reason === null ? null : `${model}: ${reason}`;
}

/** By model, millicores; null where they share. */
function sharesOf(setup: NodeSetup, { worlds }: NodeWorld, policy: string): readonly number[] | null {
  switch (parseNodePolicy(policy).cores) {
    case 'even':
      return evenSplit(setup, policy);
    case 'best':
      return bestSplit(setup, worlds, policy);
    case 'shared':
      return null;
  }
}

function evenSplit({ budgetMillicores, models }: NodeSetup, policy: string): readonly number[] {
  const share = Math.floor(budgetMillicores / models.length);
  const { leastMillicores } = parseNodePolicy(policy);
  if (share < leastMillicores)
    throw new Error(
      `policy ${policy}: a share of ${share / 1000} cores is less than the ${leastMillicores / 1000} of one instance`,
    );
  return models.map(() => share);
}

function sharesText({ models }: NodeSetup, shares: readonly number[]): string {
  return models.map(({ name }, index) => `${name} ${shares[index]! / 1000}`).join(', ');
}

/** For as many warm instances as each model has; null where all have a single one, as the scenario's own reference is of that. */
function instanceReference(setup: NodeSetup, world: NodeWorld, models: readonly SeedResult[]): ReferenceResult | null {
  const instances = models.map((each) => each.instances);
  if (instances.every((count) => count === 1)) return null;
  const each = models.map(
    (result, index) => result.instanceReference ?? reference(setup.models[index]!.setup, world.worlds[index]!),
  );
  return referenceOf(setup, world, each, instances);
}

/** Counts and core-seconds are sums; what is held at once is the node's. */
function together(
  models: readonly SeedResult[],
  { allocation, durationMs }: NodeReport,
  simulated: readonly Pick<SimulatedNodeModel, 'simulated'>[],
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
    instances: simulated.reduce((total, { simulated: { instances = 1 } }) => total + instances, 0),
    instanceReference: null,
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

function bySecond(columns: readonly (readonly number[])[]): readonly number[] {
  const seconds = Math.max(...columns.map(({ length }) => length));
  return Array.from({ length: seconds }, (_, second) =>
    columns.reduce((sum, column) => sum + (column[second] ?? 0), 0),
  );
}
