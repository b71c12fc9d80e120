/*
 * A node: one model, or several on the same cores. Each is a system of its own (`system.ts`), with its own queue, plans and warm instances;
 * what they share is one budget of cores. Any instance of any model may take any core that the others do not need now, so that their
 * bursts need not be provided for one by one; who comes first where cores are short is a rule apart (`controlplane/core-claims.ts`).
 *
 * Invariant: the sum of what is in force, or asked for, never exceeds the budget; asserted on every resize (`core-budget.ts`).
 *
 * Rejected: a share of the cores for each model, moved now and then. At four instances each, the best fixed shares in hindsight carry
 * a third less load than sharing does.
 */
import type { Clock } from './clock/clock.js';
import { restingMillicores } from './controlplane/allocations.js';
import { CoreBudget } from './controlplane/core-budget.js';
import type { AllocationLimits } from './domain/plan.js';
import { createSystem, type System, type SystemOptions } from './system.js';

/** A model as it is put on a node: a system but for what the node has. Told of everything that happens to it by its `onEvent`. */
export interface NodeModel extends Omit<SystemOptions, 'clock' | 'budget'> {
  /** Its own among the node's. */
  readonly name: string;
}

export interface NodeOptions {
  readonly clock: Clock;
  readonly budgetMillicores: number;
}

export interface Node {
  /** Whoever holds cores of the node joins it. */
  readonly budget: CoreBudget;
  /** In the order they were added; one that was stopped is not among them any more. */
  readonly systems: readonly System[];
  /** In force now, of all instances of all models. */
  readonly grantedMillicores: number;
  /** @throws Error where the model cannot share cores, or its floor does not fit beside those of the others */
  add(model: NodeModel): System;
  /** Refuses new requests; calls back when every held one has its outcome. */
  drain(onDrained: () => void): void;
  /** Ends whatever is still held as failed, and stops all timers. */
  stop(): void;
}

export function createNode({ clock, budgetMillicores }: NodeOptions): Node {
  const budget = new CoreBudget(budgetMillicores);
  const systems: System[] = [];
  /** A model that cannot share cores: it is alone here. */
  let solitary: string | null = null;
  return {
    budget,
    systems,
    get grantedMillicores() {
      return systems.reduce((sum, system) => sum + system.status().grantedMillicores, 0);
    },
    add: (model) => {
      const { planner, name } = model.policy;
      if (!planner.plansInstances) solitary = `${model.name}: ${name}`;
      if (solitary !== null && systems.length > 0)
        throw new Error(`${solitary} does not plan instances one by one, so it cannot share cores`);
      if (planner.plansInstances) assertRoom(budget, model);
      const made = createSystem({ ...model, clock, budget });
      const system: System = {
        ...made,
        stop: () => {
          made.stop();
          if (systems.includes(system)) systems.splice(systems.indexOf(system), 1);
          if (systems.length === 0) solitary = null;
        },
      };
      systems.push(system);
      return system;
    },
    drain: (onDrained) => {
      let left = systems.length;
      for (const system of systems) {
        system.drain(() => {
          left -= 1;
          if (left === 0) onDrained();
        });
      }
    },
    stop: () => [...systems].forEach((system) => system.stop()),
  };
}

/** @throws Error where instances that rest leave too little for one to run */
function assertRoom(budget: CoreBudget, { name, scalers, config }: NodeModel): void {
  const own = restingMillicores(config);
  const left = budget.totalMillicores - budget.restingMillicores - (scalers.length - 1) * own;
  if (left >= config.limits.minMillicores) return;
  throw new Error(
    `${name}: instances that rest hold all but ${left} of ${budget.totalMillicores} millicores, ` +
      `and a batch needs ${config.limits.minMillicores}; have fewer instances, or more cores`,
  );
}

/** What a model brings, as far as the start is concerned. */
export interface StartingInstances {
  readonly count: number;
  readonly restingMillicores: number;
  readonly limits: AllocationLimits;
}

/**
 * What may be in force when a node is made, by model and instance: the very first one has what the others, which all rest, leave.
 * Where that is too little for a batch, adding the models says so.
 */
export function nodeStartMillicores(
  models: readonly StartingInstances[],
  budgetMillicores: number,
): readonly (readonly number[])[] {
  const resting = models.reduce((sum, model) => sum + model.count * model.restingMillicores, 0);
  return models.map(({ count, restingMillicores: own, limits }, model) =>
    Array.from({ length: count }, (_, instance) =>
      model === 0 && instance === 0 ? Math.min(limits.maxMillicores, budgetMillicores - resting + own) : own,
    ),
  );
}
