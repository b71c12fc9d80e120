/*
 * A map from sequence to member, for members that come in the order of their sequences and mostly leave soon: nearly all are
 * found in a ring of recent places, and only one that outlives the next `RING_SIZE` sequences, or comes while such a one has
 * its place, is in a map. A map alone is made anew again and again as members come and go: with it a simulated run was an
 * eighth slower.
 */

interface Member {
  /** Unique. */
  readonly sequence: number;
}

/** A power of two, so that a place is found by masking; 8 KB. */
const RING_SIZE = 1024;

export class BySequence<T extends Member> {
  readonly #ring: (T | null)[] = Array.from({ length: RING_SIZE }, () => null);
  readonly #others = new Map<number, T>();
  #size = 0;
  #newest = -1;

  get size(): number {
    return this.#size;
  }

  get(sequence: number): T | undefined {
    const inRing = this.#ring[placeOf(sequence)];
    if (inRing?.sequence === sequence) return inRing;
    return this.#others.size === 0 ? undefined : this.#others.get(sequence);
  }

  /** The member must not be in it already. */
  add(member: T): void {
    if (this.get(member.sequence) !== undefined) throw new Error(`request ${member.sequence} is held already`);
    const place = placeOf(member.sequence);
    if (this.#ring[place] === null) this.#ring[place] = member;
    else this.#others.set(member.sequence, member);
    this.#size += 1;
    this.#newest = Math.max(this.#newest, member.sequence);
  }

  /** The member must be in it. */
  delete(member: T): void {
    const place = placeOf(member.sequence);
    if (this.#ring[place] === member) this.#ring[place] = null;
    else this.#others.delete(member.sequence);
    this.#size -= 1;
  }

  /** The newest of them first, as far as they are among the last so many sequences. */
  *newestFirst(most: number): Generator<T> {
    for (let sequence = this.#newest; sequence > this.#newest - most && sequence >= 0; sequence--) {
      const member = this.get(sequence);
      if (member !== undefined) yield member;
    }
  }

  /** All members by ascending sequence. */
  toArray(): T[] {
    const inRing = this.#ring.filter((member) => member !== null);
    return [...inRing, ...this.#others.values()].sort((a, b) => a.sequence - b.sequence);
  }
}

function placeOf(sequence: number): number {
  return sequence & (RING_SIZE - 1);
}
