/*
 * A table of numbers that only grows at its end and forgets its beginning: what a bounded amount of memory can keep of a run
 * without end. Columns are contiguous typed arrays, so that a chart reads thousands of rows without touching an object.
 *
 * It keeps at least the last `capacity` rows and never more than twice as many: the older half goes at once, when the storage
 * is full, which makes a `push` O(1) on average. Storage doubles up to that size, so that a short run costs little.
 */

const FIRST_ROWS = 256;

export class Columns<Name extends string> {
  readonly #names: readonly Name[];
  readonly #capacity: number;
  readonly #storage: Record<Name, Float64Array>;
  #rows = 0;
  #dropped = 0;

  /** @param capacity integer ≥ 1 */
  constructor(names: readonly Name[], capacity: number) {
    this.#names = names;
    this.#capacity = capacity;
    this.#storage = Object.fromEntries(
      names.map((name) => [name, new Float64Array(Math.min(FIRST_ROWS, 2 * capacity))]),
    ) as Record<Name, Float64Array>;
  }

  /** Rows that are kept. */
  get length(): number {
    return this.#rows;
  }

  /** Rows that were forgotten. */
  get dropped(): number {
    return this.#dropped;
  }

  /** The kept rows of one column, oldest first. A view: only until the next `push`. */
  column(name: Name): Float64Array {
    return this.#storage[name].subarray(0, this.#rows);
  }

  /** The last row's; NaN where there is none. */
  last(name: Name): number {
    return this.#storage[name][this.#rows - 1] ?? NaN;
  }

  /** @returns the row's id, its number since the beginning */
  push(row: Readonly<Record<Name, number>>): number {
    this.#makeRoom();
    for (const name of this.#names) this.#storage[name][this.#rows] = row[name];
    return this.#dropped + this.#rows++;
  }

  /** NaN where the row is forgotten. */
  get(id: number, name: Name): number {
    return this.#storage[name][id - this.#dropped] ?? NaN;
  }

  /** No effect where the row is forgotten. */
  set(id: number, name: Name, value: number): void {
    const index = id - this.#dropped;
    if (index >= 0) this.#storage[name][index] = value;
  }

  #makeRoom(): void {
    const size = this.#storage[this.#names[0]!].length;
    if (this.#rows < size) return;
    if (size < 2 * this.#capacity) {
      const larger = Math.min(2 * size, 2 * this.#capacity);
      for (const name of this.#names) {
        const grown = new Float64Array(larger);
        grown.set(this.#storage[name]);
        this.#storage[name] = grown;
      }
      return;
    }
    for (const name of this.#names) this.#storage[name].copyWithin(0, size - this.#capacity, size);
    this.#dropped += size - this.#capacity;
    this.#rows = this.#capacity;
  }
}

/** Index of the first value ≥ `bound` in an ascending column; its length where there is none. */
export function lowerBound(ascending: Float64Array, bound: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
