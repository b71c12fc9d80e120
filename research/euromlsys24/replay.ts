import { FA2_MAX_INSTANCES, fa2Plan } from '../../src/scheduler/controlplane/baselines/fa2.js';
import {
  RELEASED_SLO_FRACTION,
  releasedPlan,
  type ReleasedPlan,
} from '../../src/scheduler/controlplane/baselines/released.js';
import type { LatencyCoefficients } from '../../src/scheduler/perf-model/fit.js';
import { IMAGE_BYTES, MAX_CORES, SLO_MS, type EvaluatedModel } from './published.js';
import { meanOf } from './spread.js';

/*
 * The authors' rules over a bandwidth series, a decision a second, without any server: what they decide follows from the
 * network alone. In each second the plan counts that is held after its decision.
 */

export interface ReleasedReplay {
  readonly meanCores: number;
  readonly infeasibleSec: number;
  readonly coreChanges: number;
  /** Seconds in which it was held. */
  readonly secByBatchSize: Readonly<Record<number, number>>;
  readonly secByCores: Readonly<Record<number, number>>;
  readonly coresBySecond: readonly number[];
}

/** As the evaluation starts: all cores, one request a batch. */
const START: ReleasedPlan = { cores: MAX_CORES, batchSize: 1 };

export function replayReleased(
  bytesPerMs: readonly number[],
  coefficients: LatencyCoefficients,
  { ratePerSec, maxBatchSize }: EvaluatedModel,
): ReleasedReplay {
  // The rule looks at nothing but the delay, of which there are few hundred.
  const choices = new Map<number, ReleasedPlan | null>();
  const choiceAt = (networkDelayMs: number): ReleasedPlan | null => {
    let choice = choices.get(networkDelayMs);
    if (choice === undefined) {
      const { isFeasible, plan } = releasedPlan({
        coefficients,
        arrivalRatePerSec: ratePerSec,
        sloMs: SLO_MS,
        networkDelayMs,
        sloFraction: RELEASED_SLO_FRACTION,
        maxCores: MAX_CORES,
        maxBatchSize,
        current: START,
      });
      choice = isFeasible ? plan : null;
      choices.set(networkDelayMs, choice);
    }
    return choice;
  };

  let held = START;
  let infeasibleSec = 0;
  let coreChanges = 0;
  const secByBatchSize: Record<number, number> = {};
  const secByCores: Record<number, number> = {};
  const coresBySecond = bytesPerMs.map((rate) => {
    const choice = choiceAt(SLO_MS - remainingSloMs(rate));
    if (choice === null) infeasibleSec += 1;
    else {
      if (choice.cores !== held.cores) coreChanges += 1;
      held = choice;
    }
    count(secByBatchSize, held.batchSize);
    count(secByCores, held.cores);
    return held.cores;
  });
  return { meanCores: meanOf(coresBySecond), infeasibleSec, coreChanges, secByBatchSize, secByCores, coresBySecond };
}

export interface Fa2Replay {
  readonly meanInstances: number;
  readonly infeasibleSec: number;
  /** Seconds in which it was chosen; where nothing fits, none is. */
  readonly secByChosen: Readonly<Record<number, number>>;
  readonly batchSizes: readonly number[];
  readonly instancesBySecond: readonly number[];
}

/** From one instance, as the evaluation starts. */
export function replayFa2(
  bytesPerMs: readonly number[],
  coefficients: LatencyCoefficients,
  { ratePerSec, maxBatchSize }: EvaluatedModel,
): Fa2Replay {
  let held = 1;
  let infeasibleSec = 0;
  const secByChosen: Record<number, number> = {};
  const batchSizes = new Set<number>();
  const known = new Map<number, ReturnType<typeof fa2Plan>['best']>();
  const instancesBySecond = bytesPerMs.map((rate) => {
    const leftMs = remainingSloMs(rate);
    let best = known.get(leftMs);
    if (best === undefined) {
      ({ best } = fa2Plan({
        coefficients,
        arrivalRatePerSec: ratePerSec,
        sloMs: SLO_MS,
        remainingSloMs: leftMs,
        sloFraction: RELEASED_SLO_FRACTION,
        maxInstances: FA2_MAX_INSTANCES,
        maxBatchSize,
      }));
      known.set(leftMs, best);
    }
    if (best === null) infeasibleSec += 1;
    else {
      held = best.instances;
      batchSizes.add(best.batchSize);
      count(secByChosen, held);
    }
    return held;
  });
  return {
    meanInstances: meanOf(instancesBySecond),
    infeasibleSec,
    secByChosen,
    batchSizes: [...batchSizes].sort((a, b) => a - b),
    instancesBySecond,
  };
}

/** Of the evaluation's image, in whole ms, as the load generator sends it along. */
function remainingSloMs(bytesPerMs: number): number {
  return Math.trunc(SLO_MS - IMAGE_BYTES / bytesPerMs);
}

/**
 * What the evaluation figure adds to FA2's violations, in percent of the run: of each growth from n to n' instances after
 * second 20, (n' − n) / n'.
 */
export function plottedGrowthPercent(instancesBySecond: readonly number[]): number {
  const added = instancesBySecond.map((instances, second) => {
    const before = instancesBySecond[second - 1] ?? instances;
    return second > PLOTTED_FROM_SEC && instances > before ? (instances - before) / instances : 0;
  });
  return 100 * meanOf(added);
}

const PLOTTED_FROM_SEC = 20;

function count(histogram: Record<number, number>, key: number): void {
  histogram[key] = (histogram[key] ?? 0) + 1;
}
