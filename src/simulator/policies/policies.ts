import type { AuthorsConfig } from '../../scheduler/controlplane/baselines/released-planner.js';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import { OnlineLatencyModels } from '../../scheduler/perf-model/latency-model.js';
import type { LatencyModels } from '../../scheduler/perf-model/model-source.js';
import {
  builtPolicy,
  choosePolicy,
  registeredTitles,
  unitMillicoresOf,
  type ChosenPolicy,
  type PolicyTitle,
} from '../../scheduler/policies/chosen-policy.js';
import { stream } from '../../scheduler/random/streams.js';
import type { ScenarioSetup } from '../scenarios/setup.js';
import type { SimulatedPolicy } from '../sim/environment.js';
import { draw } from '../workloads/workload.js';
import { parsePolicySpec } from './policy-spec.js';

/*
 * The policies on a scenario: what the registry has, told what only a scenario knows (the load beforehand, the authors' fit, how long
 * cold starts take), and one that is found in hindsight.
 */

/** Found in hindsight (`best-static.ts`): the least fixed allocation that violates no more than `sponge` does. */
export const BEST_STATIC = 'best-static';

export function policyTitles(): readonly PolicyTitle[] {
  return [
    ...registeredTitles(),
    {
      name: BEST_STATIC,
      title: 'the least fixed allocation that violates no more than sponge does, chosen in hindsight',
    },
  ];
}

/** @throws Error, one line, for an unknown name or parameter   @param text such as `static(cores=4,order=edf)` */
export function checkPolicy(text: string): void {
  if (text !== BEST_STATIC) chosenIn(text);
}

/**
 * A fresh one for each run: some remember.
 * @param sharesCores with other models: a single instance too is planned as one of several
 */
export function policyFor(text: string, setup: ScenarioSetup, seed: number, sharesCores = false): SimulatedPolicy {
  const { scenario, machine, environment, commonSloMs } = setup;
  const { limits, maxBatchSize } = environment.cpu;
  const chosen = chosenIn(text);
  const unitMillicores = unitMillicoresOf(chosen);
  const { policy, learns, instances } = builtPolicy(chosen, {
    limits,
    maxBatchSize,
    sloMs: commonSloMs,
    instances: scenario.cpu.instances,
    sharesCores,
    replicas: { unitMillicores, maxInstances: Math.max(1, Math.floor(limits.maxMillicores / unitMillicores)) },
    authors: () => authorsConfig(setup),
  });
  const models = new OnlineLatencyModels(machine.profile);
  const horizontal = horizontally(chosen, setup, seed);
  return {
    policy: { ...policy, name: text },
    models: learns ? models : unlearning(models),
    ...(horizontal === null ? {} : { horizontal }),
    ...(instances === 1 ? {} : { instances }),
  };
}

function chosenIn(text: string): ChosenPolicy {
  const { name, parameters } = parsePolicySpec(text);
  return choosePolicy(name, parameters, [BEST_STATIC]);
}

function authorsConfig({ machine, environment, predictedRatePerSec, commonSloMs }: ScenarioSetup): AuthorsConfig {
  if (machine.releasedFit === null) {
    throw new Error(`profile ${machine.name} has too few cells for the authors' fit; leave released and fa2 out`);
  }
  return {
    coefficients: machine.releasedFit,
    arrivalRatePerSec: predictedRatePerSec,
    sloMs: commonSloMs,
    maxBatchSize: environment.cpu.maxBatchSize,
  };
}

/** Null where its instances are not started and ended as it goes. */
function horizontally(
  chosen: ChosenPolicy,
  { scenario, environment }: ScenarioSetup,
  seed: number,
): Required<SimulatedPolicy>['horizontal'] | null {
  const { scaling } = chosen;
  if (scaling.kind !== 'replicas') return null;
  const coldStarts = stream(seed, 'cold starts');
  const coldStartMs = (): number => 1000 * draw(scenario.coldStartSec, coldStarts);
  const limits = scaling.areResized ? environment.cpu.limits : unitLimits(unitMillicoresOf(chosen));
  return { replicas: { initial: 1, isWarm: scaling.isFirstWarm, coldStartMs }, limits };
}

/** Of an instance that is of one allocation for good. */
function unitLimits(unitMillicores: number): AllocationLimits {
  return { minMillicores: unitMillicores, maxMillicores: unitMillicores, stepMillicores: unitMillicores };
}

/** The profile alone, whatever batches really take. */
function unlearning(models: LatencyModels): LatencyModels {
  return {
    isProvisional: models.isProvisional,
    forClass: (shapeClass) => models.forClass(shapeClass),
    observe: () => undefined,
  };
}
