/** The last `capacity` numbers, in the order they came and in order of size. Pushing moves `capacity` numbers at most. */
export class SlidingWindow {
  readonly #capacity: number;
  /** A ring: the next push replaces `#next`. */
  readonly #byAge: Float64Array;
  /** The first `#length` are in use. */
  readonly #ascending: Float64Array;
  #length = 0;
  #next = 0;

  /** @param initial pushed in this order, at most `capacity` */
  constructor(capacity: number, initial: Iterable<number>) {
    this.#capacity = capacity;
    this.#byAge = new Float64Array(capacity);
    this.#ascending = new Float64Array(capacity);
    for (const value of initial) this.push(value);
  }

  push(value: number): void {
    const ascending = this.#ascending;
    let at: number;
    if (this.#length < this.#capacity) {
      at = this.#length++;
    } else {
      at = ascending.indexOf(this.#byAge[this.#next]!);
    }
    // The place of the number that leaves is moved to where the new one belongs.
    while (at > 0 && ascending[at - 1]! > value) ascending[at] = ascending[--at]!;
    while (at < this.#length - 1 && ascending[at + 1]! < value) ascending[at] = ascending[++at]!;
    ascending[at] = value;
    this.#byAge[this.#next] = value;
    this.#next = (this.#next + 1) % this.#capacity;
  }

  get length(): number {
    return this.#length;
  }

  /** @param age 0 for the latest, less than `length` */
  latest(age: number): number {
    return this.#byAge[this.#placeOf(age)]!;
  }

  /** Puts others in the place of the numbers held, by age. O(n log n): for what is rare. */
  revise(revised: (value: number, age: number) => number): void {
    for (let age = 0; age < this.#length; age++) {
      const place = this.#placeOf(age);
      this.#byAge[place] = revised(this.#byAge[place]!, age);
    }
    this.#ascending.set(this.#byAge.subarray(0, this.#length));
    this.#ascending.subarray(0, this.#length).sort();
  }

  /** Adds the same to all of them. */
  shift(by: number): void {
    for (let index = 0; index < this.#length; index++) {
      this.#ascending[index]! += by;
      this.#byAge[index]! += by;
    }
  }

  /** A list of its own, ascending. */
  toSorted(): number[] {
    return Array.from(this.#ascending.subarray(0, this.#length));
  }

  /** @param rank 1 for the largest, at most the number of values held */
  largest(rank: number): number {
    return this.#ascending[this.#length - rank]!;
  }

  /** At least one value must be held. */
  median(): number {
    const half = this.#length >> 1;
    const upper = this.#ascending[half]!;
    return this.#length % 2 === 1 ? upper : (this.#ascending[half - 1]! + upper) / 2;
  }

  #placeOf(age: number): number {
    const place = this.#next - 1 - age;
    return place < 0 ? place + this.#capacity : place;
  }
}
