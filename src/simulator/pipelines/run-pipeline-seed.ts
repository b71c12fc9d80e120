import { mayBeLate } from '../../scheduler/dataplane/queue-entry.js';
import type { Event } from '../../scheduler/domain/event.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { shapeClass } from '../../scheduler/domain/request.js';
import { FunctionQueue } from '../../scheduler/pipeline/function-queue.js';
import { PipelineSystem } from '../../scheduler/pipeline/pipeline-system.js';
import type { PartWork, StepPort } from '../../scheduler/pipeline/step-port.js';
import { replicatedPowerCurve, upToCores, type PowerCurve } from '../../scheduler/perf-model/power-curve.js';
import type { Clock } from '../../scheduler/clock/clock.js';
import { chainBound, servableChainBound, type ChainModel } from '../clairvoyant/chain-bound.js';
import { EVENTS_A_TURN, singleCurve, type ReferenceResult, type SeedResult } from '../comparison/run-seed.js';
import { EventDigest } from '../sim/event-digest.js';
import { feasibleViolationRate, OutcomeLedger, violationRate, type OutcomeReport } from '../sim/outcome-ledger.js';
import { meanMultiplier } from '../sim/service-noise.js';
import { requestOf } from '../sim/simulated-model.js';
import { clockOf } from '../sim/simulation.js';
import type { WindowedWork } from '../clairvoyant/fluid-bound.js';
import { modelSteps, type ModelRun, type ModelsReport, type ModelSteps } from './model-steps.js';
import { parsePipelinePolicy, type PipelinePolicy } from './pipeline-policies.js';
import type { PipelineSetup } from './pipeline-setup.js';
import { leastTimes, type PipelineWorld } from './pipeline-world.js';
import { SimulatedFunction } from './simulated-function.js';
import { WorkLedger, type WorkReport } from './work-ledger.js';

/*
 * One policy of a pipeline on one seed: the pipeline that serves, on a virtual clock, with simulated models, functions and clients; judged as a
 * model alone is.
 */

export function runPipelineSeed(
  setup: PipelineSetup,
  world: PipelineWorld,
  policy: string,
  onProgress: (fraction: number) => void = () => undefined,
): SeedResult {
  const startedAtMs = performance.now();
  const run = new PipelineRun(setup, world, parsePipelinePolicy(policy));
  while (run.advance(EVENTS_A_TURN)) onProgress(run.endedFraction);
  return { ...resultOf(setup, world, policy, run.end()), wallMs: performance.now() - startedAtMs };
}

export interface PipelineRunReport {
  readonly outcomes: OutcomeReport;
  readonly models: ModelsReport;
  readonly work: WorkReport;
  readonly durationMs: number;
  readonly eventHash: string;
}

/** A request that is never served is a broken policy, not a long run. */
const MOST_OVERTIME_MS = 7 * 86_400_000;

export class PipelineRun {
  readonly pipeline: PipelineSystem;
  readonly #setup: PipelineSetup;
  readonly #world: PipelineWorld;
  readonly #clock: ReturnType<typeof clockOf>;
  readonly #outcomes: OutcomeLedger;
  readonly #work: WorkLedger;
  readonly #models: ModelSteps;
  readonly #digest = new EventDigest();

  /** @param onEvent told of what the models do, where they are a node's, and, as of one model more, of the pipeline's requests */
  constructor(
    setup: PipelineSetup,
    world: PipelineWorld,
    policy: PipelinePolicy,
    onEvent: (model: number, event: Event) => void = () => undefined,
  ) {
    this.#setup = setup;
    this.#world = world;
    const { graph, modelOf, clients, maxRequests } = setup;
    this.#clock = clockOf(clients.environment, world.seed);
    this.#outcomes = new OutcomeLedger(world.workload, world.infeasible);
    this.#work = new WorkLedger(world.workload.count);
    const outputsOf = (
      step: number,
      { request, inputs, part }: PartWork,
    ): ReadonlyMap<string, Tensor | readonly Tensor[]> => world.draws.outputs(request.sequence - 1, step, part, inputs);
    this.#models = modelSteps(policy, { setup, world, clock: this.#clock, work: this.#work, outputsOf, onEvent });
    const own = this.#models.initialMillicores.length;
    this.pipeline = new PipelineSystem({
      clock: this.#clock,
      graph,
      ports: graph.steps.map((_, step) =>
        modelOf[step] === null ? this.#function(step, outputsOf) : this.#models.portOf(step),
      ),
      // As the others: what is bounded is how many there are.
      limits: { maxRequests: policy.kind === 'node' ? maxRequests : Infinity, maxBytes: Infinity },
      maxBytesEach: Infinity,
      split: policy.split,
      onEvent: (event) => {
        this.#digest.observe(event);
        onEvent(own, event);
      },
    });
    this.#feed(policy);
  }

