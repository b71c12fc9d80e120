import { stream } from '../../scheduler/random/streams.js';
import { mostAccuracy } from '../clairvoyant/variants-bound.js';
import { unitJobsOnTime, type WindowedWork } from '../clairvoyant/fluid-bound.js';
import { policyFor } from '../policies/policies.js';
import { variantsPolicy, type VariantsPolicy } from '../policies/variants-policies.js';
import { leastCoreMs } from '../scenarios/node-setup.js';
import { variantSeed, type VariantsSetup } from '../scenarios/variants-setup.js';
import { EventDigest } from '../sim/event-digest.js';
import { startNodeRun, type SimulatedNode } from '../sim/node-simulation.js';
import { feasibleViolationRate, OutcomeLedger, violationRate, type OutcomeReport } from '../sim/outcome-ledger.js';
import { meanMultiplier, ServiceNoise, slownessAt } from '../sim/service-noise.js';
import { feed, shapeClassOf } from '../sim/simulated-model.js';
import { clockOf, runOf } from '../sim/simulation.js';
import { AnswerCounts } from '../variants/answer-counts.js';
import { SlackPool } from '../variants/slack-pool.js';
import { VariantsFront } from '../variants/variants-front.js';
import type { Workload } from '../workloads/workload.js';
import { EVENTS_A_TURN, type ReferenceResult, type SeedResult } from './run-seed.js';

/*
 * One policy of a model with variants on one seed, judged: as `run-seed.ts`, and by the accuracy of what was answered in time.
 */

export interface VariantsWorld {
  readonly seed: number;
  readonly workload: Workload;
  /** 1 for each request that no variant can answer in time on all cores. */
  readonly infeasible: Uint8Array;
}

/** What answers were worth. */
export interface AccuracyResult {
  /** Over answers in time. */
  readonly accuracySum: number;
  /** The most that anybody could have had, over all feasible requests. */
  readonly mostAccuracySum: number;
  /** By variant, ascending accuracy: answers in time. */
  readonly answered: readonly { readonly variant: string; readonly onTime: number }[];
  /** Answers that are of another variant than the one before. */
  readonly changes: number;
}

export function variantsWorldOf(setup: VariantsSetup, seed: number): VariantsWorld {
  const workload = setup.workload(seed);
  const fastestMs = Math.min(
    ...setup.variants.map(({ setup: { machine, environment } }) =>
      machine.curve.latencyMs(1, environment.cpu.limits.maxMillicores),
    ),
  );
  const { machine, environment } = setup.variants[0]!.setup;
  const aloneMs = fastestMs * meanMultiplier(machine.logDeviation);
  const infeasible = Uint8Array.from(workload.receivedAtMs, (atMs, index) =>
    Number(atMs + aloneMs * slownessAt(environment.worker.state, atMs) > workload.latestFinishAtMs[index]!),
  );
  return { seed, workload, infeasible };
}

/** Feasible requests that not even the cheapest variant can answer in time, and what all of them cost at least with it. */
export function variantsReference(setup: VariantsSetup, world: VariantsWorld): ReferenceResult {
  const work = workOf(setup, world);
  const coreMs = Math.min(...setup.variants.map((each) => leastCoreMs(each.setup)));
  const cores = setup.budgetMillicores / 1000;
  const scaled = { ...work, work: work.work.map((each) => each * coreMs) };
  const unavoidable = work.work.length - unitJobsOnTime(cores, scaled);
  const coreSeconds = scaled.work.reduce((sum, each) => sum + each, 0) / 1000;
  const isFeasible = unavoidable === 0;
  const reason = isFeasible ? null : `${unavoidable} requests cannot be answered in time by the cheapest variant`;
  return {
    ...{ seed: world.seed, coreSeconds: isFeasible ? coreSeconds : null, reason },
    ...{ servableCoreSeconds: coreSeconds, unavoidable },
  };
}

export function runVariantsSeed(
  setup: VariantsSetup,
  world: VariantsWorld,
  policy: string,
  onProgress: (fraction: number) => void = () => undefined,
): SeedResult {
  const startedAtMs = performance.now();
  const names = setup.variants.map(({ name }) => name);
  const chosen = variantsPolicy(policy, names, world.seed);
  if (chosen.isBestSingle !== true) return run(setup, world, chosen, startedAtMs, onProgress);
  const singles = names.map((name) => {
    const single = variantsPolicy(`single(variant=${name})`, names, world.seed);
    return { name, result: run(setup, world, single, startedAtMs, onProgress) };
  });
  const best = singles.reduce((most, each) =>
    each.result.accuracy!.accuracySum > most.result.accuracy!.accuracySum ? each : most,
  );
  return { ...best.result, policy, chosen: best.name, wallMs: performance.now() - startedAtMs };
}

