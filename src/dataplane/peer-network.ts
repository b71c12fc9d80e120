/**
 * What is learned of each client's network: its clock offset and its bandwidth. Pure bookkeeping over numbers; bounded by
 * forgetting the peer seen longest ago.
 */

/** One-way deltas needed before a send stamp counts: the minimum of fewer says little about the offset. */
const STABLE_OFFSET_SAMPLES = 8;
/** Deltas that the minimum is taken over; old ones leave, so that a drifting clock is followed. */
const OFFSET_WINDOW = 64;
/** Gain of the bandwidth filter (Jellyfish, RTSS 2022). */
const BANDWIDTH_GAIN = 0.6;
/** Smaller bodies arrive in one packet burst and say nothing about bandwidth. */
const MIN_BANDWIDTH_BYTES = 32 * 1024;
const MAX_PEERS = 4096;

interface Peer {
  readonly deltasMs: number[];
  next: number;
  bytesPerMs: number;
}

export class PeerNetwork {
  readonly #peers = new Map<string, Peer>();

  /**
   * Send → received, from the client's stamp, once the offset between both clocks is known: the least delta seen is taken
   * for "offset + no delay at all", so the result is the delay above the best one so far (never more than the truth).
   */
  sendStampDelayMs(peerName: string, sentAtUnixMs: number, receivedAtUnixMs: number): number | undefined {
    const peer = this.#peer(peerName);
    peer.deltasMs[peer.next] = receivedAtUnixMs - sentAtUnixMs;
    peer.next = (peer.next + 1) % OFFSET_WINDOW;
    if (peer.deltasMs.length < STABLE_OFFSET_SAMPLES) return undefined;
    return receivedAtUnixMs - sentAtUnixMs - Math.min(...peer.deltasMs);
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
