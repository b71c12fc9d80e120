import { stream } from '../../scheduler/random/streams.js';
import type { Workload } from '../workloads/workload.js';
import { atMeanRate } from './adjust.js';
import { leastCoreMs } from './node-setup.js';
import type { Scenario, VariantScenario } from './schema.js';
import { setUp, type ScenarioSetup } from './setup.js';

/*
 * A scenario of one model with variants: clients and network are the scenario's, machines the variants'. They share the cores.
 */

interface VariantSetup {
  readonly name: string;
  readonly accuracy: number;
  readonly setup: ScenarioSetup;
}

export interface VariantsSetup {
  readonly name: string;
  readonly scenario: Scenario;
  readonly budgetMillicores: number;
  /** By ascending accuracy. */
  readonly variants: readonly VariantSetup[];
  workload(seed: number): Workload;
}

/** @throws Error, one line   @param scenario one with `variants` */
export function setUpVariants(scenario: Scenario, name: string, folder: string): VariantsSetup {
  const stated = [...scenario.variants!].sort((a, b) => a.accuracy - b.accuracy);
  const setups = stated.map((variant) => setUp(scenarioOf(scenario, variant), variant.name, folder));
  const budgetMillicores = setups[0]!.environment.cpu.limits.maxMillicores;
  const middle = setups[Math.floor((setups.length - 1) / 2)]!;
  const { load } = scenario;
  const clients =
    load === undefined
      ? setups[0]!
      : setUp(
          atMeanRate(scenarioOf(scenario, stated[0]!), (load * budgetMillicores) / leastCoreMs(middle)),
          stated[0]!.name,
          folder,
        );
  return {
    ...{ name, scenario, budgetMillicores },
    variants: stated.map(({ name: ofVariant, accuracy }, index) => ({
      ...{ name: ofVariant, accuracy },
      setup: { ...setups[index]!, predictedRatePerSec: clients.predictedRatePerSec },
    })),
    workload: (seed) => clients.workload(seed),
  };
}

/** Of a variant's machine in a run. */
export function variantSeed(seed: number, { name }: Pick<VariantSetup, 'name'>): number {
  return stream(seed, `variant ${name}`).uint32();
}

function scenarioOf(scenario: Scenario, { profile, formula, latencyFactor }: VariantScenario): Scenario {
  return {
    ...scenario,
    variants: undefined,
    load: undefined,
    profile: profile ?? scenario.profile,
    formula: formula ?? (profile === undefined ? scenario.formula : undefined),
    latencyFactor: latencyFactor ?? scenario.latencyFactor,
  };
}
