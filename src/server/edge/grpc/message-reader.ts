/*
 * Chunks of an HTTP/2 stream → the messages in them: each a flag, a length and so many bytes (grpc/doc/PROTOCOL-HTTP2.md).
 *
 * A message is in memory once. Its length comes first, so that what it will be in is made once and the chunks are copied to their
 * place in it; but not before an eighth of it is there, since a length costs a stranger nothing to claim. That may be where the worker
 * can read it. A message that one chunk
 * holds is left where it is, unless that would keep much more than itself from being freed.
 */

import { PREFIX_BYTES } from '../../../protocol/grpc/framing.js';
import type { BodyPlace } from '../../../protocol/service.js';

const COMPRESSED_FLAG = 1;

/** Of an announced message, what must have come before room is made for all of it: 1 / this. */
const LEAST_SHARE_DIVISOR = 8;

/** A message stays in the memory it was read into where that is at most so many times as large. */
const MOST_KEPT_FACTOR = 2;

export interface Message {
  /** Without the prefix; as it came. */
  readonly bytes: Buffer;
  readonly isCompressed: boolean;
  /** What it lies in, to be released by whoever has the message; null where that is memory of its own. */
  readonly place: BodyPlace | null;
}

/** Where to read a message into, of which this is the beginning; null: into memory of its own. */
export type FindPlace = (beginning: Uint8Array, byteCount: number) => BodyPlace | null;

export type ReadResult =
  | { readonly kind: 'message'; readonly message: Message }
  /** The rest has not come yet. */
  | { readonly kind: 'incomplete' }
  /** By its prefix; there is nothing to read after it. */
  | { readonly kind: 'too-large'; readonly announcedBytes: number }
  | { readonly kind: 'malformed' };

const INCOMPLETE: ReadResult = { kind: 'incomplete' };

export class MessageReader {
  readonly #maxMessageBytes: number;
  readonly #findPlace: FindPlace | undefined;
  /** Of the message that is being read: how much of its prefix is, and what that says. */
  #prefixBytes = 0;
  #flag = 0;
  #announcedBytes = 0;
  #receivedBytes = 0;
  /** Where it will be; null until enough of it has come, and in `#pieces` till then. */
  #message: Buffer | null = null;
  #place: BodyPlace | null = null;
  #pieces: Buffer[] = [];
  /** What has come and is not read: one chunk, or several where reading is held. */
  readonly #unread: Buffer[] = [];

  /** @param maxMessageBytes as they come, before they are inflated */
  constructor(maxMessageBytes: number, findPlace?: FindPlace) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#findPlace = findPlace;
  }

  /** Whether something of a message is here that has not been read. */
  get isWithinMessage(): boolean {
    return this.#unread.length > 0 || this.#prefixBytes > 0;
  }

  push(chunk: Buffer): void {
    if (chunk.length > 0) this.#unread.push(chunk);
  }

  /** The next message of what was pushed. */
  read(): ReadResult {
    for (;;) {
      const chunk = this.#unread[0];
      if (chunk === undefined) return INCOMPLETE;
      const start = this.#readPrefix(chunk);
      const isPrefixComplete = this.#prefixBytes === PREFIX_BYTES;
      if (isPrefixComplete && this.#flag > COMPRESSED_FLAG) return { kind: 'malformed' };
      const announcedBytes = this.#announcedBytes;
      if (isPrefixComplete && announcedBytes > this.#maxMessageBytes) return { kind: 'too-large', announcedBytes };
      const end = isPrefixComplete
        ? Math.min(chunk.length, start + announcedBytes - this.#receivedBytes)
        : chunk.length;
      if (end === chunk.length) this.#unread.shift();
      else this.#unread[0] = chunk.subarray(end);
      if (!isPrefixComplete) continue;
      const piece = chunk.subarray(start, end);
      if (piece.length === announcedBytes) return this.#finish(keptOrCopied(piece));
      if (piece.length > 0) this.#receive(piece, announcedBytes);
      if (this.#message !== null && this.#receivedBytes === announcedBytes) return this.#finish(this.#message);
    }
  }

  /** Lets go of all that is held. */
  clear(): void {
    this.#unread.length = 0;
    this.#place?.release();
    this.#startOver();
  }

  /** @returns where in the chunk the message begins */
  #readPrefix(chunk: Buffer): number {
    const end = Math.min(chunk.length, PREFIX_BYTES - this.#prefixBytes);
    for (let at = 0; at < end; at++) {
      if (this.#prefixBytes === 0) this.#flag = chunk[at]!;
      else this.#announcedBytes = 256 * this.#announcedBytes + chunk[at]!;
      this.#prefixBytes += 1;
    }
    return end;
  }

  #receive(piece: Buffer, announcedBytes: number): void {
    const offset = this.#receivedBytes;
    this.#receivedBytes += piece.length;
    if (this.#message !== null) {
      this.#message.set(piece, offset);
      return;
    }
    this.#pieces.push(piece);
    if (LEAST_SHARE_DIVISOR * this.#receivedBytes < announcedBytes) return;
    this.#message = this.#makeRoom(this.#pieces[0]!, announcedBytes);
    let at = 0;
    for (const earlier of this.#pieces) {
      this.#message.set(earlier, at);
      at += earlier.length;
    }
    this.#pieces = [];
  }

  #finish(bytes: Buffer): ReadResult {
    const isCompressed = this.#flag === COMPRESSED_FLAG;
    const place = this.#place;
    this.#startOver();
    return { kind: 'message', message: { bytes, isCompressed, place } };
  }

  /** A compressed message is not what the worker reads. */
  #makeRoom(beginning: Buffer, byteCount: number): Buffer {
    if (this.#flag !== COMPRESSED_FLAG) this.#place = this.#findPlace?.(beginning, byteCount) ?? null;
    if (this.#place === null) return Buffer.allocUnsafeSlow(byteCount);
    const { buffer, byteOffset } = this.#place.bytes;
    return Buffer.from(buffer, byteOffset, byteCount);
  }

  #startOver(): void {
    this.#prefixBytes = 0;
    this.#announcedBytes = 0;
    this.#receivedBytes = 0;
    this.#message = null;
    this.#place = null;
    this.#pieces = [];
  }
}

function keptOrCopied(piece: Buffer): Buffer {
  if (piece.buffer.byteLength <= MOST_KEPT_FACTOR * piece.length) return piece;
  const copy = Buffer.allocUnsafeSlow(piece.length);
  copy.set(piece);
  return copy;
}
