/*
 * Would several models fit on one budget of cores, and how much more than asked for could they carry?
 *
 * They fit *apart* where what each needs (`what-if-instances.ts`) is there for all of them at once: no model ever waits for another's
 * cores. They fit *shared* where only what they hold on average does: any instance may take any core that the others do not need at
 * that moment, so what is met then depends on how their bursts coincide, and a simulation tells. Where not even that is there, somebody
 * is refused whoever plans.
 */
import type { PowerCurve } from '../perf-model/power-curve.js';
import { whatIf } from './what-if.js';
import {
  curveOf,
  leastMeanMillicores,
  limitsOfEach,
  whatIfInstances,
  whatIfUpTo,
  worthwhileInstances,
  type InstancesAnswer,
  type InstancesQuestion,
} from './what-if-instances.js';
import { sumOrNull } from '../domain/sum-or-null.js';

export interface NodeQuestion {
  readonly budgetMillicores: number;
  readonly models: readonly ModelQuestion[];
}

/** Its `limits.maxMillicores` is at most the budget. */
export interface ModelQuestion extends InstancesQuestion {
  /** Null: as many as are worth it, up to `MOST_INSTANCES`. */
  readonly instances: number | null;
}

/** As many as a server has by default. */
export const MOST_INSTANCES = 4;

export interface NodeAnswer {
  readonly fits: 'apart' | 'shared' | 'no';
  /** In the order of the models. */
  readonly models: readonly InstancesAnswer[];
  /** What all need at once; null where a model cannot be met on all cores. */
  readonly togetherMillicores: number | null;
  /** What all hold at least on average; null where one cannot be served on all cores. */
  readonly leastMeanMillicores: number | null;
  /** All rates times this fill the node on average: so many instances cannot carry more, whoever plans. */
  readonly fullAtLoad: number;
  /** All rates times this still fit apart, to a hundredth of `fullAtLoad`; 0 where nothing does. */
  readonly apartAtLoad: number;
}

export function whatIfNode({ budgetMillicores, models }: NodeQuestion): NodeAnswer {
  const counted = models.map((model) => ({
    ...model,
    count: model.instances ?? worthwhileInstances(whatIfUpTo(model, MOST_INSTANCES)) ?? 1,
    curve: curveOf(model),
  }));
  const answers = counted.map((model) => whatIfInstances(model, model.count));
  const togetherMillicores = sumOrNull(answers.map((each) => (each.feasible ? each.togetherMillicores : null)));
  const meanMillicores = sumOrNull(answers.map((each) => each.leastMeanMillicores));
  const fullAtLoad = loadThatFills(counted, budgetMillicores);
  const fitsApart = togetherMillicores !== null && togetherMillicores <= budgetMillicores;
  return {
    fits: fitsApart ? 'apart' : fullAtLoad >= 1 && togetherMillicores !== null ? 'shared' : 'no',
    models: answers,
    togetherMillicores,
    leastMeanMillicores: meanMillicores,
    fullAtLoad,
    apartAtLoad: loadThatFitsApart(counted, budgetMillicores, fullAtLoad),
  };
}

interface CountedModel extends ModelQuestion {
  readonly count: number;
  readonly curve: PowerCurve;
}

/** Means grow with the load, so it is found by bisection. */
function loadThatFills(models: readonly CountedModel[], budgetMillicores: number): number {
  const isCarried = (load: number): boolean => {
    const mean = sumOrNull(
      models.map(({ curve, count, arrivalRatePerSec }) =>
        leastMeanMillicores(curve, count, load * arrivalRatePerSec, budgetMillicores),
      ),
    );
    return mean !== null && mean <= budgetMillicores;
  };
  let [low, high] = [0, 1];
  while (isCarried(high)) [low, high] = [high, 2 * high];
  for (let halving = 0; halving < 40; halving++) {
    const middle = (low + high) / 2;
    if (isCarried(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** From above: more requests fill a batch sooner, so what is needed does not always grow with the load. */
function loadThatFitsApart(models: readonly CountedModel[], budgetMillicores: number, fullAtLoad: number): number {
  for (let percent = 100; percent > 0; percent--) {
    const load = (percent / 100) * fullAtLoad;
    let left = budgetMillicores;
    const doFit = models.every((model) => {
      const { count: instances, limits } = model;
      const arrivalRatePerSec = load * model.arrivalRatePerSec;
      const answer = whatIf({ ...model, arrivalRatePerSec, instances, limits: limitsOfEach(limits, instances) });
      left -= instances * answer.cpuMillicores;
      return answer.feasible && left >= 0;
    });
    if (doFit) return load;
  }
  return 0;
}
