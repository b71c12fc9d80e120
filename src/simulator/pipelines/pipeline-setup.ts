import { readFileSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { parse } from 'yaml';
import { allocationAt, stepCount } from '../../scheduler/controlplane/solver.js';
import { graphOf, type PipelineGraph } from '../../scheduler/pipeline/graph.js';
import type { StepTarget } from '../../scheduler/pipeline/step-target.js';
import { writtenPipeline, type WrittenPipeline } from '../../scheduler/pipeline/written-pipeline.js';
import { meanMultiplier } from '../sim/service-noise.js';
import type { Scenario } from '../scenarios/schema.js';
import { atMeanRate } from '../scenarios/adjust.js';
import { setUpNode, type NodeSetup } from '../scenarios/node-setup.js';
import { setUp, type ScenarioSetup } from '../scenarios/setup.js';
import { PLAIN_STEP, type StepScenario } from './pipeline-schema.js';
import { RequestDraws } from './request-draws.js';

/* A scenario of a pipeline, with its files read: the graph, what runs each step, and who asks for it. */

export interface PipelineSetup {
  readonly name: string;
  readonly scenario: Scenario;
  /** Clients, arrivals, network, deadlines: of the pipeline. Its machine is nobody's. */
  readonly clients: ScenarioSetup;
  readonly graph: PipelineGraph;
  /** By step: what runs it. */
  readonly targets: readonly StepTarget[];
  /** By step: the model's index; null of a function. */
  readonly modelOf: readonly (number | null)[];
  readonly steps: readonly StepScenario[];
  readonly node: NodeSetup;
  readonly maxRequests: number;
  /** By step, of a request: from some that were drawn. */
  readonly meanParts: readonly number[];
}

const MAX_FILE_BYTES = 1024 * 1024;
/** As many as serving has. */
const MAX_REQUESTS = 256;
/** For what a request is on average. */
const SAMPLED = 2000;
const SAMPLING_SEED = 1;

/** @throws Error, one line   @param scenario one with `pipeline` and `models` */
export function setUpPipeline(scenario: Scenario, name: string, folder: string): PipelineSetup {
  const pipeline = scenario.pipeline!;
  const written = read(scenario, name, folder);
  const graph = graphOf(written.description);
  const unknown = Object.keys(pipeline.steps).find((step) => graph.steps.every((each) => each.name !== step));
  if (unknown !== undefined)
    throw new Error(
      `${name}: pipeline.steps: there is no step '${unknown}', only ${graph.steps.map((step) => step.name).join(', ')}`,
    );
  const node = setUpNode({ ...scenario, pipeline: undefined, load: undefined }, name, folder);
  const targets = graph.steps.map((step) => written.targets.get(step.name)!);
  const modelOf = targets.map((target) => {
    if (target.kind === 'function') return null;
    const index = node.models.findIndex((model) => model.name === target.model);
    if (index < 0)
      throw new Error(
        `${name}: models: step of model '${target.model}': the scenario says nothing of it, only of ${node.models.map((model) => model.name).join(', ')}`,
      );
    return index;
  });
  const steps = graph.steps.map((step) => pipeline.steps[step.name] ?? PLAIN_STEP);
  const meanParts = sampledParts(graph, new RequestDraws(graph, steps, SAMPLING_SEED));
  const whole = { ...scenario, pipeline: undefined, models: undefined, load: undefined };
  const plain = setUp(whole, name, folder);
  const budgetCores = node.budgetMillicores / 1000;
  const coreSecondsEach = meanParts.reduce((sum, parts, step) => {
    const model = modelOf[step] ?? null;
    return sum + (model === null ? 0 : (parts * leastCoreMs(node.models[model]!.setup)) / 1000);
  }, 0);
  const clients =
    scenario.load === undefined
      ? plain
      : setUp(atMeanRate(whole, (scenario.load * budgetCores) / coreSecondsEach), name, folder);
  const maxRequests = pipeline.maxRequests ?? MAX_REQUESTS;
  return { ...{ name, scenario, clients, graph, targets, modelOf, steps, node, maxRequests, meanParts } };
}

/** Of one request in the batch and on the cores that are cheapest for it, core-ms. */
function leastCoreMs({ machine, environment }: ScenarioSetup): number {
  const { limits, maxBatchSize } = environment.cpu;
  let least = Infinity;
  for (let batchSize = 1; batchSize <= maxBatchSize; batchSize++)
    for (let step = 0; step < stepCount(limits); step++) {
      const cpuMillicores = allocationAt(limits, step);
      const coreMs = (cpuMillicores / 1000) * machine.curve.latencyMs(batchSize, cpuMillicores);
      least = Math.min(least, coreMs / batchSize);
    }
  return least * meanMultiplier(machine.logDeviation);
}

function sampledParts(graph: PipelineGraph, draws: RequestDraws): readonly number[] {
  const sums = graph.steps.map(() => 0);
  for (let request = 0; request < SAMPLED; request++) draws.walk(request, ({ step }) => void (sums[step]! += 1));
  return sums.map((sum) => sum / SAMPLED);
}

function read({ pipeline }: Scenario, name: string, folder: string): WrittenPipeline {
  const { file, description } = pipeline!;
  const path = file === undefined ? null : isAbsolute(file) ? file : join(folder, file);
  try {
    return writtenPipeline(path === null ? description : parse(textOf(path)));
  } catch (error) {
    const where = path === null ? 'pipeline.description' : `pipeline ${path}`;
    throw new Error(`${name}: ${where}: ${(error as Error).message.split('\n')[0]!}`, { cause: error });
  }
}

function textOf(path: string): string {
  const info = statSync(path, { throwIfNoEntry: false });
  if (info?.isFile() !== true || info.size > MAX_FILE_BYTES) throw new Error('not a file of at most 1 MiB');
  return readFileSync(path, 'utf8');
}
