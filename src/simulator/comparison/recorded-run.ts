import { closeSync, openSync, writeSync } from 'node:fs';
import type { Event } from '../../scheduler/domain/event.js';
import { recordOf, type RunHeader, type RunModel } from '../../scheduler/domain/event-record.js';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import { simulatedStartMillicores, startNodeRun } from '../sim/node-simulation.js';
import { startMillicores } from '../../scheduler/system.js';
import { policyFor } from '../policies/policies.js';
import { nodeWorldOf, simulatedNode } from './run-node-seed.js';
import { EVENTS_A_TURN, runPolicy, worldOf } from './run-seed.js';
import { setUpNode } from '../scenarios/node-setup.js';
import { setUp } from '../scenarios/setup.js';
import { parsePipelinePolicy } from '../pipelines/pipeline-policies.js';
import { setUpPipeline } from '../pipelines/pipeline-setup.js';
import { pipelineWorldOf } from '../pipelines/pipeline-world.js';
import { PipelineRun } from '../pipelines/run-pipeline-seed.js';
import { setUpVariants } from '../scenarios/variants-setup.js';
import { variantsPolicy } from '../policies/variants-policies.js';
import { AnswerCounts } from '../variants/answer-counts.js';
import { variantsNode, variantsWorldOf } from './run-variants-seed.js';
import type { ScenarioFile } from './simulate.js';

/*
 * The event log of a simulated run, of one model, of a node of several, or of variants, as `sponge serve --event-log` writes it of a live one.
 * The run is made again for it: it repeats bit for bit, and the threads that judge policies need not carry millions of events
 * across.
 */

/** Enough that a write costs nothing beside what it writes. */
const WRITE_CHARS = 1024 * 1024;

export interface RunToRecord {
  readonly file: ScenarioFile;
  readonly policy: string;
  readonly seed: number;
}

/** A run that has not begun, and what its log says before all events. */
interface ReadyRun {
  readonly head: Pick<RunHeader, 'models' | 'budgetMillicores'>;
  readonly run: (onEvent: (model: number, event: Event) => void) => void;
}

export function writeEventLog(path: string, { file, policy, seed }: RunToRecord): void {
  const descriptor = openSync(path, 'w');
  try {
    let waiting = '';
    const write = (line: object): void => {
      waiting += `${JSON.stringify(line)}\n`;
      if (waiting.length < WRITE_CHARS) return;
      writeSync(descriptor, waiting);
      waiting = '';
    };
    const { head, run } = readyOf(file.scenario)(file, policy, seed);
    const title = `${file.name}, ${policy}, seed ${seed}`;
    let hasBegun = false;
    run((model, event) => {
      const record = recordOf(event);
      if (!hasBegun) write(headerOf(title, record.atMs, head));
      hasBegun = true;
      write({ model, ...record });
    });
    writeSync(descriptor, waiting);
  } finally {
    closeSync(descriptor);
  }
}

function readyOf({ models, pipeline, variants }: ScenarioFile['scenario']): typeof readyModel {
  if (pipeline !== undefined) return readyPipeline;
  if (variants !== undefined) return readyVariants;
  return models === undefined ? readyModel : readyNode;
}

function headerOf(title: string, startedAtMs: number, head: ReadyRun['head']): RunHeader {
  return { kind: 'run', schemaVersion: 1, source: 'simulated', title, startedAt: null, startedAtMs, ...head };
}

function readyModel({ scenario, name, folder }: ScenarioFile, policy: string, seed: number): ReadyRun {
  const setup = setUp(scenario, name, folder);
  const { machine, environment } = setup;
  const { cpu } = environment;
  const simulated = policyFor(policy, setup, seed);
  const limits = simulated.horizontal?.limits ?? cpu.limits;
  const start = startMillicores(simulated.instances ?? 1, { ...cpu, limits });
  return {
    head: { models: [runModel(machine.name, policy, start, { limits, maxBatchSize: cpu.maxBatchSize })] },
    run: (onEvent) => runPolicy(setup, worldOf(setup, seed), simulated, undefined, (event) => onEvent(0, event)),
  };
}

function readyNode({ scenario, name, folder }: ScenarioFile, policy: string, seed: number): ReadyRun {
  const setup = setUpNode(scenario, name, folder);
  const { node } = simulatedNode(setup, nodeWorldOf(setup, seed), policy);
  const start = simulatedStartMillicores(node);
  const models = node.models.map((model, index) => runModel(model.name, policy, start[index]!, model.environment.cpu));
  return {
    head: { budgetMillicores: node.budgetMillicores, models },
    run: (onEvent) => {
      const run = startNodeRun(node, onEvent);
      while (run.advance(EVENTS_A_TURN));
    },
  };
}

/** Its models, where they are a node's, and behind them the pipeline itself: whole requests, which hold no cores of their own. */
function readyPipeline({ scenario, name, folder }: ScenarioFile, policy: string, seed: number): ReadyRun {
  const setup = setUpPipeline(scenario, name, folder);
  const { budgetMillicores, models } = setup.node;
  let tell: Parameters<ReadyRun['run']>[0] = () => undefined;
  const world = pipelineWorldOf(setup, seed);
  const run = new PipelineRun(setup, world, parsePipelinePolicy(policy), (model, event) => tell(model, event));
  const ofModels = run.initialMillicores.map((start, index) => {
    const { name: model, setup: own } = models[index]!;
    return runModel(model, policy, start, own.environment.cpu);
  });
  const limits = { minMillicores: 0, maxMillicores: budgetMillicores, stepMillicores: budgetMillicores };
  return {
    head: { budgetMillicores, models: [...ofModels, runModel(name, policy, [0], { limits, maxBatchSize: 1 })] },
    run: (onEvent) => {
      tell = onEvent;
      while (run.advance(EVENTS_A_TURN));
    },
  };
}

/** Each variant is a model of the log, and its requests are those that it was given. @throws Error of one line */
function readyVariants({ scenario, name, folder }: ScenarioFile, policy: string, seed: number): ReadyRun {
  const setup = setUpVariants(scenario, name, folder);
  const names = setup.variants.map((each) => each.name);
  const chosen = variantsPolicy(policy, names, seed);
  if (chosen.isBySlack === true) throw new Error(`policy ${policy} has one queue of its own, and no events of models`);
  const world = variantsWorldOf(setup, seed);
  const { node, front } = variantsNode(setup, world, chosen, new AnswerCounts(setup.variants));
  const start = simulatedStartMillicores(node);
  const models = node.models.map((model, index) => runModel(model.name, policy, start[index]!, model.environment.cpu));
  return {
    head: { budgetMillicores: node.budgetMillicores, models },
    run: (onEvent) => {
      const run = startNodeRun(node, onEvent, front);
      while (run.advance(EVENTS_A_TURN));
    },
  };
}

function runModel(
  name: string,
  policy: string,
  start: readonly number[],
  { limits, maxBatchSize }: { readonly limits: AllocationLimits; readonly maxBatchSize: number },
): RunModel {
  const areApart = start.length > 1;
  return {
    name,
    version: '1',
    policy,
    limits,
    cpuMillicores: start[0]!,
    instances: start.length,
    ...(areApart ? { allocations: start } : {}),
    maxBatchSize,
  };
}
