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
  /**
   * The least latency that a request may be refused by: at most `plannedLatencyMs`, equal to it where the class is well
   * measured, and less, down to what a batch surely takes, where what is planned with is a guess. Planning is cautious about
   * what nobody has measured, refusing must not be.
   */
  leastLatencyMs(batchSize: number, cpuMillicores: number): number;
}

/**
 * The typical latency, or less where that is a guess: what a request that waits may be given up by.
 * @returns ms, at most `predictedLatencyMs`
 */
export function hopefulLatencyMs(model: LatencyModel, batchSize: number, cpuMillicores: number): number {
  return Math.min(model.predictedLatencyMs(batchSize, cpuMillicores), model.leastLatencyMs(batchSize, cpuMillicores));
}

/** A latency that is known exactly: typical, planned with and least are the same. */
export function exactLatency(latencyMs: LatencyModel['predictedLatencyMs']): LatencyModel {
  return { predictedLatencyMs: latencyMs, plannedLatencyMs: latencyMs, leastLatencyMs: latencyMs };
}

/** Of what nothing is known: any allocation will do, and nothing is refused for it. */
export const NO_LATENCY: LatencyModel = exactLatency(() => 0);