  get initialMillicores(): ModelSteps['initialMillicores'] {
    return this.#models.initialMillicores;
  }

  get endedFraction(): number {
    const { count } = this.#world.workload;
    return count === 0 ? 1 : this.#outcomes.ended / count;
  }

  /** Fires up to so many events; false when the run is over. */
  advance(eventLimit: number): boolean {
    const { durationMs, count } = this.#world.workload;
    const isOver = (): boolean => this.#outcomes.ended === count && this.#clock.nextAtMs() > durationMs;
    for (let fired = 0; fired < eventLimit; fired++) if (isOver() || !this.#clock.fireNext()) return false;
    if (this.#clock.nowMs() > durationMs + MOST_OVERTIME_MS)
      throw new Error(`${this.#setup.name}: ${count - this.#outcomes.ended} requests were not answered within a week`);
    return !isOver();
  }

  /** @throws Error where a request has no outcome */
  end(): PipelineRunReport {
    const { durationMs: clientsEndAtMs, count } = this.#world.workload;
    if (this.#outcomes.ended !== count)
      throw new Error(`${count} requests were sent and ${this.#outcomes.ended} ended`);
    const durationMs = Math.max(clientsEndAtMs, this.#clock.nowMs());
    this.pipeline.stop();
    const models = this.#models.end(durationMs);
    for (const { eventHash } of models.models) this.#digest.addText(eventHash);
    const outcomes = this.#outcomes.report();
    const work = this.#work.report(outcomes.isOnTime);
    return { outcomes, models, work, durationMs, eventHash: this.#digest.text };
  }

  #function(
    step: number,
    outputsOf: (step: number, work: PartWork) => ReadonlyMap<string, Tensor | readonly Tensor[]>,
  ): StepPort {
    const { graph, targets } = this.#setup;
    const target = targets[step]!;
    if (target.kind !== 'function') throw new Error('a model is no function');
    const clock: Clock = {
      nowMs: () => this.#clock.nowMs(),
      schedule: (atMs, fire) => this.#clock.scheduleExact(atMs, fire),
      whenSettled: (act) => this.#clock.whenSettled(act),
    };
    const runners = Array.from(
      { length: target.limits.threads },
      () =>
        new SimulatedFunction({
          clock,
          timeLimitMs: target.limits.timeMs,
          fateOf: ({ request, part, inputs }) => this.#world.draws.fate(request.sequence - 1, step, part, inputs),
          outputsOf: (work) => outputsOf(step, work),
          onRan: ({ request }, tookMs) => this.#work.addFunction(request.sequence - 1, tookMs),
          onFree: () => queue.next(),
        }),
    );
    const queue = new FunctionQueue({ name: graph.steps[step]!.name, clock: this.#clock, runners });
    return queue;
  }

  /** One event at a time is waiting, however many requests there are. */
  #feed(policy: PipelinePolicy): void {
    const { workload, draws } = this.#world;
    const clock = this.#clock;
    const own = shapeClass('pipeline', 1);
    const knowsDeadlines = policy.kind === 'node';
    const submit = (index: number): void => {
      const request = { ...requestOf(workload, index, own), isDeadlineDefaulted: !knowsDeadlines };
      this.pipeline.submit(request, draws.inputs(), (outcome) => this.#outcomes.finish(index, outcome, clock.nowMs()));
      const leavesAtMs = Math.min(
        workload.leavesAtMs[index]!,
        policy.kind === 'fixed' && policy.notices === 'at-once' && mayBeLate(request) ? request.dueAtMs : Infinity,
      );
      if (leavesAtMs < Infinity)
        clock.scheduleExact(Math.max(clock.nowMs(), leavesAtMs), () => this.pipeline.cancel(request.sequence));
    };
    let index = 0;
    const next = (): void => {
      const current = index++;
      if (index < workload.count) clock.scheduleExact(workload.receivedAtMs[index]!, next);
      if (workload.leavesAtMs[current]! <= workload.receivedAtMs[current]!) this.#outcomes.neverReceived(current);
      else submit(current);
    };
    if (workload.count > 0) clock.scheduleExact(workload.receivedAtMs[0]!, next);
  }
}

// ---- judged ----------------------------------------------------------------------------------------------------------

function resultOf(
  setup: PipelineSetup,
  world: PipelineWorld,
  policy: string,
  { outcomes, models, work, durationMs, eventHash }: PipelineRunReport,
): Omit<SeedResult, 'wallMs'> {
  const { allocation, cpuSecondsUsed } = models;
  const { latenciesMs, sentBySecond, violatedBySecond, isOnTime, ...counts } = outcomes;
  const ofRun = models.models.map(({ leastMultiplier }) => (Number.isFinite(leastMultiplier) ? leastMultiplier : 1));
  const mean = setup.node.models.map(({ setup: { machine } }) => meanMultiplier(machine.logDeviation));
  const chainAt = (multipliers: readonly number[]): readonly ChainModel[] =>
    chainModels(setup, world, isOnTime, models.models, multipliers);
  return {
    ...counts,
    policy,
    seed: world.seed,
    violationRate: violationRate(counts),
    violationRateFeasible: feasibleViolationRate(counts),
    durationSec: durationMs / 1000,
    coreSeconds: allocation.coreSeconds,
    grantedCoreSeconds: allocation.grantedCoreSeconds,
    cpuSecondsUsed,
    boundCoreSeconds: chainBound(chainAt(ofRun), world.workload.durationMs),
    instances: models.models.reduce((sum, { mostInstances }) => sum + mostInstances, 0),
    instanceReference: null,
    restingFloorCoreSeconds: 0,
    resizes: allocation.resizes,
    work: { ...work, meanBoundCoreSeconds: servableChainBound(chainAt(mean), world.workload.durationMs) },
    batches: models.models.reduce((sum, { batches }) => sum + batches, 0),
    batchedRequests: models.models.reduce((sum, { batchedParts }) => sum + batchedParts, 0),
    eventHash,
    heldMs: allocation.heldMs,
    coresBySecond: allocation.coresBySecond,
    sentBySecond,
    violatedBySecond,
    latenciesMs,
  };
}

/** There is none: nobody knows yet what all feasible requests of a chain cost at least where they do not all fit. */
export function pipelineReference({ seed }: PipelineWorld): ReferenceResult {
  const reason = 'of a pipeline there is the bound of each policy alone';
  return { ...{ seed, coreSeconds: null, reason }, servableCoreSeconds: 0, unavoidable: 0 };
}

/** Of each model: the parts of requests that were answered on time, in the windows that they had at the most. */
export function chainModels(
  setup: PipelineSetup,
  world: PipelineWorld,
  isOnTime: Uint8Array,
  runs: readonly ModelRun[],
  multipliers: readonly number[],
): readonly ChainModel[] {
  const { workload, parts } = world;
  const stepCount = setup.graph.steps.length;
  const columns = runs.map(() => ({ release: [] as number[], due: [] as number[], work: [] as number[] }));
  for (let request = 0; request < workload.count; request++) {
    if (isOnTime[request] === 0) continue;
    const { heads, rests, own } = leastTimes(setup, world, request, multipliers);
    for (let step = 0; step < stepCount; step++) {
      const model = setup.modelOf[step] ?? null;
      const count = parts[request * stepCount + step]!;
      if (model === null || count === 0) continue;
      const { release, due, work } = columns[model]!;
      release.push(workload.receivedAtMs[request]! + heads[step]!);
      due.push(workload.latestFinishAtMs[request]! - (rests[step]! - own[step]!));
      work.push(count * multipliers[model]!);
    }
  }
  return columns.map(({ release, due, work }, model) => ({
    curve: curveOf(setup, model, runs[model]!),
    work: windowed(release, due, work),
  }));
}

function windowed(release: readonly number[], due: readonly number[], work: readonly number[]): WindowedWork {
  return {
    releaseAtMs: Float64Array.from(release),
    dueAtMs: Float64Array.from(due),
    work: Float64Array.from(work),
  };
}

function curveOf({ node }: PipelineSetup, model: number, run: ModelRun): PowerCurve {
  const { setup } = node.models[model]!;
  const single = singleCurve(setup, run.leastRunningMillicores);
  return upToCores(replicatedPowerCurve(single, run.mostInstances, run.heldInstances), node.budgetMillicores / 1000);
}
