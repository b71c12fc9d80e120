import { fittedLatencyMs, type LatencyCoefficients } from './fit.js';
import type { Profile, ProfileCell } from './profile.js';

/** As the published tables have them. */
const CORES = [1, 2, 4, 8, 16];
const BATCH_SIZES = [1, 2, 4, 8, 16];

/** The table that a machine would have whose P99 is a formula; as of a publication, without samples. */
export function formulaProfile(name: string, coefficients: LatencyCoefficients): Profile {
  const cells = BATCH_SIZES.flatMap((batchSize) =>
    CORES.map((cores): ProfileCell => {
      const latencyMs = fittedLatencyMs(coefficients, batchSize, cores * 1000);
      return {
        batchSize,
        cpuMillicores: cores * 1000,
        threadCount: cores,
        samplesMs: [],
        p50Ms: latencyMs,
        p95Ms: latencyMs,
        p99Ms: latencyMs,
      };
    }),
  );
  return { schemaVersion: 1, name, fingerprint: null, elementCount: 1, quality: 'published', measuredAt: '', cells };
}
