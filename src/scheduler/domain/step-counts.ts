import type { Reason } from './outcome.js';

/** What goes on at one step of a pipeline, or before its first: totals since the pipeline began, but for what waits and runs now. */
export interface StepCounts {
  /** Parts now. */
  readonly waiting: number;
  readonly running: number;
  /** Parts that were done, and that were not. */
  readonly done: number;
  readonly lost: number;
  /** Of all parts that have left the step. */
  readonly waitedMs: number;
  readonly ranMs: number;
  /** Their shares of the cores that they ran on, core-ms. */
  readonly coreMs: number;
  /** Requests that ended here, by reason. */
  readonly dropped: Readonly<Partial<Record<Reason, number>>>;
}
