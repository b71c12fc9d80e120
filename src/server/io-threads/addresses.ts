import koffi from 'koffi';
import type { Region } from './wire.js';

/*
 * Memory of this process, by its address: what one thread says lies there another reads, without a copy. Whoever gives an address keeps the
 * memory until it is told that it is not read any more, or the reader's thread has ended.
 */

/** Of regions that tensors lie in: each is a view that V8 reckons with as memory, and one that is made anew for each would have it collect. */
const MOST_REGIONS = 64;

/** Fits: addresses have 47 bits. */
export function addressOf(bytes: Uint8Array): number {
  return Number(koffi.address(bytes));
}

const bases = new WeakMap<ArrayBufferLike, Region>();

/** All of the memory that these bytes are a part of. */
export function regionOf(bytes: Uint8Array): Region {
  const known = bases.get(bytes.buffer);
  if (known !== undefined) return known;
  const region: Region = [addressOf(bytes) - bytes.byteOffset, bytes.buffer.byteLength];
  bases.set(bytes.buffer, region);
  return region;
}

/** Views of other threads' memory. */
export class Regions {
  readonly #views = new Map<string, ArrayBuffer>();

  /** @param region null where nothing else lies beside it for long */
  bytesAt(address: number, byteCount: number, region: Region | null): Uint8Array<ArrayBuffer> {
    if (region === null) return new Uint8Array(viewOf([address, byteCount]));
    return new Uint8Array(this.bufferOf(region), address - region[0], byteCount);
  }

  /** The same for the same region, of those that were last asked for. */
  bufferOf(region: Region): ArrayBuffer {
    const key = region.join(' ');
    const known = this.#views.get(key);
    if (known !== undefined) return known;
    const view = viewOf(region);
    this.#views.set(key, view);
    if (this.#views.size > MOST_REGIONS) this.#views.delete(this.#views.keys().next().value!);
    return view;
  }
}

function viewOf([address, byteCount]: Region): ArrayBuffer {
  return koffi.view(BigInt(address), byteCount);
}
