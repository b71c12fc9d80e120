import type { Evaluation } from './evaluation.js';
import { resultsIn } from './evaluation.js';
import { PAPER_SETTING, SERVICES } from './evaluation-jobs.js';
import type { LatencyFit } from './latency-fits.js';
import type { NetworkSource } from './network-source.js';
import { IMAGE_BYTES, RELEASED_REPLAY, YOLOV5N, YOLOV5S, type EvaluatedModel } from './published.js';
import { delaysOf } from './remaining-slo.js';
import {
  plottedGrowthPercent as plottedGrowth,
  replayFa2,
  replayReleased,
  type Fa2Replay,
  type ReleasedReplay,
} from './replay.js';
import { spreadOf, type Spread } from './spread.js';

/*
 * The rules over the network, replayed and simulated. One ten-minute log is one draw: to tell how much of a difference is
 * that draw, the replays are made on many generated series as well.
 */

export interface ModelReplays {
  readonly model: EvaluatedModel;
  readonly published: (typeof RELEASED_REPLAY)['yolov5s' | 'yolov5n'];
  readonly bySeed: readonly ReleasedReplay[];
  readonly meanCores: Spread;
  readonly infeasibleSec: Spread;
  readonly coreChanges: Spread;
  /** In the simulator, its own loop: of every decision. Seed by seed; on the fitted service. */
  readonly simulated: { readonly meanCores: Spread; readonly infeasibleShare: Spread; readonly coreChanges: Spread };
  /** The largest difference between a seed's simulated and replayed mean. */
  readonly largestGap: number;
}

export interface Fa2Replays {
  readonly bySeed: readonly Fa2Replay[];
  readonly meanInstances: Spread;
  readonly infeasibleSec: Spread;
  /** What the evaluation figure adds to its violations, percent. */
  readonly plottedGrowthPercent: Spread;
}

/** Over many generated series, however many seeds there are. */
export interface Population {
  readonly series: number;
  readonly meanDelayMs: Spread;
  readonly p99DelayMs: Spread;
  readonly maxDelayMs: Spread;
  readonly yolov5s: Pick<ModelReplays, 'meanCores' | 'infeasibleSec' | 'coreChanges'>;
  readonly yolov5n: Pick<ModelReplays, 'meanCores' | 'infeasibleSec' | 'coreChanges'>;
  readonly fa2: Omit<Fa2Replays, 'bySeed'>;
}

export interface Replays {
  readonly released: readonly ModelReplays[];
  readonly fa2: Fa2Replays;
  /** Null with a log: it is what it is. */
  readonly population: Population | null;
}

/** Ten minutes each: 67 hours. */
const POPULATION_SERIES = 400;

export interface ReplayPlan {
  readonly network: NetworkSource;
  readonly seeds: readonly number[];
  readonly durationSec: number;
}

/** @param fits of the evaluation's model first */
export function replays(plan: ReplayPlan, fits: readonly LatencyFit[], evaluation: Evaluation): Replays {
  const { network, seeds, durationSec } = plan;
  const series = seeds.map((seed) => network.bytesPerMs(seed, durationSec));
  return {
    released: [YOLOV5S, YOLOV5N].map((model) => modelReplays(model, series, fits, evaluation)),
    fa2: fa2Replays(series, fits),
    population: network.kind === 'generated' ? population(plan, fits) : null,
  };
}

function modelReplays(
  model: EvaluatedModel,
  series: readonly (readonly number[])[],
  fits: readonly LatencyFit[],
  evaluation: Evaluation,
): ModelReplays {
  const bySeed = releasedReplays(model, series, fits);
  const simulated = resultsIn(evaluation, 'released', { service: SERVICES[0], ...PAPER_SETTING }, model).map(
    ({ decisions }) => decisions!,
  );
  return {
    model,
    published: RELEASED_REPLAY[model.profile],
    bySeed,
    ...replaySpreads(bySeed),
    simulated: {
      meanCores: spreadOf(simulated.map(({ meanCores }) => meanCores)),
      infeasibleShare: spreadOf(simulated.map(({ infeasible, count }) => infeasible / count)),
      coreChanges: spreadOf(simulated.map(({ coreChanges }) => coreChanges)),
    },
    largestGap: Math.max(...simulated.map(({ meanCores }, index) => Math.abs(meanCores - bySeed[index]!.meanCores))),
  };
}

function releasedReplays(
  model: EvaluatedModel,
  series: readonly (readonly number[])[],
  fits: readonly LatencyFit[],
): ReleasedReplay[] {
  const { coefficients } = fits.find(({ published }) => published.profile === model.profile)!;
  return series.map((bytesPerMs) => replayReleased(bytesPerMs, coefficients, model));
}

function replaySpreads(
  replayed: readonly ReleasedReplay[],
): Pick<ModelReplays, 'meanCores' | 'infeasibleSec' | 'coreChanges'> {
  return {
    meanCores: spreadOf(replayed.map(({ meanCores }) => meanCores)),
    infeasibleSec: spreadOf(replayed.map(({ infeasibleSec }) => infeasibleSec)),
    coreChanges: spreadOf(replayed.map(({ coreChanges }) => coreChanges)),
  };
}

function fa2Replays(series: readonly (readonly number[])[], fits: readonly LatencyFit[]): Fa2Replays {
  const bySeed = series.map((bytesPerMs) => replayFa2(bytesPerMs, fits[0]!.coefficients, YOLOV5S));
  return {
    bySeed,
    meanInstances: spreadOf(bySeed.map(({ meanInstances }) => meanInstances)),
    infeasibleSec: spreadOf(bySeed.map(({ infeasibleSec }) => infeasibleSec)),
    plottedGrowthPercent: spreadOf(bySeed.map(({ instancesBySecond }) => plottedGrowth(instancesBySecond))),
  };
}

function population({ network, durationSec }: ReplayPlan, fits: readonly LatencyFit[]): Population {
  const series = Array.from({ length: POPULATION_SERIES }, (_, index) => network.bytesPerMs(index + 1, durationSec));
  const delays = series.map((bytesPerMs) => delaysOf(bytesPerMs, IMAGE_BYTES));
  const { meanInstances, infeasibleSec, plottedGrowthPercent } = fa2Replays(series, fits);
  return {
    series: POPULATION_SERIES,
    meanDelayMs: spreadOf(delays.map(({ meanMs }) => meanMs)),
    p99DelayMs: spreadOf(delays.map(({ p99Ms }) => p99Ms)),
    maxDelayMs: spreadOf(delays.map(({ maxMs }) => maxMs)),
    yolov5s: replaySpreads(releasedReplays(YOLOV5S, series, fits)),
    yolov5n: replaySpreads(releasedReplays(YOLOV5N, series, fits)),
    fa2: { meanInstances, infeasibleSec, plottedGrowthPercent },
  };
}

/** How many standard deviations a published number lies above the mean of the population. */
export function deviationsFrom({ mean, deviation }: Spread, published: number): number {
  return deviation === 0 ? 0 : (published - mean) / deviation;
}
