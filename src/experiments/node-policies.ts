import type { SimulatedPolicy } from '../sim/environment.js';
import { policyFor, sharingPolicy, type PolicyTitle } from './policies.js';
import { parsePolicySpec } from './policy-spec.js';
import type { NodeSetup } from './scenarios/node-setup.js';
import type { ScenarioSetup } from './scenarios/setup.js';

/*
 * Policies of a node of several models: they share its cores, or each has a fixed share of them, in which it is served by what we have
 * for a model alone.
 */

const TITLES: Readonly<Record<string, string>> = {
  sponge: 'ours: every instance may take any core that the others do not need now',
  'even-split': 'an equal share of the cores for each model, each served by sponge',
  'best-split': 'fixed shares in half cores, those that lose fewest requests of the run, chosen in hindsight',
};

export interface NodePolicySpec {
  readonly name: string;
  /** Of each model; null: as the scenario says. */
  readonly instances: number | null;
}

export function nodePolicyTitles(): readonly PolicyTitle[] {
  return Object.entries(TITLES).map(([name, title]) => ({ name, title }));
}

/** @throws Error, one line   @param text such as `even-split(instances=4)` */
export function parseNodePolicy(text: string): NodePolicySpec {
  const { name, parameters } = parsePolicySpec(text);
  if (!Object.hasOwn(TITLES, name)) {
    throw new Error(`no policy of several models is called ${name}; there are ${Object.keys(TITLES).join(', ')}`);
  }
  const unknown = Object.keys(parameters).find((key) => key !== 'instances');
  if (unknown !== undefined) throw new Error(`policy ${name} has no parameter ${unknown}; it has instances`);
  const given = parameters['instances'];
  // A split is what one has without knowing of instances.
  if (given === undefined) return { name, instances: name === 'sponge' ? null : 1 };
  const instances = Number(given);
  if (!Number.isInteger(instances) || instances < 1 || instances > 64)
    throw new Error(`policy parameter instances=${given}: give a whole number from 1 to 64`);
  return { name, instances };
}

/** By model; made anew for each run. */
export function sharingPolicies(text: string, { models }: NodeSetup): readonly SimulatedPolicy[] {
  const { instances } = parseNodePolicy(text);
  return models.map(({ setup }) => sharingPolicy(text, setup, instances ?? setup.scenario.cpu.instances));
}

/** Of one model in its share. */
export function splitPolicy(text: string, share: ScenarioSetup, seed: number): SimulatedPolicy {
  const { instances } = parseNodePolicy(text);
  return policyFor(`sponge(instances=${instances!})`, share, seed);
}

/** The same model on fewer cores. */
export function withCores(setup: ScenarioSetup, millicores: number): ScenarioSetup {
  const { environment } = setup;
  const { cpu } = environment;
  return {
    ...setup,
    environment: { ...environment, cpu: { ...cpu, limits: { ...cpu.limits, maxMillicores: millicores } } },
  };
}
