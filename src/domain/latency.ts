/**
 * Latency of one batch, dispatch to reply, in ms, for one shape class. Non-increasing in `cpuMillicores`,
 * non-decreasing in `batchSize`; both hold for every implementation, and the solver relies on them.
 * @see Sponge (EuroMLSys '24), latency model l(b, c)
 */
export interface LatencyModel {
  /** The typical (median) latency. */
  predictedLatencyMs(batchSize: number, cpuMillicores: number): number;
  /** The latency to plan with: exceeded by about 1 % of batches. */
  plannedLatencyMs(batchSize: number, cpuMillicores: number): number;
}
