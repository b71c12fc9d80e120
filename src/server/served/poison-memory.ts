import { createHash } from 'node:crypto';
import type { Tensor } from '../../scheduler/domain/tensor.js';

/*
 * What ended a worker a short time ago, by a digest of its inputs, so that the same is not run again: a client that gets no answer
 * sends it again, and each time costs a restart.
 *
 * Ordinary traffic pays nothing: a digest is made only of a request whose inputs have the names, types and shapes of one that is
 * remembered. Bounded in number, age and bytes.
 */

/** A client's retries end well before; an input that a new version of the model survives is refused no longer than this. */
const REMEMBERED_MS = 300_000;
const MAX_REMEMBERED = 1000;
/** A digest of so much takes the router about 10 ms (SHA-256); larger inputs are not remembered. */
const MAX_BYTES = 8 * 1024 ** 2;

export class PoisonMemory {
  /** When each is forgotten, by outline and digest; the latest crash last. */
  readonly #forgetAtMs = new Map<string, number>();

  remember(nowMs: number, inputs: readonly Tensor[]): void {
    if (byteCountOf(inputs) > MAX_BYTES) return;
    const key = keyOf(inputs);
    this.#forgetAtMs.delete(key);
    this.#forgetAtMs.set(key, nowMs + REMEMBERED_MS);
    if (this.#forgetAtMs.size > MAX_REMEMBERED) this.#forgetAtMs.delete(this.#oldest()!);
  }

  /** Whether the same inputs, in any order, ended a worker of late. */
  knows(nowMs: number, inputs: readonly Tensor[]): boolean {
    this.#forget(nowMs);
    if (this.#forgetAtMs.size === 0 || byteCountOf(inputs) > MAX_BYTES) return false;
    const outline = outlineOf(inputs);
    const mayBe = [...this.#forgetAtMs.keys()].some((key) => key.startsWith(outline));
    return mayBe && this.#forgetAtMs.has(keyOf(inputs));
  }

  #forget(nowMs: number): void {
    for (const [key, forgetAtMs] of this.#forgetAtMs) {
      if (forgetAtMs > nowMs) return;
      this.#forgetAtMs.delete(key);
    }
  }

  #oldest(): string | undefined {
    return this.#forgetAtMs.keys().next().value;
  }
}

function keyOf(inputs: readonly Tensor[]): string {
  const hash = createHash('sha256');
  // With the sizes before them, which the shapes do not tell of BYTES.
  for (const { data } of byName(inputs)) hash.update(`${data.byteLength}:`).update(data);
  return outlineOf(inputs) + hash.digest('base64');
}

function outlineOf(inputs: readonly Tensor[]): string {
  return `${JSON.stringify(byName(inputs).map(({ name, datatype, shape }) => [name, datatype, shape]))} `;
}

function byName(inputs: readonly Tensor[]): Tensor[] {
  return [...inputs].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function byteCountOf(inputs: readonly Tensor[]): number {
  return inputs.reduce((sum, { data }) => sum + data.byteLength, 0);
}
