import type { LoadSummary } from '../../src/load/load-summary.js';
import type { RunOrigin } from '../../src/reports/run-origin.js';
import type { Scenario } from '../../src/simulator/scenarios/schema.js';
import type { RunSeries } from './run-series.js';

/*
 * What `npm run research -- live` has found, as plain data: its JSON is this as it stands, and the report, the CSV files and
 * the Markdown page are made from it alone.
 */

/** A policy as it was served and as it was simulated. */
export interface LiveCase {
  /** Short, for tables: `sponge`, `static full`. */
  readonly name: string;
  readonly title: string;
  /** Flags of `sponge serve` that make it. */
  readonly serveFlags: readonly string[];
  /** Whether it is told deadlines: a baseline that knows none is not. */
  readonly isDeadlineAware: boolean;
  /** The same for `sponge simulate`. */
  readonly simulatedPolicy: string;
  /** Warm ones, each with an allocation of its own; absent: one. */
  readonly warmInstances?: number;
}

/** Of one run, live or simulated, in the same words. */
export interface RunMeasures {
  readonly sent: number;
  readonly onTime: number;
  readonly late: number;
  readonly refused: number;
  readonly expired: number;
  /** Lost or failed. */
  readonly failed: number;
  /** The client left before its deadline. */
  readonly cancelled: number;
  readonly violationRate: number;
  readonly goodputPerSec: number;
  readonly durationSec: number;
  /** The ledger: ∫ max(granted, used), cold starts and idle floor included. */
  readonly coreSeconds: number;
  /** By the kernel's own counter of the workers' CPU groups; of the simulated worker. */
  readonly usedCoreSeconds: number | null;
  /** Send → answer at the client, of all answered; null where there are none. */
  readonly latencyP50Ms: number | null;
  readonly latencyP99Ms: number | null;
  readonly meanBatchSize: number;
  readonly resizes: number;
  /** Actual over predicted latency of batches: median. */
  readonly actualToPredictedP50: number | null;
}

export interface LiveRun {
  /** `LiveCase.name`. */
  readonly case: string;
  readonly isIdleReleased: boolean;
  /** From 1 on. */
  readonly repetition: number;
  readonly measures: RunMeasures;
  /** Router and socket threads, outside the resized groups. */
  readonly routerCpuSeconds: number;
  /** Time for which the kernel held the workers' groups back; null where it does not count. */
  readonly throttledSeconds: number | null;
  /** Mean cores that anything else on this machine used meanwhile, the load generator included; null where unknown. */
  readonly otherCores: number | null;
  readonly load: LoadSummary;
  /** From the server's start to its banner. */
  readonly startMs: number;
  /** Of each instance that was added while it served: request → ready. */
  readonly coldStartsMs: readonly number[];
  /** Relative to the report: opens in the dashboard. */
  readonly eventLog: string;
  readonly series: RunSeries;
}

export interface SimulatedRun {
  readonly case: string;
  readonly isIdleReleased: boolean;
  readonly measures: RunMeasures;
  readonly series: RunSeries;
}

export interface LiveResults {
  readonly origin: RunOrigin;
  readonly model: {
    readonly name: string;
    readonly description: string;
    /** Typical ms of a batch of one, and requests/s of the best batch, at some allocations. */
    readonly profile: readonly { readonly cores: number; readonly aloneMs: number; readonly mostPerSec: number }[];
  };
  readonly cpu: {
    /** `cgroup-v1`, … */
    readonly scaler: string;
    readonly minCores: number;
    readonly maxCores: number;
    readonly unitCores: number;
  };
  readonly scenario: Scenario;
  readonly seed: number;
  readonly repetitions: number;
  readonly protocol: string;
  /** Bandwidth of each client, kB/s, a value a second; at most eight of them. */
  readonly bandwidthKbPerSec: readonly (readonly number[])[];
  readonly cases: readonly LiveCase[];
  /** Policies that could not be served here, and why: a sentence each. */
  readonly leftOut: readonly string[];
  /** As they were run. */
  readonly live: readonly LiveRun[];
  /** One for each case and setting. */
  readonly simulated: readonly SimulatedRun[];
  /** The least core-seconds for what can be served (simulated machine), and requests that nobody can answer in time. */
  readonly reference: { readonly servableCoreSeconds: number; readonly infeasible: number };
}
