/** Measured latencies of one (batch size, allocation) point. */
export interface ProfileCell {
  readonly batchSize: number;
  readonly cpuMillicores: number;
  readonly threadCount: number;
  /** Dispatch → reply of each run, ms, in the order measured. Empty where only quantiles were published. */
  readonly samplesMs: readonly number[];
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

/** What a profile was taken of and on. A profile is stale when any of it differs from what `serve` is about to use. */
export interface ProfileFingerprint {
  readonly modelSha256: string;
  readonly cpuModel: string;
  readonly cpuCount: number;
  readonly scaler: string;
  readonly quotaPeriodUs: number;
  readonly threadCounts: readonly number[];
  readonly onnxRuntimeVersion: string;
  /** Shape class that was measured, and its input elements per request. */
  readonly shapeClassKey: string;
}

/** How much the model's own instances slow each other down. */
export interface MeasuredInterference {
  /** φ: latency beside a share f of the interfering cores, over latency alone, is 1 + φ·f (`interference.ts`). */
  readonly coefficient: number;
  readonly cells: readonly InterferenceCell[];
}

/** One batch size and allocation, on one instance alone and on several at once, in turns. */
export interface InterferenceCell {
  readonly batchSize: number;
  /** Of each instance. */
  readonly cpuMillicores: number;
  readonly instances: number;
  /** Runs of the first instance. */
  readonly runs: number;
  /** Medians. */
  readonly aloneMs: number;
  readonly besideMs: number;
}

export interface Profile {
  readonly schemaVersion: 1;
  /** Where it comes from: a measured model's name, or a publication. */
  readonly name: string;
  readonly fingerprint: ProfileFingerprint | null;
  /** Input elements of one row of the measured class, and the sizes of its axes; old files and publications have no sizes. */
  readonly elementCount: number;
  readonly axisSizes?: readonly number[] | undefined;
  /** `quick` profiles have few runs a cell and are planned with a wider margin. */
  readonly quality: 'quick' | 'full' | 'published';
  /** ISO 8601; empty for published tables. */
  readonly measuredAt: string;
  readonly cells: readonly ProfileCell[];
  /** Absent where it was not measured: one instance, or no core for another. */
  readonly interference?: MeasuredInterference | undefined;
}