function run(
  setup: VariantsSetup,
  world: VariantsWorld,
  policy: VariantsPolicy,
  startedAtMs: number,
  onProgress: (fraction: number) => void,
): SeedResult {
  const answers = new AnswerCounts(setup.variants);
  const ended =
    policy.isBySlack === true
      ? runPool(setup, world, answers, onProgress)
      : runNode(setup, world, policy, answers, onProgress);
  const { outcomes, rest } = ended;
  return {
    ...{ policy: policy.name, seed: world.seed },
    ...countsOf(outcomes),
    ...{ infeasibleOnArrival: outcomes.infeasibleOnArrival, infeasibleOnTime: outcomes.infeasibleOnTime },
    violationRate: violationRate(outcomes),
    violationRateFeasible: feasibleViolationRate(outcomes),
    ...rest,
    ...{ boundCoreSeconds: null, instanceReference: null, restingFloorCoreSeconds: 0 },
    wallMs: performance.now() - startedAtMs,
    ...{ sentBySecond: outcomes.sentBySecond, violatedBySecond: outcomes.violatedBySecond },
    latenciesMs: outcomes.latenciesMs,
    accuracy: {
      accuracySum: answers.accuracySum,
      mostAccuracySum: mostAccuracySum(setup, world),
      answered: setup.variants.map(({ name }, level) => ({ variant: name, onTime: answers.onTime[level]! })),
      changes: answers.changes,
    },
  };
}

type Ended = {
  readonly outcomes: OutcomeReport;
  readonly rest: Pick<
    SeedResult,
    | 'durationSec'
    | 'coreSeconds'
    | 'grantedCoreSeconds'
    | 'cpuSecondsUsed'
    | 'instances'
    | 'resizes'
    | 'batches'
    | 'batchedRequests'
    | 'eventHash'
    | 'heldMs'
    | 'coresBySecond'
  >;
};

/** A node of the variants, and whom clients call. @param policy none with a queue of its own */
export function variantsNode(
  setup: VariantsSetup,
  { workload, infeasible, seed }: VariantsWorld,
  { objective, assign, isClairvoyant }: VariantsPolicy,
  answers: AnswerCounts,
): { readonly node: SimulatedNode; readonly front: VariantsFront } {
  const { budgetMillicores, scenario } = setup;
  const variants = setup.variants.map((variant) => ({
    ...{ name: variant.name, accuracy: variant.accuracy, environment: variant.setup.environment },
    ...{ workload: NO_CLIENTS, infeasible: new Uint8Array(0), seed: variantSeed(seed, variant) },
    simulated: policyFor(`sponge(instances=${scenario.cpu.instances})`, variant.setup, seed, true),
  }));
  const front = new VariantsFront({
    ...{ workload, infeasible, budgetMillicores, variants, answers, objective },
    isClairvoyant: isClairvoyant === true,
    ...(assign === undefined ? {} : { assign }),
    ...{ accuracyWeight: 1, leastAccuracy: 0 },
  });
  return { node: { budgetMillicores, isShared: true, models: variants, seed }, front };
}

function runNode(
  setup: VariantsSetup,
  world: VariantsWorld,
  policy: VariantsPolicy,
  answers: AnswerCounts,
  onProgress: (fraction: number) => void,
): Ended {
  const { node, front } = variantsNode(setup, world, policy, answers);
  const going = startNodeRun(node, undefined, front);
  while (going.advance(EVENTS_A_TURN)) onProgress(going.endedFraction);
  const { models, allocation, durationMs } = going.report();
  const sum = (of: (report: (typeof models)[number]) => number): number =>
    models.reduce((total, each) => total + of(each), 0);
  const digest = new EventDigest();
  for (const { eventHash } of models) digest.addText(eventHash);
  return {
    outcomes: front.model.report(),
    rest: {
      durationSec: durationMs / 1000,
      ...{ coreSeconds: allocation.coreSeconds, grantedCoreSeconds: allocation.grantedCoreSeconds },
      cpuSecondsUsed: sum(({ cpuSecondsUsed }) => cpuSecondsUsed),
      instances: setup.scenario.cpu.instances * models.length,
      ...{ resizes: allocation.resizes, heldMs: allocation.heldMs, coresBySecond: allocation.coresBySecond },
      batches: sum(({ batches }) => batches),
      batchedRequests: Math.round(sum(({ batches, meanBatchSize }) => batches * meanBatchSize)),
      eventHash: digest.text,
    },
  };
}

