import type { ShapeClass } from './request.js';

/** One queued request as a planner sees it. */
export interface QueuedWork {
  readonly dueAtMs: number;
  /** Index into the snapshot's `classes`; equal indices may share a batch. */
  readonly classIndex: number;
}

/** The batch that the worker is running. */
export interface BatchInFlight {
  readonly shapeClass: ShapeClass;
  readonly batchSize: number;
  readonly threadCount: number;
  /** Share of its predicted work done so far, ≥ 0; above 1 when it takes longer than predicted. */
  readonly progress: number;
}

/** The same, and where it runs. */
export interface RunningInstance extends BatchInFlight {
  readonly instance: number;
}

/**
 * So many of the first due are planned one by one: several batches for each instance, as none has more than 64. Without a bound an arrival
 * cost 0.6 ms with 10,000 and 40 ms with 100,000 waiting, and whoever sends them would stop the router for all.
 */
export const WINDOW_SIZE = 256;
/** From one mark to the next, of the place: what a queue asks for is known to this share. */
export const MARK_SPACING = 1 / 16;

/**
 * One of those that wait behind the window. Marks are so close that no request between two of them asks for a rate more than
 * `MARK_SPACING` above what they ask for: a later place, by at most so much, and a later deadline.
 */
export interface QueueMark {
  /** How many are due before it, in the whole queue. */
  readonly place: number;
  readonly dueAtMs: number;
}

/** What the data plane tells the control plane before each plan. */
export interface QueueSnapshot {
  /** The window: the first `WINDOW_SIZE` requests whose deadlines the plan must meet, in queue order. Set-aside ones are not among them. */
  readonly work: readonly QueuedWork[];
  /** `work[i]` is the request with this sequence. */
  readonly sequences: readonly number[];
  /** Of those that wait behind the window, ascending; the very last is one. */
  readonly behind: readonly QueueMark[];
  readonly classes: readonly ShapeClass[];
  /** The oldest batch that runs. */
  readonly inFlight: BatchInFlight | null;
  /** Every batch that runs, in the order of their starts. */
  readonly running: readonly RunningInstance[];
  /** Instances that can run a batch now; 1 live. */
  readonly instanceCount: number;
  /** The most rows that may share a batch: memory, or 1 for a model that is not batchable. Of requests: `requestsPerBatch`. */
  readonly maxBatchSize: number;
  /** Places in `work` of those whose clients were served less of late than each is to be at least; asked for under overload. */
  readonly belowFloor: () => ReadonlySet<number>;
  /** Requests waiting behind all others: best effort, overdue without a stated deadline, or beyond saving. */
  readonly setAsideCount: number;
  /** When the first of those is due, or was; Infinity without any. */
  readonly setAsideDueAtMs: number;
}
