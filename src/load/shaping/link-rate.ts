import type { BandwidthTrace } from '../../simulator/workloads/bandwidth-trace.js';

/* What the kernel is told of a link that follows a trace. Pure. */

/** How often rates follow. Traces have steps of about a second; shorter ones are averaged. */
export const RATE_STEP_MS = 100;

/** A full packet: what TCP carries in it (timestamps on), and what it is on the cable, where the kernel counts it. */
const PAYLOAD_BYTES = 1448;
export const PACKET_BYTES = 1514;
/** HTB lets no packet cost more than a minute, so that a lower rate would not be kept. */
const LEAST_BITS_PER_SEC = (8 * PACKET_BYTES) / 60;

/**
 * The rate from an instant on: the trace's mean over the next step, or over the time that the next packet takes where that
 * is longer.
 *
 * HTB charges a packet when it leaves, by the rate of that moment, and keeps the next one back until it is paid for, also
 * when the rate rises meanwhile. Charged at the rate of an outage, one packet would block its link long after it. Over the
 * packet's own time there is no rate of 0, and the debt is paid exactly when the trace has carried it: one that leaves as an
 * outage of 3 s begins is charged 3 s.
 *
 * Traces say what applications get, so headers come on top.
 * @returns bits/s on the cable, whole
 */
export function linkBitsPerSec(trace: BandwidthTrace, fromMs: number): number {
  const untilMs = Math.max(fromMs + RATE_STEP_MS, trace.transferEndAtMs(fromMs, PAYLOAD_BYTES));
  const payloadBytesPerMs = trace.bytesBetween(fromMs, untilMs) / (untilMs - fromMs);
  const bitsPerSec = 8000 * payloadBytesPerMs * (PACKET_BYTES / PAYLOAD_BYTES);
  return Math.ceil(Math.max(LEAST_BITS_PER_SEC, bitsPerSec));
}

/**
 * What an idle link sends at once, and each upload is earlier by: two packets, or a quarter of a millisecond's worth where
 * that is more, for kernel timers that are late. Measured: 300 KB on links of 0.5 to 6 MB/s are 1 to 2 % early.
 */
export function burstBytes(bitsPerSec: number): number {
  return Math.max(2 * PACKET_BYTES, Math.round((bitsPerSec / 8000) * BURST_MS));
}

const BURST_MS = 0.25;
