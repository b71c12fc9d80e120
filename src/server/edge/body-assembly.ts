import type { BodyPlace } from '../../protocol/service.js';

/*
 * Chunks of a body → the body. Where its length is known beforehand and it has a place to be in, the chunks are copied to it as they come;
 * but not before an eighth of it is there, since a length costs a stranger nothing to claim. Otherwise they are kept, and put together at
 * the end.
 */

/** Of an announced body, what must have come before there is made room for all of it: 1 / this. */
const LEAST_SHARE_DIVISOR = 8;

export interface AssembledBody {
  readonly bytes: Buffer;
  /** In which it lies; null where the memory is its own. */
  readonly place: BodyPlace | null;
}

export class BodyAssembly {
  readonly #declaredBytes: number;
  /** Asked once. */
  #findPlace: (() => BodyPlace | null) | null;
  #place: BodyPlace | null = null;
  #chunks: Buffer[] = [];
  #byteCount = 0;

  /** @param declaredBytes what will come, exactly, where there may be a place; else it does not matter */
  constructor(declaredBytes: number, findPlace: (() => BodyPlace | null) | null) {
    this.#declaredBytes = declaredBytes;
    this.#findPlace = findPlace;
  }

  get byteCount(): number {
    return this.#byteCount;
  }

  push(chunk: Buffer): void {
    const offset = this.#byteCount;
    this.#byteCount += chunk.length;
    if (this.#place !== null) {
      this.#place.bytes.set(chunk, offset);
      return;
    }
    this.#chunks.push(chunk);
    if (this.#findPlace === null || LEAST_SHARE_DIVISOR * this.#byteCount < this.#declaredBytes) return;
    this.#place = this.#findPlace();
    this.#findPlace = null;
    if (this.#place !== null) this.#moveTo(this.#place.bytes);
  }

  /** Of all that was pushed. */
  finish(): AssembledBody {
    const [first, ...others] = this.#chunks;
    if (this.#place !== null) {
      const { buffer, byteOffset } = this.#place.bytes;
      return { bytes: Buffer.from(buffer, byteOffset, this.#byteCount), place: this.#place };
    }
    if (first !== undefined && others.length === 0) return { bytes: first, place: null };
    return { bytes: Buffer.concat(this.#chunks, this.#byteCount), place: null };
  }

  /** Lets go of all that is held. */
  discard(): void {
    this.#chunks = [];
    this.#place?.release();
    this.#place = null;
    this.#findPlace = null;
  }

  #moveTo(bytes: Uint8Array): void {
    let offset = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, offset);
      offset += chunk.length;
    }
    this.#chunks = [];
  }
}
