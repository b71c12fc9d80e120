import type { Profile, ProfileCell } from './profile.js';

/*
 * Published latency tables of the Sponge authors, for simulation, `sponge plan` and regression tests.
 *
 * Source: the notebooks and figure scripts in the history of github.com/saeid93/sponge; the commit is given with each
 * table. Each point was a fresh pod under saturating load for 60 s, intra-op threads = cores, inter-op threads = 1,
 * PyTorch on CPU. The batch size there was an upper bound, so some batches at b ≥ 8 were smaller and their means are too
 * low; P95 and P99 are mostly sound.
 *
 * No samples were published. Where a quantile is unknown the nearest one that is known stands for it: `p50Ms` is the mean
 * (YOLOv5s), else P95 (ResNet18, YOLOv5n series 307), else the one published number (YOLOv5n series 72, whose percentile is
 * not labelled; the authors' controller reads it as P99).
 */

export const PUBLISHED_PROFILE_NAMES = ['yolov5s', 'yolov5n', 'yolov5n-series-307', 'resnet18'] as const;

export type PublishedProfileName = (typeof PUBLISHED_PROFILE_NAMES)[number];

/** Latencies in ms: a row a batch size, a column an allocation. */
type LatencyRows = readonly (readonly number[])[];

interface PublishedTable {
  readonly elementCount: number;
  readonly batchSizes: readonly number[];
  readonly cores: readonly number[];
  /** Threads at `cores` cores. */
  readonly threadCount: (cores: number) => number;
  readonly typicalMs: LatencyRows;
  readonly p95Ms: LatencyRows;
  readonly p99Ms: LatencyRows;
}

/** The evaluation's image, decoded: [height 253, width 400, channel 3]. */
const YOLO_ELEMENTS = 253 * 400 * 3;
/** ImageNet's usual input, [channel 3, height 224, width 224]; the authors do not state theirs. */
const RESNET_ELEMENTS = 3 * 224 * 224;

const threadsAsCores = (cores: number): number => cores;

/** `kamran_yolo.ipynb` at 482fbd46, series 1: 16 requests/s. The table behind the paper's evaluation. */
const YOLOV5S_P95: LatencyRows = [
  [144.277, 112.208, 68.668, 54.4, 49.116],
  [274.876, 178.467, 124.29, 88.277, 70.787],
  [601.764, 371.149, 223.432, 156.191, 125.476],
  [1153.289, 787.625, 462.325, 335.302, 227.235],
];
const YOLOV5S: PublishedTable = {
  elementCount: YOLO_ELEMENTS,
  batchSizes: [1, 2, 4, 8],
  cores: [1, 2, 4, 8, 16],
  threadCount: threadsAsCores,
  typicalMs: [
    [133.17, 103.45, 62.549, 47.719, 42.193],
    [259.32, 164.277, 114.505, 78.307, 62.213],
    [550.175, 354.563, 207.595, 142.809, 108.804],
    [690.559, 560.355, 431.298, 284.343, 195.545],
  ],
  p95Ms: YOLOV5S_P95,
  p99Ms: [
    [151.573, 117.918, 75.657, 57.431, 53.079],
    [288.261, 193.577, 137.768, 100.327, 80.092],
    [606.386, 382.257, 234.1, 180.366, 145.262],
    [1275.413, 835.579, 501.737, 352.873, 262.879],
  ],
};

/** Figure script, series 72. */
const YOLOV5N_SERIES_72: LatencyRows = [
  [79.185, 58.439, 38.409, 34.608, 29.887],
  [135.927, 93.295, 68.014, 52.868, 48.102],
  [295.862, 189.4, 114.224, 88.595, 75.505],
  [554.533, 367.896, 214.707, 158.745, 148.971],
  [1403.76, 880.833, 554.704, 368.466, 307.301],
];
const YOLOV5N: PublishedTable = {
  elementCount: YOLO_ELEMENTS,
  batchSizes: [1, 2, 4, 8, 16],
  cores: [1, 2, 4, 8, 16],
  threadCount: threadsAsCores,
  typicalMs: YOLOV5N_SERIES_72,
  p95Ms: YOLOV5N_SERIES_72,
  p99Ms: YOLOV5N_SERIES_72,
};

