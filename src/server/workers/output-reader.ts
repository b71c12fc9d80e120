import { DATATYPES, ELEMENT_BYTES, elementCount, type Lease, type Tensor } from '../../scheduler/domain/tensor.js';
import { FrameError } from './frames.js';
import type { PlacedOutputs, PlacedTensor } from './placed-tensors.js';

/*
 * The router's end of the memory that a worker puts outputs into. They are lent: whoever holds them reads them where they lie, and the worker
 * is told that their place is free when nobody does.
 *
 * Whatever the worker says of them is looked at before it is used. A worker that has lost its mind may change them while they are read: it can
 * answer for its model what it likes, and no more, since numbers are all that is read there, and nothing depends on them.
 */
export class OutputReader {
  readonly #memory: Uint8Array<ArrayBuffer>;
  /** Places that somebody reads. */
  readonly #lent = new Set<number>();
  /** Places that were read, and of which the worker has not been told. */
  #freed: number[] = [];

  constructor(memory: Uint8Array<ArrayBuffer>) {
    this.#memory = memory;
  }

  /**
   * One request's, held once each.
   * @throws FrameError for what is no tensor, does not lie in the memory, or is said to lie in a place that is lent already
   */
  read({ placeId, tensors }: PlacedOutputs): Tensor[] {
    if (!isList(tensors)) throw new FrameError('the worker says of no tensors where they lie');
    if (this.#lent.has(placeId)) throw new FrameError('an output lies where another one does');
    const lease = this.#lend(placeId, tensors.length);
    return tensors.map((placed) => this.#tensorAt(placed, lease));
  }

  /** To be told to the worker with its next batch, which is when it needs to know. */
  takeFreed(): readonly number[] {
    const freed = this.#freed;
    this.#freed = [];
    return freed;
  }

  #lend(placeId: number, holders: number): Lease {
    this.#lent.add(placeId);
    return {
      hold: () => {
        if (holders === 0) throw new Error('outputs that nobody held are in use again');
        holders += 1;
      },
      release: () => {
        if (holders === 0) throw new Error('outputs were given back twice');
        holders -= 1;
        if (holders > 0) return;
        this.#lent.delete(placeId);
        this.#freed.push(placeId);
      },
    };
  }

  #tensorAt(placed: PlacedTensor, lease: Lease): Tensor {
    if (!this.#isWithin(placed)) throw new FrameError('an output does not lie where outputs do');
    const { name, datatype, shape, byteCount, offset } = placed;
    return { name, datatype, shape, data: this.#memory.subarray(offset, offset + byteCount), lease };
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
