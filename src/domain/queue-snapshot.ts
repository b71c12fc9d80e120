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

/** What the data plane tells the control plane before each plan. */
export interface QueueSnapshot {
  /** Requests whose deadlines the plan must meet, in queue order. Set-aside requests are not among them. */
  readonly work: readonly QueuedWork[];
  /** `work[i]` is the request with this sequence. */
  readonly sequences: readonly number[];
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
}
