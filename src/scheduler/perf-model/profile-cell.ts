import type { ProfileCell } from './profile.js';
import { quantile } from './quantile.js';

/** What one cell of the profiling grid runs. */
export interface GridCell {
  readonly batchSize: number;
  readonly cpuMillicores: number;
  readonly threadCount: number;
}

/**
 * Summarises the runs of one cell; quantiles by linear interpolation between ranks.
 * @param samplesMs dispatch → reply of each run, in the order measured; at least one
 */
export function profileCell(cell: GridCell, samplesMs: readonly number[]): ProfileCell {
  const ascending = Float64Array.from(samplesMs).sort();
  return {
    batchSize: cell.batchSize,
    cpuMillicores: cell.cpuMillicores,
    threadCount: cell.threadCount,
    samplesMs,
    p50Ms: quantile(ascending, 0.5),
    p95Ms: quantile(ascending, 0.95),
    p99Ms: quantile(ascending, 0.99),
  };
}
