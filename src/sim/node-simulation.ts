import type { VirtualClock } from '../clock/virtual-clock.js';
import { restingMillicores } from '../controlplane/allocations.js';
import type { Event } from '../domain/event.js';
import { createNode, nodeStartMillicores, type Node } from '../node/node.js';
import { startMillicores } from '../system.js';
import { AllocationLedger, type AllocationReport } from './allocation-ledger.js';
import type { Environment, RunReport, SimulatedPolicy } from './environment.js';
import { SimulatedModel } from './simulated-model.js';
import { clockOf, runOf, type Run } from './simulation.js';
import type { Workload } from './workload/workload.js';

/*
 * One run of several models on a node: as `simulation.ts`, with a worker, scalers and clients of its own for each model, all on one
 * virtual clock. The models share the node's cores, or each has a fixed share of them.
 */

/** One of the models. */
export interface SimulatedNodeModel {
  readonly name: string;
  /** Its limits go up to what it may have at most: all of the node's cores, or its share. */
  readonly environment: Environment;
  readonly workload: Workload;
  readonly infeasible: Uint8Array;
  readonly simulated: SimulatedPolicy;
  readonly floorFraction?: number;
  /** Of its own. */
  readonly seed: number;
}

export interface SimulatedNode {
  readonly budgetMillicores: number;
  /** Whether the models share the budget; else each has what its limits allow. */
  readonly isShared: boolean;
  readonly models: readonly SimulatedNodeModel[];
  readonly seed: number;
}

export interface NodeReport {
  /** In the order of the models. */
  readonly models: readonly RunReport[];
  /** Of all models together. */
  readonly allocation: AllocationReport;
  readonly durationMs: number;
}

export function startNodeRun(node: SimulatedNode, onEvent?: (model: number, event: Event) => void): Run<NodeReport> {
  const { budgetMillicores, isShared, seed } = node;
  const clock = clockOf(node.models[0]!.environment, seed);
  const start = node.isShared
    ? nodeStartMillicores(node.models.map(startingInstances), budgetMillicores)
    : node.models.map(({ environment, simulated }) => startMillicores(simulated.instances ?? 1, environment.cpu));
  const total = new TotalLedger(start, budgetMillicores);
  const observe = (model: number, event: Event): void => {
    total.observe(model, event);
    onEvent?.(model, event);
  };
  const models = node.models.map(
    (each, index) =>
      new SimulatedModel({
        ...each,
        clock,
        startMillicores: start[index]!,
        onEvent: (event) => observe(index, event),
      }),
  );
  const nodes = isShared
    ? [oneNode(node, clock, models)]
    : models.map((model, index) => ownNode(node, clock, model, index));
  const systems = nodes.flatMap((each) => each.systems);
  models.forEach((model, index) => model.begin(systems[index]!));
  const parts = node.models.map(({ name, workload }, index) => ({ name, workload, model: models[index]! }));
  return runOf(clock, parts, (durationMs) => {
    const usedSeconds = models.map((model) => model.usedSeconds);
    nodes.forEach((each) => each.stop());
    return {
      models: models.map((model, index) => model.report(durationMs, usedSeconds[index]!)),
      allocation: total.report(
        durationMs,
        usedSeconds.reduce((sum, each) => sum + each, 0),
      ),
      durationMs,
    };
  });
}

function oneNode(
  { budgetMillicores, models }: SimulatedNode,
  clock: VirtualClock,
  simulated: readonly SimulatedModel[],
): Node {
  return createNode({
    clock,
    budgetMillicores,
    models: models.map(({ name, floorFraction }, index) => ({
      name,
      ...simulated[index]!.parts,
      ...(floorFraction === undefined ? {} : { floorFraction }),
    })),
    onEvent: (index, event) => simulated[index]!.parts.onEvent(event),
  });
}

/** A model in its share is a node of its own. */
function ownNode({ models }: SimulatedNode, clock: VirtualClock, { parts }: SimulatedModel, index: number): Node {
  return createNode({
    clock,
    budgetMillicores: parts.config.limits.maxMillicores,
    models: [{ name: models[index]!.name, ...parts }],
    onEvent: (_, event) => parts.onEvent(event),
  });
}

function startingInstances({
  name,
  environment,
  simulated,
}: SimulatedNodeModel): Parameters<typeof nodeStartMillicores>[0][number] {
  const { cpu } = environment;
  return { name, count: simulated.instances ?? 1, restingMillicores: restingMillicores(cpu), limits: cpu.limits };
}

/** The allocations of all models as if they were of one; asserts that they stay within the budget. */
class TotalLedger {
  readonly #ledger: AllocationLedger;
  readonly #budgetMillicores: number;
  /** By model: its first allocation among all. */
  readonly #firstOf: readonly number[];
  readonly #inForceMillicores: number[];

  constructor(start: readonly (readonly number[])[], budgetMillicores: number) {
    const all = start.flat();
    let first = 0;
    this.#firstOf = start.map((each) => (first += each.length) - each.length);
    this.#ledger = new AllocationLedger(0, all, { existing: all.length, ready: all.length, startingMillicores: 0 });
    this.#inForceMillicores = all;
    this.#budgetMillicores = budgetMillicores;
  }

  observe(model: number, event: Event): void {
    if (event.kind !== 'resize-requested' && event.kind !== 'resized' && event.kind !== 'resize-refused') return;
    const instance = this.#firstOf[model]! + (event.instance ?? 0);
    // Each model counts its own resizes.
    const resizeId = event.resizeId * this.#firstOf.length + model;
    this.#ledger.observe({ ...event, instance, resizeId });
    if (event.kind !== 'resized') return;
    this.#inForceMillicores[instance] = event.cpuMillicores;
    const granted = this.#inForceMillicores.reduce((sum, each) => sum + each, 0);
    if (granted > this.#budgetMillicores)
      throw new Error(`models have ${granted} of ${this.#budgetMillicores} millicores at ${event.atMs} ms`);
  }

  report(durationMs: number, usedCoreSeconds: number): AllocationReport {
    return this.#ledger.report(durationMs, usedCoreSeconds);
  }
}
