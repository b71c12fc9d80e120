/*
 * Bounds the memory of what is being received, over all calls of both front ends: from a call's first body byte until the
 * service has it, where the queue's own limit on bytes goes on counting. Without it the bound would be the limit on calls
 * times the limit on one body, some hundred times the memory of most machines.
 *
 * Bytes are taken as they arrive and as they are decompressed, never by what a client announces: a length that is
 * declared and not sent costs nothing. First come, first served: who finds nothing left is refused and may try again.
 * What the budget does not see is garbage that is not collected yet, and what Node and the kernel have read ahead.
 */

/**
 * What a chunk costs beside its bytes: 520 B of resident memory each, measured on Node 20 with 300 000 one-byte chunks of
 * `Transfer-Encoding: chunked`. Uncounted, a client could multiply its bytes five hundredfold by sending them singly.
 */
export const CHUNK_OVERHEAD_BYTES = 512;

export class ReceiveBudget {
  readonly maxBytes: number;
  #takenBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** One call's share, empty at first. Its holder releases it, whatever becomes of the call. */
  open(): Receipt {
    return new Receipt((byteCount) => {
      if (this.#takenBytes + byteCount > this.maxBytes) return false;
      this.#takenBytes += byteCount;
      return true;
    });
  }
}

export class Receipt {
  readonly #change: (byteCount: number) => boolean;
  #heldBytes = 0;
  #isReleased = false;

  /** @param change adds to what the budget has given away, or answers false and does nothing */
  constructor(change: (byteCount: number) => boolean) {
    this.#change = change;
  }

  /** False when that much is not left, or after `release`: what came must be dropped. */
  take(byteCount: number): boolean {
    if (this.#isReleased || !this.#change(byteCount)) return false;
    this.#heldBytes += byteCount;
    return true;
  }

  /** Gives back part of what was taken. */
  give(byteCount: number): void {
    const given = Math.min(byteCount, this.#heldBytes);
    this.#heldBytes -= given;
    this.#change(-given);
  }

  /** Gives back all of it, for good; calling it again does nothing. */
  release(): void {
    this.give(this.#heldBytes);
    this.#isReleased = true;
  }
}

/** Too much is being received at once: `queue_full`, to be tried again. */
export class ReceiveBudgetSpent extends Error {
  constructor() {
    super('too many bytes are being received at once');
    this.name = 'ReceiveBudgetSpent';
  }
}
