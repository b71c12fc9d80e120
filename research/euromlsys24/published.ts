import type { LatencyCoefficients } from '../../src/scheduler/perf-model/fit.js';
import type { PublishedProfileName } from '../../src/scheduler/perf-model/published.js';

/*
 * The numbers that are reproduced, as data. How each is known:
 *
 *   paper   printed in "Sponge" (Razavi, Ghafouri, Mühlhäuser, Jamshidi, Wang; EuroMLSys 2024, doi 10.1145/3642970.3655833)
 *   figure  the arrays that its evaluation figure is drawn from (figures/figure_generator.py of github.com/mehransi/Themis)
 *   code    github.com/saeid93/sponge, its history included
 *   replay  the authors' rules on the authors' data, computed for this project beforehand: no chance in it
 */
export type KnownFrom = 'paper' | 'figure' | 'code' | 'replay';

// ---- the evaluation --------------------------------------------------------------------------------------------------

export const RUN_SEC = 600;
export const SLO_MS = 1000;
/** One image, decoded: 400 × 253 × 3. */
export const IMAGE_BYTES = 303_600;
export const MAX_CORES = 16;

export interface EvaluatedModel {
  readonly profile: 'yolov5s' | 'yolov5n';
  readonly ratePerSec: number;
  readonly maxBatchSize: number;
}

export const YOLOV5S: EvaluatedModel = { profile: 'yolov5s', ratePerSec: 20, maxBatchSize: 8 };
export const YOLOV5N: EvaluatedModel = { profile: 'yolov5n', ratePerSec: 40, maxBatchSize: 16 };

// ---- coefficients ----------------------------------------------------------------------------------------------------

export interface PublishedFit {
  readonly title: string;
  readonly profile: PublishedProfileName;
  readonly quantile: 'p95Ms' | 'p99Ms';
  /** Points that the authors' list has otherwise than their profile. */
  readonly corrections: readonly { readonly batchSize: number; readonly cores: number; readonly latencyMs: number }[];
  readonly coefficients: LatencyCoefficients;
  /** To which the coefficients are known. */
  readonly decimals: number;
  readonly r2: number;
  readonly meanErrorPercent: number;
  readonly maxErrorPercent: number;
}

/** Unweighted least squares on latencies cut to whole ms, as `scipy.optimize.curve_fit` gives it. Known from: replay. */
export const FITS: readonly PublishedFit[] = [
  {
    title: 'YOLOv5s P99, the evaluation',
    profile: 'yolov5s',
    quantile: 'p99Ms',
    corrections: [],
    coefficients: { gamma: 140.435157, delta: 25.238768, epsilon: -50.841515, eta: 22.13587 },
    decimals: 6,
    r2: 0.995,
    meanErrorPercent: 5.6,
    maxErrorPercent: 21,
  },
  {
    title: 'YOLOv5s P95',
    profile: 'yolov5s',
    quantile: 'p95Ms',
    corrections: [],
    coefficients: { gamma: 126.112, delta: 24.225, epsilon: -19.835, eta: 13.634 },
    decimals: 3,
    r2: 0.992,
    meanErrorPercent: 6.5,
    maxErrorPercent: 19,
  },
  {
    title: 'YOLOv5n, series 72',
    profile: 'yolov5n',
    quantile: 'p99Ms',
    corrections: [],
    coefficients: { gamma: 75.086079, delta: 14.501456, epsilon: -62.234767, eta: 7.732639 },
    decimals: 6,
    r2: 0.989,
    meanErrorPercent: 14.8,
    maxErrorPercent: 56,
  },
  {
    title: 'ResNet18 P95, worked example',
    profile: 'resnet18',
    quantile: 'p95Ms',
    // The list in the example; the profile has 189.030 there.
    corrections: [{ batchSize: 16, cores: 4, latencyMs: 169.03 }],
    coefficients: { gamma: 18.290086, delta: 4.488037, epsilon: 45.468846, eta: 1.045813 },
    decimals: 6,
    r2: 0.969,
    meanErrorPercent: 12.5,
    maxErrorPercent: 54,
  },
  {
    title: 'ResNet18 P95, profile',
    profile: 'resnet18',
    quantile: 'p95Ms',
    corrections: [],
    coefficients: { gamma: 18.14, delta: 4.757, epsilon: 45.943, eta: 0.196 },
    decimals: 3,
    r2: 0.966,
    meanErrorPercent: 13.2,
    maxErrorPercent: 53,
  },
  {
    title: 'ResNet18 P99',
    profile: 'resnet18',
    quantile: 'p99Ms',
    corrections: [],
    coefficients: { gamma: 32.355, delta: 4.261, epsilon: 23.183, eta: 3.587 },
    decimals: 3,
    r2: 0.995,
    meanErrorPercent: 9.4,
    maxErrorPercent: 32,
  },
  {
    title: 'YOLOv5n P95, series 307',
    profile: 'yolov5n-series-307',
    quantile: 'p95Ms',
    corrections: [],
    coefficients: { gamma: 314.181, delta: -28.87, epsilon: 261.27, eta: -13.55 },
    decimals: 3,
    r2: 0.956,
    meanErrorPercent: 47.5,
    maxErrorPercent: 149,
  },
];

