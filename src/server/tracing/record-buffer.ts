/*
 * Records on their way to the thread that makes spans of them: numbers in one typed array that is handed over, texts beside it, each once.
 * Objects would be copied property by property, which took longer than everything else that is done for a traced request.
 */

/** What is handed over at once. */
export interface RecordEnvelope {
  readonly numbers: Float64Array<ArrayBuffer>;
  /** Of `numbers`, those that are used. */
  readonly count: number;
  readonly texts: readonly string[];
  /** To be added to instants of the server's clock for Unix time, ms. */
  readonly unixOffsetMs: number;
}

export class RecordBuffer {
  readonly #numbers: Float64Array<ArrayBuffer>;
  readonly #texts: string[] = [];
  readonly #places = new Map<string, number>();
  #count = 0;
  /** Numbers that had no room. */
  #missing: number = 0;

  constructor(capacity: number) {
    this.#numbers = new Float64Array(capacity);
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  number(value: number): void {
    if (this.#count === this.#numbers.length) this.#missing += 1;
    else this.#numbers[this.#count++] = value;
  }

  numbers(values: readonly number[]): void {
    for (const value of values) this.number(value);
  }

  text(value: string): void {
    let place = this.#places.get(value);
    if (place === undefined) {
      place = this.#texts.push(value) - 1;
      this.#places.set(value, place);
    }
    this.number(place);
  }

  /** @returns whether all that `write` wrote has room; nothing of it is there where it has not */
  add(write: (buffer: this) => void): boolean {
    const start = this.#count;
    this.#missing = 0;
    write(this);
    const hasAll = this.#missing === 0;
    if (!hasAll) this.#count = start;
    return hasAll;
  }

  /** Not to be written to any more. */
  seal(unixOffsetMs: number): RecordEnvelope {
    return { numbers: this.#numbers, count: this.#count, texts: this.#texts, unixOffsetMs };
  }
}

export class RecordReader {
  readonly #envelope: RecordEnvelope;
  #at = 0;

  constructor(envelope: RecordEnvelope) {
    this.#envelope = envelope;
  }

  get hasMore(): boolean {
    return this.#at < this.#envelope.count;
  }

  number(): number {
    return this.#envelope.numbers[this.#at++]!;
  }

  text(): string {
    return this.#envelope.texts[this.number()]!;
  }
}
