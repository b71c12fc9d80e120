import type { Event } from '../../domain/event.js';

const BIN_MS = 1000;
/** "Max of the last 5 s": Themis (arXiv 2407.14843). */
const WHOLE_BINS = 5;
/** … and the second that has just begun, which may already hold more than any of those. */
const BINS = WHOLE_BINS + 1;

/** Requests per second and their network delays over the last five whole seconds and the current one. */
export class RecentLoad {
  readonly #counts = new Float64Array(BINS);
  readonly #largestDelayMs = new Float64Array(BINS);
  #latestBin = -Infinity;

  observe(event: Event): void {
    if (event.kind !== 'request-received') return;
    this.#advance(event.atMs);
    const slot = slotOf(this.#latestBin);
    this.#counts[slot]! += 1;
    this.#largestDelayMs[slot] = Math.max(this.#largestDelayMs[slot]!, event.request.networkDelayMs);
  }

  /** The count of the busiest second. */
  peakRatePerSec(nowMs: number): number {
    this.#advance(nowMs);
    return Math.max(...this.#counts);
  }

  largestNetworkDelayMs(nowMs: number): number {
    this.#advance(nowMs);
    return Math.max(...this.#largestDelayMs);
  }

  #advance(nowMs: number): void {
    const bin = Math.floor(nowMs / BIN_MS);
    for (let next = Math.max(this.#latestBin + 1, bin - BINS + 1); next <= bin; next++) {
      this.#counts[slotOf(next)] = 0;
      this.#largestDelayMs[slotOf(next)] = 0;
    }
    this.#latestBin = Math.max(this.#latestBin, bin);
  }
}

/** A clock may begin below 0. */
function slotOf(bin: number): number {
  return ((bin % BINS) + BINS) % BINS;
}
