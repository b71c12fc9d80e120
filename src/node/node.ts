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
import type { Clock } from '../clock/clock.js';
import { restingMillicores } from '../controlplane/allocations.js';
import { CoreBudget } from '../controlplane/core-budget.js';
import type { Event } from '../domain/event.js';
import { createSystem, type System, type SystemOptions } from '../system.js';

export interface NodeModel extends Pick<SystemOptions, 'workers' | 'scalers' | 'policy' | 'models' | 'config'> {
  /** Its own among the node's. */
  readonly name: string;
  /** Of the budget: so much it may have in a backlog before others get more. By default an equal share of half of it. */
  readonly floorFraction?: number;
}

export interface NodeOptions {
  readonly clock: Clock;
  readonly budgetMillicores: number;
  /** At least one. Of several the policy of each plans its instances one by one. */
  readonly models: readonly NodeModel[];
  /** Told of everything, causes before their effects; `model` is an index. It must not call into the node. */
  readonly onEvent: (model: number, event: Event) => void;
}

export interface Node {
  /** In the order of the models. */
  readonly systems: readonly System[];
  /** In force now, of all instances of all models. */
  readonly grantedMillicores: number;
  /** Refuses new requests; calls back when every held one has its outcome. */
  drain(onDrained: () => void): void;
  /** Ends whatever is still held as failed, and stops all timers. */
  stop(): void;
}

/** Of the budget: all floors together by default. The other half goes to whoever is in the greatest hurry. */
const FLOORS_FRACTION = 0.5;

/** @throws Error where the models do not fit the budget */
export function createNode({ clock, budgetMillicores, models, onEvent }: NodeOptions): Node {
  const budget = new CoreBudget(budgetMillicores);
  const floors = floorsMillicores(models, budgetMillicores);
  const start = nodeStartMillicores(models.map(instancesOf), budgetMillicores);
  const systems = models.map((model, index) => {
    const { workers, scalers, policy, config } = model;
    if (models.length > 1 && !policy.planner.plansInstances)
      throw new Error(`${model.name}: ${policy.name} does not plan instances one by one, so it cannot share cores`);
    return createSystem({
      clock,
      workers,
      scalers,
      policy,
      models: model.models,
      config,
      budget,
      floorMillicores: floors[index]!,
      startMillicores: start[index]!,
      onEvent: (event) => onEvent(index, event),
    });
  });
  return {
    systems,
    get grantedMillicores() {
      return systems.reduce((sum, system) => sum + system.status().grantedMillicores, 0);
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
    stop: () => systems.forEach((system) => system.stop()),
  };
}

/** By model, whole millicores. */
export function floorsMillicores(
  models: readonly Pick<NodeModel, 'floorFraction'>[],
  budgetMillicores: number,
): readonly number[] {
  const fractions = models.map(({ floorFraction }) => floorFraction ?? FLOORS_FRACTION / models.length);
  const sum = fractions.reduce((total, fraction) => total + fraction, 0);
  if (sum > 1 + 1e-9 || fractions.some((fraction) => !(fraction >= 0)))
    throw new Error(`floors of ${fractions.join(', ')} of the cores do not fit together; lower them to 1 in all`);
  return fractions.map((fraction) => Math.floor(fraction * budgetMillicores));
}

/** What a model brings, as far as the start is concerned. */
export interface StartingInstances {
  readonly name: string;
  readonly count: number;
  readonly restingMillicores: number;
  readonly limits: NodeModel['config']['limits'];
}

/**
 * What is in force when a node is made, by model and instance: the very first one has what the others, which all rest, leave.
 * @throws Error where instances that rest leave too little for one to start
 */
export function nodeStartMillicores(
  models: readonly StartingInstances[],
  budgetMillicores: number,
): readonly (readonly number[])[] {
  const resting = models.reduce((sum, model) => sum + model.count * model.restingMillicores, 0);
  for (const { name, restingMillicores: own, limits } of models) {
    const left = budgetMillicores - resting + own;
    if (left < limits.minMillicores) {
      throw new Error(
        `${name}: instances that rest hold all but ${left} of ${budgetMillicores} millicores, ` +
          `and a batch needs ${limits.minMillicores}; have fewer instances, or more cores`,
      );
    }
  }
  return models.map(({ count, restingMillicores: own, limits }, model) =>
    Array.from({ length: count }, (_, instance) =>
      model === 0 && instance === 0 ? Math.min(limits.maxMillicores, budgetMillicores - resting + own) : own,
    ),
  );
}

function instancesOf({ name, scalers, config }: NodeModel): StartingInstances {
  return { name, count: scalers.length, restingMillicores: restingMillicores(config), limits: config.limits };
}
