import type { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { Event } from '../../scheduler/domain/event.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { shapeClass, type InferRequest } from '../../scheduler/domain/request.js';
import { ModelStep, type StepModel } from '../../scheduler/pipeline/model-step.js';
import type { PartWork, StepPort } from '../../scheduler/pipeline/step-port.js';
import type { AllocationReport } from '../sim/allocation-ledger.js';
import type { SimulatedPolicy } from '../sim/environment.js';
import { createSimulatedNode } from '../sim/node-simulation.js';
import { ServiceNoise } from '../sim/service-noise.js';
import { policyFor } from '../policies/policies.js';
import { stream } from '../../scheduler/random/streams.js';
import { modelSeed } from '../scenarios/node-setup.js';
import type { Workload } from '../workloads/workload.js';
import { EarlyDrop } from './early-drop.js';
import { FixedModel } from './fixed-model.js';
import { FixedPool } from './fixed-pool.js';
import type { PipelinePolicy } from './pipeline-policies.js';
import type { PipelineSetup } from './pipeline-setup.js';
import type { PipelineWorld } from './pipeline-world.js';
import { BatchWork, type WorkLedger } from './work-ledger.js';

/* What runs the steps of models: the node that serves, or instances of a fixed size. */

export interface ModelsReport {
  readonly allocation: AllocationReport;
  readonly cpuSecondsUsed: number;
  readonly models: readonly ModelRun[];
}

export interface ModelRun {
  readonly batches: number;
  readonly batchedParts: number;
  /** Of all batches: actual over typical latency; Infinity where none ran. */
  readonly leastMultiplier: number;
  readonly leastRunningMillicores: number;
  /** That may run side by side, and that hold the idle floor while they do not. */
  readonly mostInstances: number;
  readonly heldInstances: number;
  readonly eventHash: string;
}

export interface ModelSteps {
  /** Of each model that tells of what it does: its instances' allocations at first. */
  readonly initialMillicores: readonly (readonly number[])[];
  portOf(step: number): StepPort;
  end(durationMs: number): ModelsReport;
}

export interface ModelStepsOptions {
  readonly setup: PipelineSetup;
  readonly world: PipelineWorld;
  readonly clock: VirtualClock;
  readonly work: WorkLedger;
  readonly outputsOf: (step: number, work: PartWork) => ReadonlyMap<string, Tensor | readonly Tensor[]>;
  /** Told of what models do, where they are a node's. */
  readonly onEvent: (model: number, event: Event) => void;
}

export function modelSteps(policy: PipelinePolicy, options: ModelStepsOptions): ModelSteps {
  return policy.kind === 'node' ? nodeSteps(policy, options) : fixedSteps(policy, options);
}

// ---- the node that serves --------------------------------------------------------------------------------------------

/** Parts are sent by the pipeline, not by clients. */
const NO_CLIENTS: Omit<Workload, 'durationMs'> = {
  count: 0,
  sentAtMs: new Float64Array(0),
  receivedAtMs: new Float64Array(0),
  sloMs: new Float64Array(0),
  bytes: new Float64Array(0),
  client: new Int32Array(0),
  networkDelayMs: new Float64Array(0),
  networkDelaySources: [],
  replyReserveMs: new Float64Array(0),
  dueAtMs: new Float64Array(0),
  latestFinishAtMs: new Float64Array(0),
  leavesAtMs: new Float64Array(0),
  replyEndAtMs: (_, finishedAtMs) => finishedAtMs,
};

/** A part as its model's system knows it. */
interface PartRequest extends InferRequest {
  readonly part: PartWork;
}

function nodeSteps(
  { instances }: Extract<PipelinePolicy, { kind: 'node' }>,
  { setup, world, clock, work, outputsOf, onEvent }: ModelStepsOptions,
): ModelSteps {
  const { node, modelOf } = setup;
  const simulated = node.models.map((model): SimulatedPolicy => {
    const count = instances ?? model.setup.scenario.cpu.instances;
    return policyFor(`sponge(instances=${count})`, model.setup, world.seed, true);
  });
  /** Of parts, by the model's sequence: the request. */
  const owners = node.models.map((): number[] => []);
  const batches: BatchWork[] = [];
  const made = createSimulatedNode(
    {
      budgetMillicores: node.budgetMillicores,
      isShared: true,
      seed: world.seed,
      models: node.models.map((model, index) => ({
        ...model,
        environment: model.setup.environment,
        workload: { ...NO_CLIENTS, durationMs: world.workload.durationMs },
        infeasible: new Uint8Array(0),
        simulated: simulated[index]!,
        seed: modelSeed(world.seed, model),
      })),
    },
    clock,
    (model, event) => {
      batches[model]?.observe(event);
      onEvent(model, event);
    },
  );
  made.models.forEach((model, index) => {
    batches[index] = new BatchWork(work, model.initialMillicores, (sequence) => owners[index]![sequence]!);
  });
  const stepModels = node.models.map(({ name }, index): StepModel & { readonly index: number } => ({
    index,
    system: made.systems[index]!,
    likelyClass: shapeClass(name, 1),
  }));
  return {
    initialMillicores: made.models.map(({ initialMillicores }) => initialMillicores),
    portOf: (step) => {
      const model = stepModels[modelOf[step]!]!;
      const sequences = owners[model.index]!;
      return new ModelStep({
        nowMs: () => clock.nowMs(),
        resource: 'cores',
        model: () => model,
        requestOf: (_, part) => {
          const sequence = Math.max(1, sequences.length);
          sequences[sequence] = part.request.sequence - 1;
          const nowMs = clock.nowMs();
          const request: PartRequest = {
            part,
            ...part.request,
            ...{ sequence, receivedAtMs: nowMs, sloMs: part.dueAtMs - nowMs, dueAtMs: part.dueAtMs },
            ...{ networkDelayMs: 0, networkDelaySource: 'none', replyReserveMs: 0 },
            ...{ shapeClass: model.likelyClass, byteCount: 0, inputs: [], outputNames: [] },
          };
          return request;
        },
        // A model gives no lists.
        outputsOf: (_, request) => outputsOf(step, (request as PartRequest).part) as ReadonlyMap<string, Tensor>,
      });
    },
    end: (durationMs) => {
      const { models, allocation } = made.end(durationMs);
      return {
        allocation,
        cpuSecondsUsed: models.reduce((sum, each) => sum + each.cpuSecondsUsed, 0),
        models: models.map((each, index) => ({
          batches: each.batches,
          batchedParts: Math.round(each.batches * each.meanBatchSize),
          leastMultiplier: each.leastMultiplier,
          leastRunningMillicores: each.leastRunningMillicores,
          mostInstances: simulated[index]!.instances ?? 1,
          heldInstances: simulated[index]!.instances ?? 1,
          eventHash: each.eventHash,
        })),
      };
    },
  };
}

// ---- instances of a fixed size ---------------------------------------------------------------------------------------

function fixedSteps(
  { cores, batchSize, waitMs, dropMargin, notices, limitsQueues }: Extract<PipelinePolicy, { kind: 'fixed' }>,
  { setup, world, clock, work, outputsOf }: ModelStepsOptions,
): ModelSteps {
  const { node, modelOf, graph, meanParts } = setup;
  const budgetCores = node.budgetMillicores / 1000;
  const { idleMillicores } = node.models[0]!.setup.environment.cpu;
  const pool = new FixedPool(budgetCores, idleMillicores);
  let usedCoreMs = 0;
  const batchOf = (model: number): number =>
    Math.min(batchSize, node.models[model]!.setup.environment.cpu.maxBatchSize);
  const typicalMs = (model: number, count: number): number =>
    node.models[model]!.setup.machine.curve.latencyMs(count, 1000 * cores);
  const paces = graph.steps.map((_, step) => {
    const model = modelOf[step] ?? null;
    if (model === null)
      return { batchMs: meanFunctionMs(world, graph.steps.length, step), batchSize: 1, parts: 1, coreMs: 0 };
    const batchMs = typicalMs(model, batchOf(model));
    return { batchMs, batchSize: batchOf(model), parts: meanParts[step]!, coreMs: (cores * batchMs) / batchOf(model) };
  });
  const earlyDrop = dropMargin === null ? undefined : new EarlyDrop({ graph, paces, budgetCores, margin: dropMargin });
  const noises = node.models.map((model) => {
    const { machine, environment } = model.setup;
    const prng = stream(modelSeed(world.seed, model), 'service');
    return new ServiceNoise(machine.logDeviation, environment.worker.state, prng);
  });
  const models = node.models.map(
    (_, index) =>
      new FixedModel({
        ...{ clock, pool, cores, waitMs, batchSize: batchOf(index), outputsOf },
        ...{ asksBefore: notices !== 'never', limitsQueue: limitsQueues },
        latencyMs: (count, nowMs) => typicalMs(index, count) * noises[index]!.draw(nowMs),
        onBatch: (works, tookMs) => {
          usedCoreMs += cores * tookMs;
          for (const { request } of works) work.add(request.sequence - 1, (cores * tookMs) / works.length);
        },
        ...(earlyDrop === undefined ? {} : { earlyDrop }),
      }),
  );
  return {
    initialMillicores: [],
    portOf: (step) => models[modelOf[step]!]!.portOf(step),
    end: (durationMs) => ({
      allocation: pool.report(durationMs),
      cpuSecondsUsed: usedCoreMs / 1000,
      models: models.map(({ batches, batchedParts }, index) => ({
        ...{ batches, batchedParts, leastMultiplier: noises[index]!.least, leastRunningMillicores: 1000 * cores },
        ...{ mostInstances: Math.max(1, Math.floor(budgetCores / cores)), heldInstances: 1, eventHash: '' },
      })),
    }),
  };
}

function meanFunctionMs({ functionMs, workload }: PipelineWorld, stepCount: number, step: number): number {
  let sum = 0;
  for (let request = 0; request < workload.count; request++) sum += functionMs[request * stepCount + step]!;
  return workload.count === 0 ? 0 : sum / workload.count;
}
