import type { LatencyModel } from '../domain/latency.js';

/**
 * By index i, the latest instant at which the worker may become free so that the i-th request and all after it can still meet
 * their deadlines, in batches of any sizes at one allocation; Infinity behind the last. Backwards,
 *
 *     latest[i] = max over m of min(due[i], latest[i + m]) − l(m)
 *
 * which is exact: served in EDF order, only the first deadline of a batch binds it. O(n·b).
 */
export function latestStarts(
  dueAtMs: readonly number[],
  model: LatencyModel,
  maxBatchSize: number,
  cpuMillicores: number,
): Float64Array {
  const count = dueAtMs.length;
  const latest = new Float64Array(count + 1);
  const latenciesMs = new Float64Array(Math.min(maxBatchSize, count) + 1);
  for (let size = 1; size < latenciesMs.length; size++) {
    latenciesMs[size] = model.predictedLatencyMs(size, cpuMillicores);
  }
  latest[count] = Infinity;
  for (let head = count - 1; head >= 0; head--) {
    const due = dueAtMs[head]!;
    const sizeLimit = Math.min(latenciesMs.length - 1, count - head);
    let best = -Infinity;
    for (let size = 1; size <= sizeLimit; size++) {
      const latencyMs = latenciesMs[size]!;
      if (due - latencyMs <= best) break; // Larger batches are no shorter.
      const next = latest[head + size]!;
      const startAtMs = (next < due ? next : due) - latencyMs;
      if (startAtMs > best) best = startAtMs;
    }
    latest[head] = best;
  }
  return latest;
}