function runPool(
  setup: VariantsSetup,
  { workload, infeasible, seed }: VariantsWorld,
  answers: AnswerCounts,
  onProgress: (fraction: number) => void,
): Ended {
  const { environment } = setup.variants[0]!.setup;
  const { machine, cpu, worker } = environment;
  const clock = clockOf(environment, seed);
  const pool = new SlackPool({
    clock,
    variants: setup.variants.map(({ name, setup: own }) => ({ name, curve: own.machine.curve })),
    workers: Math.floor(setup.budgetMillicores / 1000),
    maxBatchSize: cpu.maxBatchSize,
    plannedFactor: Math.exp(Z99 * machine.logDeviation),
    noise: new ServiceNoise(machine.logDeviation, worker.state, stream(seed, 'service')),
  });
  const ledger = new OutcomeLedger(workload, infeasible);
  const digest = new EventDigest();
  const system: Pick<SlackPool, 'submit' | 'cancel'> = {
    cancel: (sequence) => pool.cancel(sequence),
    submit: (request, onOutcome) =>
      pool.submit(request, (outcome) => {
        onOutcome(outcome);
        digest.add(request.sequence);
        digest.add(clock.nowMs());
        answers.observe(request.sequence - 1, outcome, ledger);
      }),
  };
  feed(clock, system, workload, ledger, shapeClassOf(machine));
  const going = runOf(clock, [{ name: 'pool', workload, model: ledger }], (durationMs) => durationMs);
  while (going.advance(EVENTS_A_TURN)) onProgress(going.endedFraction);
  const coreSeconds = pool.busyCoreMs / 1000;
  return {
    outcomes: ledger.report(),
    rest: {
      ...{
        durationSec: going.report() / 1000,
        coreSeconds,
        grantedCoreSeconds: coreSeconds,
        cpuSecondsUsed: coreSeconds,
      },
      ...{ instances: setup.budgetMillicores / 1000, resizes: 0, batches: pool.batches, batchedRequests: pool.batched },
      ...{ eventHash: digest.text, heldMs: [], coresBySecond: [] },
    },
  };
}

const Z99 = 2.3263;

/** Variants have no clients of their own. */
const NO_CLIENTS: Workload = {
  ...{ durationMs: 0, count: 0, client: new Int32Array(0), networkDelaySources: [] },
  ...{ sentAtMs: new Float64Array(0), receivedAtMs: new Float64Array(0), sloMs: new Float64Array(0) },
  ...{ bytes: new Float64Array(0), networkDelayMs: new Float64Array(0), replyReserveMs: new Float64Array(0) },
  ...{ dueAtMs: new Float64Array(0), latestFinishAtMs: new Float64Array(0), leavesAtMs: new Float64Array(0) },
  replyEndAtMs: () => 0,
};

function countsOf({
  sent,
  onTime,
  late,
  rejectedInfeasible,
  rejectedOverload,
  expired,
  cancelled,
  failed,
}: OutcomeReport) {
  return { sent, onTime, late, rejectedInfeasible, rejectedOverload, expired, cancelled, failed };
}

// ---- what nobody can do better ---------------------------------------------------------------------------------------

function mostAccuracySum(setup: VariantsSetup, world: VariantsWorld): number {
  const variants = setup.variants.map(({ accuracy, setup: own }) => ({ accuracy, coreMs: leastCoreMs(own) }));
  return mostAccuracy(variants, workOf(setup, world), setup.budgetMillicores / 1000);
}

/** Feasible requests whose clients stay; the mean service time is in `leastCoreMs`. */
function workOf({ variants }: VariantsSetup, { workload, infeasible }: VariantsWorld): WindowedWork {
  const { state } = variants[0]!.setup.environment.worker;
  const counted = Array.from({ length: workload.count }, (_, index) => index).filter(
    (index) => infeasible[index] === 0 && workload.leavesAtMs[index] === Infinity,
  );
  return {
    releaseAtMs: Float64Array.from(counted, (index) => workload.receivedAtMs[index]!),
    dueAtMs: Float64Array.from(counted, (index) => workload.latestFinishAtMs[index]!),
    work: Float64Array.from(counted, (index) => slownessAt(state, workload.receivedAtMs[index]!)),
  };
}
