import { DATATYPES, ELEMENT_BYTES, elementCount, type Tensor } from '../../domain/tensor.js';
import { FrameError } from './frames.js';
import type { PlacedOutputs, PlacedTensor } from './placed-tensors.js';

/*
 * The router's end of the memory that a worker puts outputs into. Whatever the worker says of them is looked at before it is used, and what
 * lies there is copied before it is looked at: a worker that has lost its mind can answer for its model what it likes, and no more.
 */
export class OutputReader {
  readonly #memory: Uint8Array<ArrayBuffer>;
  /** Places that were read, and of which the worker has not been told. */
  #freed: number[] = [];

  constructor(memory: Uint8Array<ArrayBuffer>) {
    this.#memory = memory;
  }

  /** @throws FrameError for what is no tensor, or does not lie in the memory */
  read({ placeId, tensors }: PlacedOutputs): Tensor[] {
    if (!isList(tensors)) throw new FrameError('the worker says of no tensors where they lie');
    const copies = tensors.map((placed) => this.#copyOf(placed));
    this.#freed.push(placeId);
    return copies;
  }

  /** To be told to the worker with its next batch, which is when it needs to know. */
  takeFreed(): readonly number[] {
    const freed = this.#freed;
    this.#freed = [];
    return freed;
  }

  #copyOf(placed: PlacedTensor): Tensor {
    if (!this.#isWithin(placed)) throw new FrameError('an output does not lie where outputs do');
    const { name, datatype, shape, byteCount, offset } = placed;
    const data = new Uint8Array(Buffer.allocUnsafeSlow(byteCount).buffer);
    data.set(this.#memory.subarray(offset, offset + byteCount));
    return { name, datatype, shape, data };
  }

  #isWithin({ name, datatype, shape, byteCount, offset }: { readonly [Key in keyof PlacedTensor]: unknown }): boolean {
    if (typeof name !== 'string' || !isCount(byteCount) || !isCount(offset)) return false;
    if (offset + byteCount > this.#memory.byteLength) return false;
    const known = DATATYPES.find((candidate) => candidate === datatype);
    if (known === undefined || known === 'BYTES') return false;
    return Array.isArray(shape) && shape.every(isCount) && elementCount(shape) * ELEMENT_BYTES[known] === byteCount;
  }
}

/** Whatever its type promises. */
export function isList(value: unknown): boolean {
  return Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
