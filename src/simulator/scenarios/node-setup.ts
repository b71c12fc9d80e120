import { allocationAt, stepCount } from '../../scheduler/controlplane/solver.js';
import { stream } from '../../scheduler/random/streams.js';
import { meanMultiplier } from '../sim/service-noise.js';
import { atMeanRate, meanRatePerSec } from './adjust.js';
import type { NodeModelScenario, Scenario } from './schema.js';
import { setUp, type ScenarioSetup } from './setup.js';

/*
 * A scenario of several models: each is a scenario of its own, with what it leaves out taken from the whole, and a seed of its own, so
 * that their bursts are independent and one more model leaves the others' clients as they were.
 */

export interface NodeModelSetup {
  readonly name: string;
  readonly floorFraction?: number;
  readonly setup: ScenarioSetup;
}

export interface NodeSetup {
  readonly name: string;
  readonly scenario: Scenario;
  readonly budgetMillicores: number;
  readonly models: readonly NodeModelSetup[];
}

/** @throws Error, one line   @param scenario one with `models` */
export function setUpNode(scenario: Scenario, name: string, folder: string): NodeSetup {
  const whole = scenario.models!;
  const weights = whole.reduce((sum, { weight }) => sum + weight, 0);
  const scenarios = whole.map((model) => scenarioOf(scenario, model, weights));
  const setups = scenarios.map((each, index) => setUp(each, whole[index]!.name, folder));
  const budgetMillicores = Math.round(1000 * scenario.cpu.maxCores!);
  const { load } = scenario;
  const factor = load === undefined ? 1 : (load * budgetMillicores) / leastDemandMillicores(setups);
  return {
    name,
    scenario,
    budgetMillicores,
    models: whole.map(({ name: ofModel, floorFraction }, index) => {
      const { scenario: own, predictedRatePerSec } = setups[index]!;
      return {
        name: ofModel,
        ...(floorFraction === undefined ? {} : { floorFraction }),
        setup: factor === 1 ? setups[index]! : setUp(atMeanRate(own, factor * predictedRatePerSec), ofModel, folder),
      };
    }),
  };
}

/** Of a model, in a run of the node. */
export function modelSeed(seed: number, { name }: Pick<NodeModelSetup, 'name'>): number {
  return stream(seed, `model ${name}`).uint32();
}

function scenarioOf(scenario: Scenario, model: NodeModelScenario, weights: number): Scenario {
  const { profile, formula, service, payloads, network, leavingFraction, arrivals, weight } = model;
  const merged: Scenario = {
    ...scenario,
    models: undefined,
    pipeline: undefined,
    load: undefined,
    predictedRatePerSec: undefined,
    profile: profile ?? scenario.profile,
    formula: formula ?? (profile === undefined ? scenario.formula : undefined),
    service: service ?? scenario.service,
    payloads: payloads ?? scenario.payloads,
    network: network ?? scenario.network,
    leavingFraction: leavingFraction ?? scenario.leavingFraction,
    cpu: {
      ...scenario.cpu,
      instances: model.cpu?.instances ?? scenario.cpu.instances,
      maxBatch: model.cpu?.maxBatch ?? scenario.cpu.maxBatch,
    },
  };
  if (arrivals !== undefined) return { ...merged, arrivals };
  return atMeanRate(merged, (meanOf(scenario) * weight) / weights);
}

function meanOf({ arrivals, durationSec }: Scenario): number {
  if (arrivals.kind !== 'rates') return meanRatePerSec(arrivals, durationSec);
  const { ratesPerSec } = arrivals;
  if (ratesPerSec === undefined)
    throw new Error('arrivals.file cannot be shared by models; put the rates into arrivals.ratesPerSec');
  return meanRatePerSec({ kind: 'rates', ratesPerSec, repeat: true }, durationSec);
}

/** What all requests cost at least, whatever their deadlines: each in the batch and on the cores that are cheapest for it. */
function leastDemandMillicores(setups: readonly ScenarioSetup[]): number {
  return setups.reduce((sum, setup) => sum + setup.predictedRatePerSec * leastCoreMs(setup), 0);
}

/** Of one request, core-ms. */
export function leastCoreMs({ machine, environment }: ScenarioSetup): number {
  const { limits, maxBatchSize } = environment.cpu;
  let least = Infinity;
  for (let batchSize = 1; batchSize <= maxBatchSize; batchSize++) {
    for (let step = 0; step < stepCount(limits); step++) {
      const cpuMillicores = allocationAt(limits, step);
      const coreMs = (cpuMillicores / 1000) * machine.curve.latencyMs(batchSize, cpuMillicores);
      least = Math.min(least, coreMs / batchSize);
    }
  }
  return least * meanMultiplier(machine.logDeviation);
}
