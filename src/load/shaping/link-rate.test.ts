import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BandwidthTrace } from '../../simulator/workloads/bandwidth-trace.js';
import { burstBytes, linkBitsPerSec, PACKET_BYTES, RATE_STEP_MS } from './link-rate.js';

/** Of 1448 payload bytes in a packet of 1514. */
function payloadBytesPerMs(trace: BandwidthTrace, atMs: number): number {
  return ((linkBitsPerSec(trace, atMs) / 8000) * 1448) / 1514;
}

/** For how long HTB keeps the next packet back. */
function packetCostMs(trace: BandwidthTrace, atMs: number): number {
  return (8000 * PACKET_BYTES) / linkBitsPerSec(trace, atMs);
}

describe('the rate of a link', () => {
  it('carries what the trace says in payload, with headers on top', () => {
    expect(linkBitsPerSec(BandwidthTrace.even(1000, [1448]), 0)).toBe(8000 * 1514);
  });

  it('is the mean of a step of 100 ms where the trace has shorter ones', () => {
    // 100 ms of 10, 30, 10, 30, … bytes/ms, 10 ms each
    expect(payloadBytesPerMs(BandwidthTrace.even(10, [10, 30]), 0)).toBeCloseTo(20, 2);
    // The last 40 ms at 100 and 60 ms at 200: 160
    expect(payloadBytesPerMs(BandwidthTrace.even(1000, [100, 200]), 960)).toBeCloseTo(160, 1);
  });

  it('lets a packet of an outage be paid for when the outage ends, whenever it leaves', () => {
    // 3 s of nothing, then 1448 bytes in 1 ms.
    const trace = new BandwidthTrace([3000, 10_000], [0, 1448]);
    for (const atMs of [0, 1000, 2800]) expect(packetCostMs(trace, atMs)).toBeCloseTo(3001 - atMs, -0.5);
    expect(packetCostMs(trace, 3000)).toBeCloseTo(1, 2);
  });

  it('never lets a packet block its link beyond what the trace needs for it, or a step, or the minute that HTB keeps', () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 0, max: 5000 })), {
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 500_000 }), (list, atMs) => {
        fc.pre(list.some(([, rate]) => rate > 0));
        const trace = new BandwidthTrace(
          list.map(([lengthMs]) => lengthMs),
          list.map(([, rate]) => rate),
        );
        const costMs = packetCostMs(trace, atMs);
        expect(costMs).toBeGreaterThan(0);
        // A millisecond for sums of doubles.
        const neededMs = Math.max(RATE_STEP_MS, trace.transferEndAtMs(atMs, 1448) - atMs);
        expect(costMs).toBeLessThanOrEqual(Math.min(60_000, neededMs) + 1);
      }),
    );
  });

  it('allows a burst of a quarter of a millisecond, and of two packets at least', () => {
    expect(burstBytes(8000)).toBe(2 * PACKET_BYTES);
    // 100 MB/s: 25 KB
    expect(burstBytes(8e8)).toBe(25_000);
  });
});
