/** Parts of pipelines' requests that wait at a model, by their sequence there: whoever wants to know hears when they begin to run. */
export class PartStarts {
  readonly #listeners = new Map<number, () => void>();

  add(sequence: number, onStart: () => void): void {
    this.#listeners.set(sequence, onStart);
  }

  delete(sequence: number): void {
    this.#listeners.delete(sequence);
  }

  /** A batch of these has begun; most are nobody's parts. */
  began(sequences: readonly number[]): void {
    if (this.#listeners.size === 0) return;
    for (const sequence of sequences) this.#listeners.get(sequence)?.();
  }
}
