import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { HeldPlace, InputArena } from '../arena/input-arena.js';
import { PLACE_ALIGNMENT, PlaceTable } from '../arena/place-table.js';
import { forget } from '../arena/shared-memory.js';
import type { TensorLayout } from './frames.js';

/*
 * Tensors that lie in shared memory: a frame says where, and carries none of their bytes. Inputs are the router's to put and to free;
 * outputs are the worker's to put, and free when the router says that it has read them.
 */

export interface PlacedTensor extends TensorLayout {
  /** Of its first byte, from the start of the memory. */
  readonly offset: number;
}

/** Of one request. */
export interface PlacedInputs {
  readonly tensors: readonly PlacedTensor[];
  release(): void;
}

/**
 * Inputs where the worker can read them: those that are there already stay where they are.
 * @returns null where there is no such place, or no room for the others
 */
export function placeInputs(arena: InputArena | null, inputs: readonly Tensor[]): PlacedInputs | null {
  if (arena === null) return null;
  const places: HeldPlace[] = [];
  const release = (): void => {
    for (const place of places) place.release();
  };
  const tensors: PlacedTensor[] = [];
  for (const { name, datatype, shape, data } of inputs) {
    const { byteLength: byteCount } = data;
    const there = arena.placeOf(data);
    there?.hold();
    const place = there ?? arena.take(byteCount);
    if (place === null) {
      release();
      return null;
    }
    places.push(place);
    if (there === null) place.bytes.set(data);
    const offset = there === null ? place.bytes.byteOffset : data.byteOffset;
    tensors.push({ name, datatype, shape, byteCount, offset });
  }
  return { tensors, release };
}

/** As they lie there. */
export function tensorsAt(memory: Uint8Array<ArrayBuffer>, placed: readonly PlacedTensor[]): Tensor[] {
  return placed.map(({ name, datatype, shape, byteCount, offset }) => ({
    name,
    datatype,
    shape,
    data: memory.subarray(offset, offset + byteCount),
  }));
}

/** Outputs of one request, on their way to the router. */
export interface PlacedOutputs {
  readonly slot: number;
  /** All of them lie in it. */
  readonly placeId: number;
  readonly tensors: readonly PlacedTensor[];
}

/** The worker's: where it puts outputs. */
export class OutputPlaces {
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #table: PlaceTable;

  constructor(memory: Uint8Array<ArrayBuffer>) {
    this.#memory = memory;
    this.#table = new PlaceTable(memory.byteLength);
  }

  /** @returns null where there is no room, or strings are among them, which nobody can read in memory that may still change */
  put(slot: number, outputs: readonly Tensor[]): PlacedOutputs | null {
    if (outputs.some(({ datatype }) => datatype === 'BYTES')) return null;
    const place = this.#table.take(outputs.reduce((sum, { data }) => sum + aligned(data.byteLength), 0));
    if (place === null) return null;
    let { offset } = place;
    const tensors = outputs.map(({ name, datatype, shape, data }) => {
      const at = offset;
      this.#memory.set(data, at);
      offset += aligned(data.byteLength);
      return { name, datatype, shape, byteCount: data.byteLength, offset: at };
    });
    return { slot, placeId: place.id, tensors };
  }

  free(placeIds: readonly number[]): void {
    for (const id of placeIds) this.#table.release(id);
  }

  /** Gives back the pages that hold nothing. */
  forgetUnused(): void {
    forget(this.#memory, this.#table.gaps());
  }
}

function aligned(byteCount: number): number {
  return Math.ceil(byteCount / PLACE_ALIGNMENT) * PLACE_ALIGNMENT;
}
