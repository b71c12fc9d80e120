import type { Profile, ProfileCell } from './profile.js';

/** One latency at one (b, c) point: what fits and tables are made from. */
export interface LatencyPoint {
  /** Integer ≥ 1. */
  readonly batchSize: number;
  /** > 0. */
  readonly cpuMillicores: number;
  /** > 0. */
  readonly latencyMs: number;
}

/** A latency surface l(b, c), non-decreasing in b and non-increasing in c. */
export interface LatencyCurve {
  /**
   * @param batchSize integer ≥ 1
   * @param cpuMillicores > 0
   * @returns ms
   */
  latencyMs(batchSize: number, cpuMillicores: number): number;
}

/** One quantile of each cell of a profile. */
export function cellPoints(profile: Profile, quantile: 'p50Ms' | 'p95Ms' | 'p99Ms'): LatencyPoint[] {
  return profile.cells.map((cell: ProfileCell) => ({
    batchSize: cell.batchSize,
    cpuMillicores: cell.cpuMillicores,
    latencyMs: cell[quantile],
  }));
}
