/*
 * What a server tells whoever decides how many of it there are to be, and how large (`sponge operate`): what was asked of its models, what
 * became of it, and how long their batches take on how many cores. Plain data, as it goes over the wire. Counts are since the model was
 * loaded and never fall: whoever reads twice knows what came between, however many others read.
 */

/** Planned latency by batch size (requests) and allocation; between its points it is linear in the size and in 1/cores. */
export interface LatencyGrid {
  /** Ascending, from 1 to the largest batch. */
  readonly batchSizes: readonly number[];
  /** Ascending. */
  readonly millicores: readonly number[];
  /** By batch size, then allocation, ms. */
  readonly plannedMs: readonly (readonly number[])[];
}

export interface ModelDemandReport {
  /** Requests that came, refused ones too. */
  readonly arrived: number;
  /** That had a chance: all but those that no allocation could have met, and those whose client left in time. */
  readonly ended: number;
  /** Of these: shed, expired or late. */
  readonly missed: number;
  /** Queued and running now. */
  readonly heldRequests: number;
  /** What the latest requests came with, ms left when they were received: so many equally likely values, ascending; none before the first. */
  readonly budgetsMs: readonly number[];
  readonly instances: number;
  readonly latency: LatencyGrid;
}

export interface NamedDemandReport extends ModelDemandReport {
  readonly name: string;
  readonly version: string;
}

export interface PodDemandReport {
  /** 1 for now; another number means that fields mean something else. */
  readonly schemaVersion: 1;
  /** Of this process: counts of another one begin anew. */
  readonly process: string;
  readonly isDraining: boolean;
  /** It moves the CPU limit of its own pod. */
  readonly resizesItself: boolean;
  readonly models: readonly NamedDemandReport[];
}

/** Of the budgets of a model. */
export const MOST_TOLD_BUDGETS = 16;
