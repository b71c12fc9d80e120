import type { SimulatedPolicy } from '../sim/environment.js';
import type { PolicyTitle } from '../../scheduler/policies/chosen-policy.js';
import { policyFor } from './policies.js';
import { parsePolicySpec } from './policy-spec.js';
import type { NodeSetup } from '../scenarios/node-setup.js';
import type { ScenarioSetup } from '../scenarios/setup.js';

/*
 * Policies of a node of several models: they share its cores, or each has a fixed share of them, in which it is served by what we have
 * for a model alone. Controllers that know of one model only cannot share: two of them would both take the last core.
 */

/** Any model may take any core; or each has a fixed share, as large as the others', or as hindsight would have it. */
type Cores = 'shared' | 'even' | 'best';

interface NodePolicyKind {
  readonly title: string;
  readonly cores: Cores;
  /** Of each model, where nothing else is said: a number, or as the scenario says. Null: it has no instances to say a number of. */
  readonly instances: number | 'scenario' | null;
  /** The policy of a model in its share. */
  readonly ofModel: (instances: number) => string;
  /** Cores of what it starts at least, millicores; by default what a batch needs. */
  readonly leastMillicores?: number;
}

const KINDS: Readonly<Record<string, NodePolicyKind>> = {
  sponge: {
    title: 'ours: every instance may take any core that the others do not need now',
    cores: 'shared',
    instances: 'scenario',
    ofModel: (instances) => `sponge(instances=${instances})`,
  },
  'even-split': {
    title: 'an equal share of the cores for each model, each served by sponge',
    cores: 'even',
    // A split is what one has without knowing of instances.
    instances: 1,
    ofModel: (instances) => `sponge(instances=${instances})`,
  },
  'best-split': {
    title: 'fixed shares in half cores, those that lose fewest requests of the run, chosen in hindsight',
    cores: 'best',
    instances: 1,
    ofModel: (instances) => `sponge(instances=${instances})`,
  },
  'one-core-pool': {
    title: 'instances of one core, which share all cores: EDF of each model, one request at a time',
    cores: 'shared',
    instances: 'scenario',
    ofModel: (instances) => `one-core-pool(instances=${instances})`,
  },
  vpa: {
    title: 'vpa for each model, in shares chosen in hindsight; split=even: in equal ones',
    cores: 'best',
    instances: null,
    ofModel: () => 'vpa',
  },
  fa2: {
    title: 'fa2-published for each model, in shares chosen in hindsight; split=even: in equal ones',
    cores: 'best',
    instances: null,
    ofModel: () => 'fa2-published',
    leastMillicores: 1000,
  },
  themis: {
    title: 'themis for each model, in shares chosen in hindsight; split=even: in equal ones',
    cores: 'best',
    instances: null,
    ofModel: () => 'themis',
  },
};

export interface NodePolicySpec {
  readonly name: string;
  readonly cores: Cores;
  /** Of each model; null: as the scenario says. */
  readonly instances: number | null;
  /** A share of less cannot be. */
  readonly leastMillicores: number;
}

export function nodePolicyTitles(): readonly PolicyTitle[] {
  return Object.entries(KINDS).map(([name, { title }]) => ({ name, title }));
}

/** @throws Error, one line   @param text such as `even-split(instances=4)` */
export function parseNodePolicy(text: string): NodePolicySpec {
  const { name, parameters } = parsePolicySpec(text);
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (kind === undefined)
    throw new Error(`no policy of several models is called ${name}; there are ${Object.keys(KINDS).join(', ')}`);
  const parameter = kind.instances === null ? 'split' : 'instances';
  const unknown = Object.keys(parameters).find((key) => key !== parameter);
  if (unknown !== undefined) throw new Error(`policy ${name} has no parameter ${unknown}; it has ${parameter}`);
  const { leastMillicores = 0 } = kind;
  if (kind.instances === null) {
    const split = parameters['split'] ?? kind.cores;
    if (split !== 'even' && split !== 'best') throw new Error(`policy parameter split=${split}: give even or best`);
    return { name, cores: split, instances: 1, leastMillicores };
  }
  const { cores } = kind;
  const given = parameters['instances'];
  if (given === undefined)
    return { name, cores, instances: kind.instances === 'scenario' ? null : kind.instances, leastMillicores };
  const instances = Number(given);
  if (!Number.isInteger(instances) || instances < 1 || instances > 64)
    throw new Error(`policy parameter instances=${given}: give a whole number from 1 to 64`);
  return { name, cores, instances, leastMillicores };
}

/** By model; made anew for each run. */
export function sharingPolicies(text: string, { models }: NodeSetup, seed: number): readonly SimulatedPolicy[] {
  const { name, instances } = parseNodePolicy(text);
  return models.map(({ setup }) => {
    const count = instances ?? setup.scenario.cpu.instances;
    return policyFor(KINDS[name]!.ofModel(count), setup, seed, true);
  });
}

/** Of one model in its share. */
export function splitPolicy(text: string, share: ScenarioSetup, seed: number): SimulatedPolicy {
  const { name, instances } = parseNodePolicy(text);
  return policyFor(KINDS[name]!.ofModel(instances!), share, seed);
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
