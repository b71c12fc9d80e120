import type { Protocol } from '../edge/intake.js';
import { EDGE_CAUSES, type EdgeCause } from '../../protocol/status.js';

/*
 * What was answered before it was a request, counted by all threads in memory that outlives them: a scrape adds what is new.
 */

const PROTOCOLS = ['rest', 'grpc'] as const;

export type RefusalMemory = SharedArrayBuffer;

export function createRefusalMemory(): RefusalMemory {
  return new SharedArrayBuffer(PROTOCOLS.length * EDGE_CAUSES.length * Int32Array.BYTES_PER_ELEMENT);
}

export class RefusalCounts {
  readonly #counts: Int32Array<SharedArrayBuffer>;
  /** Told of already. */
  readonly #told: Int32Array;

  constructor(memory: RefusalMemory) {
    this.#counts = new Int32Array(memory);
    this.#told = new Int32Array(this.#counts.length);
  }

  /** By whichever thread. */
  count(protocol: Protocol, cause: EdgeCause): void {
    const place = protocol === 'metrics' ? -1 : PROTOCOLS.indexOf(protocol) * EDGE_CAUSES.length;
    if (place >= 0) Atomics.add(this.#counts, place + EDGE_CAUSES.indexOf(cause), 1);
  }

  /** What has been counted since the last time; a count of 32 bits may have begun again at 0. */
  collect(tell: (protocol: Protocol, cause: EdgeCause, count: number) => void): void {
    this.#told.forEach((told, place) => {
      const now = Atomics.load(this.#counts, place);
      if (now === told) return;
      this.#told[place] = now;
      const protocol = PROTOCOLS[Math.floor(place / EDGE_CAUSES.length)]!;
      tell(protocol, EDGE_CAUSES[place % EDGE_CAUSES.length]!, (now - told) >>> 0);
    });
  }
}