/** Of the fit to the evaluation's profile, one request on one core: fitted, cut, and measured. */
export const SMALLEST_FITTED_MS = 136;
export const SMALLEST_MEASURED_MS = 151.573;

// ---- decisions -------------------------------------------------------------------------------------------------------

/** [cores, batch size]. */
type Choice = readonly [cores: number, batchSize: number] | 'infeasible';

export interface PublishedDecisions {
  readonly title: string;
  /** Index into `FITS`. */
  readonly fit: number;
  readonly ratePerSec: number;
  readonly maxBatchSize: number;
  readonly sloFraction: number;
  readonly knownFrom: KnownFrom;
  readonly byNetworkDelayMs: readonly (readonly [networkDelayMs: number, choice: Choice])[];
}

export const RELEASED_DECISIONS: readonly PublishedDecisions[] = [
  {
    title: 'ResNet18 at 100/s, the whole SLO: the worked example',
    fit: 3,
    ratePerSec: 100,
    maxBatchSize: 16,
    sloFraction: 1,
    knownFrom: 'code',
    byNetworkDelayMs: [
      [50, [5, 10]],
      [100, [6, 8]],
      [200, [7, 10]],
      [300, [10, 10]],
      [400, [16, 10]],
      [405, 'infeasible'],
    ],
  },
  {
    title: 'YOLOv5s at 20/s, 0.9 of the SLO: the evaluation',
    fit: 0,
    ratePerSec: 20,
    maxBatchSize: 8,
    sloFraction: 0.9,
    knownFrom: 'replay',
    byNetworkDelayMs: [
      [0, [9, 4]],
      [40, [10, 5]],
      [60, [11, 5]],
      [80, [12, 5]],
      [100, [13, 5]],
      [120, [14, 5]],
      [144, [16, 5]],
      [145, 'infeasible'],
    ],
  },
  {
    title: 'YOLOv5s at 10/s, 0.9 of the SLO',
    fit: 0,
    ratePerSec: 10,
    maxBatchSize: 8,
    sloFraction: 0.9,
    knownFrom: 'replay',
    byNetworkDelayMs: [
      [0, [3, 1]],
      [200, [4, 1]],
      [300, [5, 2]],
      [400, [7, 5]],
      [500, [13, 5]],
    ],
  },
];

/** FA2's decisions by the remaining SLO, and the latency that it writes into its log. Known from: code (the log), replay. */
export const FA2_DECISIONS: readonly (readonly [
  remainingSloMs: number,
  instances: number | 'infeasible',
  loggedMs: number | null,
])[] = [
  [600, 10, 633],
  [650, 7, 799],
  [700, 7, 799],
  [750, 7, 799],
  [800, 5, 965],
  [850, 5, 965],
  [900, 5, 965],
  [920, 4, 965],
  [940, 4, 965],
  [960, 4, 965],
  // The deepest dip of the trace; what it logged there is not known.
  [297, 'infeasible', null],
  // Before any traffic.
  [0, 'infeasible', null],
];

// ---- the network -----------------------------------------------------------------------------------------------------

export interface PublishedDelays {
  readonly bytes: number;
  /** Of 600 s. */
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Least remaining SLO as the motivation figure has it, s; null where it does not. */
  readonly worstRemainingSec: number | null;
}

