import type { RunReport, SimulatedPolicy } from '../sim/environment.js';
import { policyFor } from '../policies/policies.js';
import type { ScenarioSetup } from '../scenarios/setup.js';

export interface HindsightChoice {
  readonly chosen: string;
  readonly simulated: SimulatedPolicy;
  readonly report: RunReport;
}

/**
 * Fixed allocations in rising order, whole cores first and then the steps below the first that is good enough: more cores
 * hardly ever violate more, and where they do by a few requests, the choice is off by as little.
 */
export function bestStatic(
  setup: ScenarioSetup,
  seed: number,
  run: (simulated: SimulatedPolicy) => RunReport,
): HindsightChoice {
  const { limits, maxBatchSize } = setup.environment.cpu;
  const attempt = (cpuMillicores: number): HindsightChoice => {
    const chosen = `static(cores=${cpuMillicores / 1000},batch=${maxBatchSize},order=edf,batching=sponge,admission=sponge,expiry=on)`;
    const simulated = policyFor(chosen, setup, seed);
    return { chosen, simulated, report: run(simulated) };
  };
  const most = feasibleViolations(run(policyFor('sponge', setup, seed)));
  const isGoodEnough = ({ report }: HindsightChoice): boolean => feasibleViolations(report) <= most;

  const tried: HindsightChoice[] = [];
  const firstGood = (millicores: readonly number[]): HindsightChoice | undefined =>
    millicores.find((each) => {
      tried.push(attempt(each));
      return isGoodEnough(tried.at(-1)!);
    }) === undefined
      ? undefined
      : tried.at(-1)!;

  const { minMillicores, maxMillicores, stepMillicores } = limits;
  const coarseStep = Math.max(1000, stepMillicores);
  const coarse = firstGood(steps(minMillicores, maxMillicores, coarseStep));
  if (coarse === undefined) {
    return tried.reduce((best, each) =>
      feasibleViolations(each.report) < feasibleViolations(best.report) ? each : best,
    );
  }
  const coarseMillicores = minMillicores + (tried.length - 1) * coarseStep;
  const below = steps(
    Math.max(minMillicores, coarseMillicores - coarseStep) + stepMillicores,
    coarseMillicores,
    stepMillicores,
  );
  return firstGood(below.slice(0, -1)) ?? coarse;
}

function feasibleViolations({ outcomes }: RunReport): number {
  const due = outcomes.sent - outcomes.cancelled - outcomes.infeasibleOnArrival;
  return due - (outcomes.onTime - outcomes.infeasibleOnTime);
}

/** from, from + step, …, and `to` itself. */
function steps(from: number, to: number, step: number): number[] {
  const values: number[] = [];
  for (let value = from; value < to; value += step) values.push(value);
  return [...values, to];
}
