/**
 * What is learned of each client's network: its clock offset and its bandwidth. Pure bookkeeping over numbers; bounded by
 * forgetting the peer seen longest ago.
 */

/** One-way deltas in a row that agree, before a send stamp counts: the minimum of fewer says little about the offset. */
const STABLE_OFFSET_SAMPLES = 8;
/**
 * Deltas agree that differ by less. A network holds a request up for longer as well, but it is the transfer that lasts then, which is
 * measured without the client's clock; a clock that is set is mostly wrong by more (ntpd slews it below 128 ms).
 */
const AGREE_WITHIN_MS = 250;
/** Deltas that the minimum is taken over; old ones leave, so that a drifting clock is followed. */
const OFFSET_WINDOW = 64;
/** Gain of the bandwidth filter (Jellyfish, RTSS 2022). */
const BANDWIDTH_GAIN = 0.6;
/** Smaller bodies arrive in one packet burst and say nothing about bandwidth. */
const MIN_BANDWIDTH_BYTES = 32 * 1024;
const MAX_PEERS = 4096;

interface Peer {
  /** A ring; each agreed with the least of those before it. */
  deltasMs: number[];
  next: number;
  bytesPerMs: number;
}

export class PeerNetwork {
  readonly #peers = new Map<string, Peer>();

  /**
   * Send → received, from the client's stamp, once the offset between both clocks is known: the least delta seen is taken
   * for "offset + no delay at all", so the result is the delay above the best one so far (never more than the truth, unless a clock
   * is set).
   *
   * A stamp that disagrees with those before it may be a delay, or either clock was set: it is charged for once, where that takes
   * budget at all, and then no stamp counts until enough agree again, with it or without it. So among so many requests in a row
   * at most one is charged for more than `AGREE_WITHIN_MS`, whatever stamps say. Clients with different clocks behind
   * one address never agree, and are charged for what is measured without clocks.
   */
  sendStampDelayMs(peerName: string, sentAtUnixMs: number, receivedAtUnixMs: number): number | undefined {
    const peer = this.#peer(peerName);
    const deltaMs = receivedAtUnixMs - sentAtUnixMs;
    const { deltasMs } = peer;
    const leastMs = deltasMs.length === 0 ? deltaMs : Math.min(...deltasMs);
    if (Math.abs(deltaMs - leastMs) > AGREE_WITHIN_MS) {
      peer.deltasMs = [deltaMs];
      peer.next = 1;
      const wasKnown = deltasMs.length >= STABLE_OFFSET_SAMPLES;
      return wasKnown && deltaMs > leastMs ? deltaMs - leastMs : undefined;
    }
    deltasMs[peer.next] = deltaMs;
    peer.next = (peer.next + 1) % OFFSET_WINDOW;
    return deltasMs.length < STABLE_OFFSET_SAMPLES ? undefined : deltaMs - Math.min(...deltasMs);
  }

  observeTransfer(peerName: string, bytes: number, transferMs: number): void {
    if (bytes < MIN_BANDWIDTH_BYTES || transferMs <= 0) return;
    const peer = this.#peer(peerName);
    const bytesPerMs = bytes / transferMs;
    peer.bytesPerMs =
      peer.bytesPerMs === 0 ? bytesPerMs : peer.bytesPerMs + BANDWIDTH_GAIN * (bytesPerMs - peer.bytesPerMs);
  }

  /** Time that sending a reply should take, downlink taken to be like the uplink; 0 while nothing is known. */
  expectedReplyMs(peerName: string, replyBytes: number): number {
    const bytesPerMs = this.#peers.get(peerName)?.bytesPerMs ?? 0;
    return bytesPerMs === 0 ? 0 : replyBytes / bytesPerMs;
  }

  #peer(name: string): Peer {
    const known = this.#peers.get(name);
    const peer = known ?? { deltasMs: [], next: 0, bytesPerMs: 0 };
    if (known !== undefined) this.#peers.delete(name);
    else if (this.#peers.size >= MAX_PEERS) {
      const oldest = this.#peers.keys().next();
      if (oldest.done !== true) this.#peers.delete(oldest.value);
    }
    this.#peers.set(name, peer);
    return peer;
  }
}