/** Known from: replay; the worst remaining SLO: paper. */
export const DELAYS: readonly PublishedDelays[] = [
  { bytes: 102_400, meanMs: 36.2, p99Ms: 115.7, maxMs: 237.0, worstRemainingSec: 0.76 },
  { bytes: 204_800, meanMs: 72.4, p99Ms: 231.4, maxMs: 474.1, worstRemainingSec: 0.53 },
  { bytes: IMAGE_BYTES, meanMs: 107.3, p99Ms: 343.1, maxMs: 702.8, worstRemainingSec: null },
  { bytes: 512_000, meanMs: 181.0, p99Ms: 578.5, maxMs: 1185.2, worstRemainingSec: 0 },
];

/** MB/s of the log that the paper uses. */
export const BANDWIDTH_MB_PER_SEC = {
  mean: 3.45,
  median: 3.355,
  min: 0.432,
  p1: 0.886,
  p5: 1.328,
  p95: 5.801,
  max: 6.999,
};

// ---- the rules on the trace ------------------------------------------------------------------------------------------

type Histogram = Readonly<Record<number, number>>;

export const RELEASED_REPLAY = {
  yolov5s: { meanCores: 12.745, infeasibleSec: 90, coreChanges: 301, batchSec: { 5: 542, 4: 58 } as Histogram },
  yolov5n: { meanCores: 13.997, infeasibleSec: 148, batchSec: { 8: 312, 10: 151, 5: 121, 4: 16 } as Histogram },
} as const;

/** Seconds by what was chosen; in the infeasible ones n stays what it was and is not counted here. */
export const FA2_REPLAY = {
  meanInstances: 4.718,
  chosenSec: { 5: 318, 4: 245, 7: 33, 10: 2 } as Histogram,
  infeasibleSec: 2,
} as const;

// ---- recorded runs ---------------------------------------------------------------------------------------------------

/** Samples of the core series behind the evaluation figure, by cores. Known from: figure. */
export const RECORDED_CORES: Readonly<Record<'sponge' | 'fa2', Histogram>> = {
  sponge: { 10: 7, 11: 154, 12: 123, 13: 95, 14: 56, 15: 55, 16: 47 },
  fa2: { 1: 9, 4: 243, 5: 276, 7: 32, 10: 1 },
};

export interface RecordedRun {
  readonly violationPercent: number;
  readonly meanCores: number;
  /** A violation count is divided by this for a share; 20 requests a second were sent to all. */
  readonly dividedBy: 40 | 20;
}

/** Known from: figure. */
export const RECORDED = {
  sponge: { violationPercent: 0.2875, meanCores: 12.73, dividedBy: 40 },
  fa2: { violationPercent: 2.3125, meanCores: 4.63, dividedBy: 40 },
  static8: { violationPercent: 86.7, meanCores: 8, dividedBy: 20 },
  static16: { violationPercent: 0, meanCores: 16, dividedBy: 20 },
} as const satisfies Record<string, RecordedRun>;

export const RECORDED_DETAILS = {
  /** Of Sponge: the worst second, and how many of 600 have any. */
  spongeMaxPercent: 5,
  spongeViolatedSec: 65,
  /** FA2's series as the figure plots it. */
  fa2PlottedPercent: 4.78,
  /** Share of FA2's violations in its first 50 s, and its mean after them. */
  fa2StartShare: 0.73,
  fa2StartSec: 50,
  fa2LaterPercent: 0.68,
  fa2MaxPercent: 50,
  /** Static 8: nothing violated before this second … */
  static8CleanSec: 62,
  /** … and everything from this one on. */
  static8LostSec: 100,
  /** YOLOv5n at 40/s for 600 s. Known from: code. */
  yolov5nMeanCores: 13.95,
  yolov5nInfeasibleShare: 138 / 530,
} as const;

/** The abstract. */
export const CLAIMS = {
  /** "over 15x" fewer violations than FA2. */
  fa2Factor: 15,
  /** "~20 %" fewer cores than static 16. */
  coresSavedPercent: 20,
  /** "below 0.3 %" violations. */
  violationPercent: 0.3,
} as const;
