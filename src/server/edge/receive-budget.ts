/*
 * Bounds the memory of what is being received, over all calls of both front ends: from a call's first body byte until the
 * service has it, where the queue's own limit on bytes goes on counting. Without it the bound would be the limit on calls
 * times the limit on one body, some hundred times the memory of most machines.
 *
 * Bytes are taken as they arrive and as they are decompressed, never by what a client announces: a length that is
 * declared and not sent costs nothing. First come, first served: who finds nothing left is refused and may try again.
 * What the budget does not see is garbage that is not collected yet, and what Node and the kernel have read ahead.
 */
import { SharedLimit } from './shared-limit.js';
import type { Claim, Limit } from './shared-limit.js';

/**
 * What a chunk costs beside its bytes: 520 B of resident memory each, measured on Node 20 with 300 000 one-byte chunks of
 * `Transfer-Encoding: chunked`. Uncounted, a client could multiply its bytes five hundredfold by sending them singly.
 */
export const CHUNK_OVERHEAD_BYTES = 512;

/**
 * Each chunk of `Transfer-Encoding: chunked` and each frame of HTTP/2 is an event and an object of its own, whatever its length: sent
 * byte by byte, a megabyte on the wire costs the router 25 MiB and a tenth of a second.
 */
const LEAST_MEAN_CHUNK_BYTES = 16;
const CHUNKS_BEFORE_JUDGED = 4096;
export const TINY_CHUNKS = `request body comes in chunks of fewer than ${LEAST_MEAN_CHUNK_BYTES} bytes: send larger ones`;

/** Whether what came of a body came in pieces that cost more than they bring. */
export function isCrumbled(byteCount: number, chunkCount: number): boolean {
  return chunkCount > CHUNKS_BEFORE_JUDGED && byteCount < LEAST_MEAN_CHUNK_BYTES * chunkCount;
}

export class ReceiveBudget {
  readonly #limit: Limit;

  /**
   * @param clientFraction of it, what one client may hold, in (0, 1]
   * @param limit in place of one of this thread alone
   */
  constructor(maxBytes: number, clientFraction = 1, limit: Limit = new SharedLimit(maxBytes, clientFraction)) {
    this.#limit = limit;
  }

  get maxBytes(): number {
    return this.#limit.most;
  }

  /** What is held already stays so. */
  set maxBytes(maxBytes: number) {
    this.#limit.most = maxBytes;
  }

  /** The largest body that can be received at all. */
  get mostForOne(): number {
    return this.#limit.mostForOne;
  }

  get takenBytes(): number {
    return this.#limit.held;
  }

  /** One call's share, empty at first. Its holder releases it, whatever becomes of the call. */
  open(client = ''): Receipt {
    return new Receipt(this.#limit, client);
  }
}

export class Receipt {
  readonly #limit: Limit;
  readonly #client: string;
  #heldBytes = 0;
  #isReleased = false;
  #claim: Claim = 'granted';

  constructor(limit: Limit, client: string) {
    this.#limit = limit;
    this.#client = client;
  }

  /** Of the last `take`. */
  get claim(): Claim {
    return this.#claim;
  }

  /** False when that much is not left, or after `release`: what came must be dropped. */
  take(byteCount: number): boolean {
    if (this.#isReleased) return false;
    this.#claim = this.#limit.take(this.#client, byteCount);
    if (this.#claim !== 'granted') return false;
    this.#heldBytes += byteCount;
    return true;
  }

  /** Holds as much as somebody else does who gives it back within this turn: for that it is not asked what is left. */
  takeOver(byteCount: number): void {
    this.#limit.takeOver(this.#client, byteCount);
    this.#heldBytes += byteCount;
  }

  /** Gives back part of what was taken. */
  give(byteCount: number): void {
    const given = Math.min(byteCount, this.#heldBytes);
    this.#heldBytes -= given;
    this.#limit.give(this.#client, given);
  }

  /** Gives back all of it, for good; calling it again does nothing. */
  release(): void {
    this.give(this.#heldBytes);
    this.#isReleased = true;
  }
}

/** Too much is being received at once, in all or of one client: to be tried again. */
export class ReceiveBudgetSpent extends Error {
  readonly reason: 'queue_full' | 'client_limit';

  constructor({ claim }: Receipt) {
    const isClients = claim === 'client-full';
    super(`too many bytes${isClients ? ' of this client' : ''} are being received at once`);
    this.name = 'ReceiveBudgetSpent';
    this.reason = isClients ? 'client_limit' : 'queue_full';
  }
}
