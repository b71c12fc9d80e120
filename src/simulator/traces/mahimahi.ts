import type { BandwidthTrace } from '../workloads/bandwidth-trace.js';
import { errorAt, forEachDataLine, parseAtLeastZero, quote, toTrace } from './trace-text.js';

/*
 * Packet-delivery traces of Mahimahi (Netravali et al., USENIX ATC 2015): each line is a millisecond at which one packet
 * can be delivered; several packets in a millisecond are several lines. It repeats after the last line, whose instant is
 * also instant 0 of the next round.
 *
 * Read as bandwidth per bin: bin k has the packets of (k·bin, (k+1)·bin], and those at 0 join the first. Mean bandwidth
 * and length are kept exactly (the last bin is shorter if need be); when within a bin a packet comes is not.
 */

/** What one line delivers: Mahimahi's packet, a full Ethernet frame's payload. */
const PACKET_BYTES = 1500;

/** Fine enough to keep fades, which last seconds, and coarse enough that 1 Mbit/s is not one packet or none. */
const DEFAULT_BIN_MS = 100;

/** A week of 100 ms bins; a bound on memory, as one line with a large number could ask for any amount. */
const MAX_BINS = 6_048_000;

/** @param name of the file, for errors   @param binMs > 0 */
export function parseMahimahi(name: string, text: string, binMs = DEFAULT_BIN_MS): BandwidthTrace {
  if (!(binMs > 0)) throw new RangeError(`binMs must be > 0, got ${binMs}`);
  const packets: number[] = [];
  let lastMs = 0;
  forEachDataLine(name, text, (line, place) => {
    const atMs = parseAtLeastZero(line, place, 'the instant', 'a line of a Mahimahi trace is a whole number of ms');
    if (!Number.isSafeInteger(atMs)) {
      throw errorAt(place, `the instant ${quote(line)} is not a whole number of ms`, 'for Mbit/s, name the file .csv');
    }
    if (atMs < lastMs) {
      throw errorAt(place, `${atMs} ms comes after ${lastMs} ms`, 'sort the lines; for Mbit/s, name the file .csv');
    }
    const bin = Math.max(0, Math.ceil(atMs / binMs) - 1);
    if (bin >= MAX_BINS) {
      throw errorAt(place, `the trace is longer than ${MAX_BINS * binMs} ms`, 'shorten it; instants are in ms');
    }
    while (packets.length <= bin) packets.push(0);
    packets[bin] = packets[bin]! + 1;
    lastMs = atMs;
  });
  if (lastMs === 0) throw new Error(`${name}: the trace lasts 0 ms; its last line must be after 0 ms`);
  const stepMs = packets.map((_, bin) => Math.min(binMs, lastMs - bin * binMs));
  return toTrace(
    name,
    stepMs,
    packets.map((count, bin) => (count * PACKET_BYTES) / stepMs[bin]!),
  );
}
