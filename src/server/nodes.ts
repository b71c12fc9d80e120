import type { Clock } from '../scheduler/clock/clock.js';
import { floorsMillicores } from '../scheduler/controlplane/core-claims.js';
import type { Scaler } from '../scheduler/controlplane/scaler.js';
import { createNode, type Node } from '../scheduler/node.js';
import { grantableMillicores, measureCpuCeiling } from './scalers/cpu-ceiling.js';
import type { ModelSource } from './models/model-repository.js';

/*
 * The node that all models of a server are on, or one for each where they cannot share cores: what plans one allocation and not
 * instances has a share of its own, and where nothing is limited there is nothing to share.
 */

export class Nodes {
  readonly #clock: Clock;
  readonly #isSharing: boolean;
  #shared: Node | null = null;

  /** @param isSharing the policy plans instances, and there is more than one model */
  constructor(clock: Clock, isSharing: boolean) {
    this.#clock = clock;
    this.#isSharing = isSharing;
  }

  /** Whether a model that is limited so shares its node with others. */
  isShared({ isActuating }: Scaler): boolean {
    return this.#isSharing && isActuating;
  }

  /** What all models share; null where they do not. */
  get budgetMillicores(): number | null {
    return this.#shared?.budget.totalMillicores ?? null;
  }

  /** For one model. */
  of(scaler: Scaler): Node {
    const { maxMillicores: budgetMillicores } = scaler.limits;
    if (!this.isShared(scaler)) return createNode({ clock: this.#clock, budgetMillicores });
    this.#shared ??= createNode({ clock: this.#clock, budgetMillicores });
    return this.#shared;
  }
}

/** Of the machine, less the router's part, for each of several models that cannot share; null leaves the machine's own limit. */
export function shareOf(maxMillicores: number | null, modelCount: number): number | null {
  if (modelCount === 1) return maxMillicores;
  const available = grantableMillicores(measureCpuCeiling());
  const total = Math.min(maxMillicores ?? available, available);
  return Math.max(100, Math.floor(total / modelCount / 100) * 100);
}

/**
 * @param floorFractions by model, of the cores that all share
 * @throws Error, in one line, where one is of no model, or they do not fit together
 */
export function assertFloors(sources: readonly ModelSource[], floorFractions: Readonly<Record<string, number>>): void {
  const unknown = Object.keys(floorFractions).find((name) => sources.every((source) => source.name !== name));
  if (unknown !== undefined) throw new Error(`--model-floor ${unknown}: there is no such model here`);
  const fractions = sources.map(({ name, settings }) => floorFractions[name] ?? settings.floorFraction ?? undefined);
  floorsMillicores(fractions, 1);
}
