/*
 * Which bytes of an arena are whose: first fit, so that the same low addresses are used again while few places are taken, and pages that
 * are in a cache stay there. Pure; the memory is somebody else's (`shared-memory.ts`).
 *
 * Invariant: places never overlap, and lie within the arena. A place is named by a number that is never given out again, so that a name
 * from the past names nothing.
 */

/** A cache line, and more than any kernel of ONNX Runtime asks for: places begin and end at its multiples. */
export const PLACE_ALIGNMENT = 64;

export interface Place {
  readonly id: number;
  /** From the arena's start. */
  readonly offset: number;
  /** As asked for, rounded up to `PLACE_ALIGNMENT`. */
  readonly byteCount: number;
}

/** Bytes that belong to nobody. */
export interface Gap {
  readonly start: number;
  readonly end: number;
}

export class PlaceTable {
  readonly byteCount: number;
  /** By offset. Some thousand at most: nobody takes a place for less than some KB. */
  readonly #taken: Place[] = [];
  #lastId = 0;

  /** @param byteCount of the arena */
  constructor(byteCount: number) {
    this.byteCount = byteCount;
  }

  get takenCount(): number {
    return this.#taken.length;
  }

  /** @returns null where no gap is large enough */
  take(byteCount: number): Place | null {
    const roundedBytes = Math.max(1, Math.ceil(byteCount / PLACE_ALIGNMENT)) * PLACE_ALIGNMENT;
    let offset = 0;
    let index = 0;
    for (; index < this.#taken.length; index++) {
      const next = this.#taken[index]!;
      if (next.offset - offset >= roundedBytes) break;
      offset = next.offset + next.byteCount;
    }
    if (!(offset + roundedBytes <= this.byteCount)) return null;
    const place: Place = { id: ++this.#lastId, offset, byteCount: roundedBytes };
    this.#taken.splice(index, 0, place);
    return place;
  }

  /** @returns false for a place that is not taken, or was once */
  release(id: number): boolean {
    const index = this.#taken.findIndex((place) => place.id === id);
    if (index < 0) return false;
    this.#taken.splice(index, 1);
    return true;
  }

  /** The place that this byte belongs to. */
  placeAt(offset: number): Place | null {
    let low = 0;
    let high = this.#taken.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#taken[middle]!.offset <= offset) low = middle + 1;
      else high = middle;
    }
    const place = this.#taken[low - 1];
    return place !== undefined && offset < place.offset + place.byteCount ? place : null;
  }

  gaps(): Gap[] {
    const gaps: Gap[] = [];
    let start = 0;
    for (const { offset, byteCount } of this.#taken) {
      if (offset > start) gaps.push({ start, end: offset });
      start = offset + byteCount;
    }
    if (this.byteCount > start) gaps.push({ start, end: this.byteCount });
    return gaps;
  }
}
