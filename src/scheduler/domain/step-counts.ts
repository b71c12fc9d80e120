import type { Reason } from './outcome.js';

/** Requests that ended somewhere without an answer, by reason. */
export type Drops = Readonly<Partial<Record<Reason, number>>>;

/** What goes on at one step of a pipeline, or before its first: totals since the pipeline began, but for what waits and runs now. */
export interface StepCounts {
  /** Parts now. */
  readonly waiting: number;
  readonly running: number;
  /** Requests that were here and have left, and how many parts they had, each counted once however often it was tried. */
  readonly requests: number;
  readonly parts: number;
  /** For how long they had parts here, together: where the time of requests goes. */
  readonly spanMs: number;
  /** Parts that were done, and that were not. */
  readonly done: number;
  readonly lost: number;
  /** Of all parts that have left the step. */
  readonly waitedMs: number;
  readonly ranMs: number;
  /** Their shares of the cores that they ran on, core-ms. */
  readonly coreMs: number;
  /** Requests that ended here. */
  readonly dropped: Drops;
}

/** All of a pipeline at an instant. */
export interface PipelineCounts {
  /** Requests that were lost before any step had seen them. */
  readonly door: Drops;
  /** In the order of the pipeline's steps. */
  readonly steps: readonly StepCounts[];
}