/** fc8580a7, series 307: 64 requests/s, eight threads at every allocation; shows what threads > cores cost. */
const YOLOV5N_SERIES_307_P95: LatencyRows = [
  [597.499, 199.672, 91.677, 27.944, 29.01],
  [903.33, 300.47, 145.712, 50.453, 49.421],
  [1709.972, 488.651, 181.734, 83.932, 80.37],
  [2200.53, 788.038, 291.24, 148.779, 144.344],
  [5318.65, 1596.956, 591.409, 278.733, 303.132],
];
const YOLOV5N_EIGHT_THREADS: PublishedTable = {
  elementCount: YOLO_ELEMENTS,
  batchSizes: [1, 2, 4, 8, 16],
  cores: [1, 2, 4, 8, 16],
  threadCount: () => 8,
  typicalMs: YOLOV5N_SERIES_307_P95,
  p95Ms: YOLOV5N_SERIES_307_P95,
  p99Ms: [
    [698.485, 204.913, 94.259, 31.42, 31.756],
    [1092.903, 385.172, 162.487, 55.644, 53.052],
    [2182.02, 516.791, 187.953, 96.187, 88.418],
    [2484.935, 799.122, 298.629, 158.079, 150.261],
    [6397.684, 1704.651, 662.231, 319.847, 332.597],
  ],
};

/** `kamran.ipynb` at fc8580a7, series 303: 128 requests/s. */
const RESNET18_P95: LatencyRows = [
  [45.993, 28.877, 18.015, 12.402, 12.998, 12.614],
  [78.691, 44.688, 27.158, 18.366, 15.046, 14.883],
  [145.413, 82.432, 50.079, 31.439, 26.703, 26.107],
  [287.641, 166.14, 87.943, 57.045, 46.492, 42.403],
  [383.536, 222.231, 189.03, 114.533, 88.064, 86.104],
];
const RESNET18: PublishedTable = {
  elementCount: RESNET_ELEMENTS,
  batchSizes: [1, 2, 4, 8, 16],
  cores: [1, 2, 4, 8, 16, 32],
  threadCount: threadsAsCores,
  typicalMs: RESNET18_P95,
  p95Ms: RESNET18_P95,
  p99Ms: [
    [54.195, 35.003, 23.575, 15.795, 16.013, 14.628],
    [96.245, 55.946, 31.37, 19.888, 17.498, 16.633],
    [176.174, 94.141, 54.822, 36.565, 32.298, 30.501],
    [339.858, 205.022, 92.273, 61.467, 54.881, 53.28],
    [604.74, 340.383, 198.315, 134.329, 103.178, 107.72],
  ],
};

const TABLES: Readonly<Record<PublishedProfileName, PublishedTable>> = {
  yolov5s: YOLOV5S,
  yolov5n: YOLOV5N,
  'yolov5n-series-307': YOLOV5N_EIGHT_THREADS,
  resnet18: RESNET18,
};

export function publishedProfile(name: PublishedProfileName): Profile {
  const table = TABLES[name];
  const cells: ProfileCell[] = [];
  table.batchSizes.forEach((batchSize, row) => {
    table.cores.forEach((cores, column) => {
      cells.push({
        batchSize,
        cpuMillicores: cores * 1000,
        threadCount: table.threadCount(cores),
        samplesMs: [],
        p50Ms: table.typicalMs[row]![column]!,
        p95Ms: table.p95Ms[row]![column]!,
        p99Ms: table.p99Ms[row]![column]!,
      });
    });
  });
  return {
    schemaVersion: 1,
    name,
    fingerprint: null,
    elementCount: table.elementCount,
    quality: 'published',
    measuredAt: '',
    cells,
  };
}
