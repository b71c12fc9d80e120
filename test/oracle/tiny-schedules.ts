/*
 * The least CPU on which real batches answer every request in time, by exhaustive search over tiny instances. Shares no
 * code and no types with `src/`.
 *
 * The allocation may change when a batch starts and when it ends, nothing waits on purpose: idle time costs the same
 * wherever it is, so a batch that starts as soon as the worker and all of its members are there is never worse.
 */

export interface TinyInstance {
  readonly requests: readonly { readonly releaseAtMs: number; readonly dueAtMs: number }[];
  readonly allocations: readonly number[];
  readonly maxBatchSize: number;
  readonly latencyMs: (batchSize: number, cpuMillicores: number) => number;
  readonly idleMillicores: number;
  readonly durationMs: number;
}

/** Core-ms over the duration; null if no schedule of all requests exists. Every order, partition and allocation. */
export function leastCoreMs(instance: TinyInstance): number | null {
  const { requests, allocations, maxBatchSize, latencyMs, idleMillicores, durationMs } = instance;

  /** What the requests of the bit set `left` add to idling, from `freeAtMs` on. */
  const leastAdded = (left: number, freeAtMs: number): number => {
    if (left === 0) return 0;
    let least = Number.POSITIVE_INFINITY;
    for (let batch = left; batch > 0; batch = (batch - 1) & left) {
      const members = requests.filter((_, index) => (batch >> index) & 1);
      if (members.length > maxBatchSize) continue;
      const startAtMs = Math.max(freeAtMs, ...members.map(({ releaseAtMs }) => releaseAtMs));
      for (const cpuMillicores of allocations) {
        const tookMs = latencyMs(members.length, cpuMillicores);
        const endAtMs = startAtMs + tookMs;
        if (members.some(({ dueAtMs }) => endAtMs > dueAtMs)) continue;
        const added = ((cpuMillicores - idleMillicores) / 1000) * tookMs;
        least = Math.min(least, added + leastAdded(left & ~batch, endAtMs));
      }
    }
    return least;
  };

  const coreMs =
    (idleMillicores / 1000) * durationMs + leastAdded((1 << requests.length) - 1, Number.NEGATIVE_INFINITY);
  return coreMs === Number.POSITIVE_INFINITY ? null : coreMs;
}
