/*
 * One clock for all threads. `performance.now()` counts from when its thread began; `process.hrtime` is the kernel's monotonic clock, the
 * same everywhere, and dearer to read. So a thread's distance is measured once, to less than a microsecond: both count at the same rate.
 */

/** Of these the one during which the thread was interrupted least. */
const LOOKS = 32;
const NS_PER_MS = 1e6;

/** Where this thread's `performance.now()` is 0, on the kernel's monotonic clock, ns. */
export function clockOriginNs(): bigint {
  let best = { tookMs: Infinity, originNs: 0n };
  for (let look = 0; look < LOOKS; look++) {
    const beforeMs = performance.now();
    const ns = process.hrtime.bigint();
    const tookMs = performance.now() - beforeMs;
    if (tookMs < best.tookMs) {
      best = { tookMs, originNs: ns - BigInt(Math.round((beforeMs + tookMs / 2) * NS_PER_MS)) };
    }
  }
  return best.originNs;
}

/** The clock of the thread that told where its own begins, as read here. */
export function clockOf(otherOriginNs: bigint): () => number {
  const aheadMs = Number(clockOriginNs() - otherOriginNs) / NS_PER_MS;
  return () => performance.now() + aheadMs;
}
