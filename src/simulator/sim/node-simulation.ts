import type { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import { restingMillicores } from '../../scheduler/controlplane/allocations.js';
import type { Event } from '../../scheduler/domain/event.js';
import { createNode, nodeStartMillicores, type Node, type StartingInstances } from '../../scheduler/node.js';
import { startMillicores, type System } from '../../scheduler/system.js';
import type { AllocationReport } from './allocation-ledger.js';
import type { Environment, RunReport, SimulatedPolicy } from './environment.js';
import { HeldCores } from './held-cores.js';
import { SimulatedModel } from './simulated-model.js';
import { clockOf, runOf, type Run, type RunPart } from './simulation.js';
import type { Workload } from '../workloads/workload.js';

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
  readonly floorFraction?: number | undefined;
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

/** Whom clients call instead of the models: it sends on to their systems, by the order of the models. */
export interface NodeFront extends Pick<RunPart, 'name' | 'workload' | 'model'> {
  begin(clock: VirtualClock, systems: readonly System[]): void;
}

export interface NodeReport {
  /** In the order of the models. */
  readonly models: readonly RunReport[];
  /** Of all models together. */
  readonly allocation: AllocationReport;
  readonly durationMs: number;
}

export function startNodeRun(
  node: SimulatedNode,
  onEvent?: (model: number, event: Event) => void,
  front?: NodeFront,
): Run<NodeReport> {
  const clock = clockOf(node.models[0]!.environment, node.seed);
  const made = createSimulatedNode(node, clock, onEvent);
  front?.begin(clock, made.systems);
  const parts: RunPart[] = node.models.map(({ name, workload }, index) => ({
    name,
    workload,
    model: made.models[index]!,
  }));
  return runOf(clock, front === undefined ? parts : [...parts, front], (durationMs) => made.end(durationMs));
}

/** A node on a clock, to whose models their own clients send. */
export interface CreatedNode {
  /** In the order of the models. */
  readonly models: readonly SimulatedModel[];
  readonly systems: readonly System[];
  /** Stops it, and reports the run. */
  end(durationMs: number): NodeReport;
}

export function createSimulatedNode(
  node: SimulatedNode,
  clock: VirtualClock,
  onEvent?: (model: number, event: Event) => void,
): CreatedNode {
  const { budgetMillicores, isShared } = node;
  const start = simulatedStartMillicores(node);
  const observe = (model: number, event: Event): void => {
    total.observe(event);
    onEvent?.(model, event);
  };
  const models: readonly SimulatedModel[] = node.models.map(
    (each, index) =>
      new SimulatedModel({
        ...each,
        clock,
        startMillicores: start[index]!,
        onEvent: (event) => observe(index, event),
      }),
  );
  const total = new TotalLedger(models, isShared ? budgetMillicores : Infinity);
  const nodes = isShared ? [createNode({ clock, budgetMillicores })] : models.map((model) => ownNode(clock, model));
  const systems = models.map((model, index) => {
    const { name, floorFraction } = node.models[index]!;
    const system = nodes[isShared ? 0 : index]!.add({ name, floorFraction, ...model.parts });
    model.begin(system);
    return system;
  });
  return {
    models,
    systems,
    end: (durationMs) => {
      const usedSeconds = models.map((model) => model.usedSeconds);
      nodes.forEach((each) => each.stop());
      const reports = models.map((model, index) => model.report(durationMs, usedSeconds[index]!));
      return { models: reports, allocation: total.report(durationMs, reports), durationMs };
    },
  };
}

/** In force at the start, by model and instance. */
export function simulatedStartMillicores({
  budgetMillicores,
  isShared,
  models,
}: SimulatedNode): readonly (readonly number[])[] {
  return isShared
    ? nodeStartMillicores(models.map(startingInstances), budgetMillicores)
    : models.map(({ environment, simulated: { instances = 1, horizontal } }) =>
        startMillicores(instances, { ...environment.cpu, limits: horizontal?.limits ?? environment.cpu.limits }),
      );
}

/** A model in its share is a node of its own. */
function ownNode(clock: VirtualClock, { parts }: SimulatedModel): Node {
  return createNode({ clock, budgetMillicores: parts.config.limits.maxMillicores });
}

function startingInstances({ environment, simulated }: SimulatedNodeModel): StartingInstances {
  const { cpu } = environment;
  return { count: simulated.instances ?? 1, restingMillicores: restingMillicores(cpu), limits: cpu.limits };
}

/** What all models hold together; asserts that what is in force stays within a budget that they share. */
class TotalLedger {
  readonly #models: readonly SimulatedModel[];
  /** Infinity where each has a share: replicas may have more for the moment in which one becomes ready and all are made smaller. */
  readonly #budgetMillicores: number;
  readonly #held = new HeldCores(0);
  #chargedMillicores: number;

  constructor(models: readonly SimulatedModel[], budgetMillicores: number) {
    this.#models = models;
    this.#budgetMillicores = budgetMillicores;
    this.#chargedMillicores = this.#sum(({ chargedMillicores }) => chargedMillicores);
  }

  /** After the model's own ledger has seen it. */
  observe({ kind, atMs }: Event): void {
    const isOfCores = kind.startsWith('resize') || kind.startsWith('instances-');
    if (!isOfCores) return;
    this.#held.accrue(atMs, this.#chargedMillicores);
    this.#chargedMillicores = this.#sum(({ chargedMillicores }) => chargedMillicores);
    const granted = this.#sum(({ grantedMillicores }) => grantedMillicores);
    if (granted > this.#budgetMillicores)
      throw new Error(`models have ${granted} of ${this.#budgetMillicores} millicores at ${atMs} ms`);
  }

  report(endAtMs: number, models: readonly RunReport[]): AllocationReport {
    this.#held.accrue(endAtMs, this.#chargedMillicores);
    const total = (of: (report: AllocationReport) => number): number =>
      models.reduce((sum, { allocation }) => sum + of(allocation), 0);
    return {
      coreSeconds: total(({ coreSeconds }) => coreSeconds),
      grantedCoreSeconds: total(({ grantedCoreSeconds }) => grantedCoreSeconds),
      resizes: total(({ resizes }) => resizes),
      heldMs: this.#held.heldMs(),
      coresBySecond: this.#held.coresBySecond(),
    };
  }

  #sum(of: (allocation: SimulatedModel['allocation']) => number): number {
    return this.#models.reduce((sum, { allocation }) => sum + of(allocation), 0);
  }
}
