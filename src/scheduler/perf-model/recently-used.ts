/** A map that holds at most so many entries and gives up the one that was not used for longest. All operations are O(1). */
export class RecentlyUsed<K, V> {
  readonly #capacity: number;
  readonly #onDropped: (value: V) => void;
  /** A `Map` is in order of insertion: least recently used first. */
  readonly #entries = new Map<K, V>();
  #latest: K | undefined;

  constructor(capacity: number, onDropped: (value: V) => void = () => undefined) {
    this.#capacity = capacity;
    this.#onDropped = onDropped;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Counts as a use. */
  get(key: K): V | undefined {
    const value = this.#entries.get(key);
    if (value === undefined || key === this.#latest) return value;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    this.#latest = key;
    return value;
  }

  /** Counts as a use. */
  set(key: K, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    this.#latest = key;
    if (this.#entries.size <= this.#capacity) return;
    for (const [oldest, dropped] of this.#entries) {
      this.#entries.delete(oldest);
      this.#onDropped(dropped);
      return;
    }
  }

  values(): Iterable<V> {
    return this.#entries.values();
  }
}
