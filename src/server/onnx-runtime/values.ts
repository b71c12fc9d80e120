import { bytesElementOffsets, LENGTH_BYTES } from '../../scheduler/domain/bytes-elements.js';
import { ELEMENT_BYTES, elementCount, type Datatype, type Tensor } from '../../scheduler/domain/tensor.js';
import { viewOf, type OrtApi, type Pointer } from './c-api.js';
import { datatypeOf, ELEMENT_TYPES, nameOfElementType } from './element-types.js';

/*
 * Tensors to ONNX Runtime's values and back. Numbers keep their bytes: an input is read where it lies, an output where ONNX
 * Runtime wrote it. Strings are copied, byte for byte and by their length: NUL is a character like others, and what is
 * not UTF-8 stays what it is.
 *
 * Ownership: who makes a value releases it (`releaseValue`). An input's value points into memory of JavaScript's, mostly the
 * tensor's own, which must be referenced, and unchanged, until the value is released.
 */

const STRING_TYPE = ELEMENT_TYPES.BYTES;
/** What an empty tensor's data points to: no address is that of nothing. */
const NOTHING = new Uint8Array(8);

/** A numeric output as ONNX Runtime holds it. */
export interface HeldTensor {
  readonly name: string;
  readonly datatype: Exclude<Datatype, 'BYTES'>;
  readonly shape: readonly number[];
  /** To be released when nobody reads `address` any more. */
  readonly value: Pointer;
  readonly address: Pointer;
  readonly byteCount: number;
}

/** An input as ONNX Runtime takes it. */
export interface Feed {
  /** To be released after the run. */
  readonly value: Pointer;
  /** What it points to, to be kept as long; null where ONNX Runtime has a copy. */
  readonly memory: Uint8Array | null;
}

/** An output: strings have been copied, numbers lie where ONNX Runtime wrote them. */
export type OutputTensor = Tensor | HeldTensor;

export function isHeld(output: OutputTensor): output is HeldTensor {
  return 'value' in output;
}

/** The bytes of a held output, without a copy; not to be touched once its value is released. */
export function bytesOfHeld({ address, byteCount }: HeldTensor): Uint8Array<ArrayBuffer> {
  return byteCount === 0 ? new Uint8Array(0) : viewOf(address, byteCount);
}

export class Values {
  readonly #api: OrtApi;
  readonly #memoryInfo: Pointer;
  readonly #allocator: Pointer;

  /** @param memoryInfo of CPU memory, which every value shares */
  constructor(api: OrtApi, memoryInfo: Pointer) {
    this.#api = api;
    this.#memoryInfo = memoryInfo;
    this.#allocator = api.pointer('getAllocatorWithDefaultOptions');
  }

  /** @throws OrtError when shape and data do not fit each other */
  fromTensor({ datatype, shape, data }: Tensor): Feed {
    const dimensions = BigInt64Array.from(shape, BigInt);
    if (datatype === 'BYTES') return { value: this.#fromStrings(dimensions, elementCount(shape), data), memory: null };
    const memory = data.byteLength === 0 ? NOTHING : aligned(data, ELEMENT_BYTES[datatype]);
    const value = this.#api.pointer(
      'createTensorWithDataAsOrtValue',
      this.#memoryInfo,
      memory,
      data.byteLength,
      dimensions,
      shape.length,
      ELEMENT_TYPES[datatype],
    );
    return { value, memory };
  }

  /** A value over memory that stays where it is, and outlives it. */
  fromMemory(address: Pointer, byteCount: number, elementType: number, shape: readonly number[]): Pointer {
    return this.#api.pointer(
      'createTensorWithDataAsOrtValue',
      this.#memoryInfo,
      address,
      byteCount,
      BigInt64Array.from(shape, BigInt),
      shape.length,
      elementType,
    );
  }

  /**
   * An output of a run. Takes the value over: it is in the result, or released.
   * @throws Error for what the protocol cannot carry
   */
  toOutput(name: string, value: Pointer): OutputTensor {
    let isKept = false;
    try {
      const { datatype, shape } = this.#describe(name, value);
      if (datatype === 'BYTES') return { name, datatype, shape, data: this.#stringsOf(value, elementCount(shape)) };
      isKept = true;
      return {
        name,
        datatype,
        shape,
        value,
        address: this.#api.pointer('getTensorMutableData', value),
        byteCount: elementCount(shape) * ELEMENT_BYTES[datatype],
      };
    } finally {
      if (!isKept) this.release(value);
    }
  }

  release(value: Pointer): void {
    this.#api.call('releaseValue', value);
  }

  #describe(name: string, value: Pointer): { datatype: Datatype; shape: number[] } {
    const api = this.#api;
    // An optional output that the model left out has no value, and no type to ask for.
    if (value === 0n || api.count('hasValue', value) === 0)
      throw new Error(`the model gave no value for output '${name}'`);
    const info = api.pointer('getTensorTypeAndShape', value);
    try {
      const elementType = api.count('getTensorElementType', info);
      const datatype = datatypeOf(elementType);
      if (datatype === null) {
        throw new Error(`output '${name}' has element type ${nameOfElementType(elementType)}, which cannot be sent`);
      }
      const rank = api.count('getDimensionsCount', info);
      const dimensions = new BigInt64Array(rank);
      if (rank > 0) api.check('getDimensions', info, dimensions, rank);
      return { datatype, shape: Array.from(dimensions, Number) };
    } finally {
      api.call('releaseTensorTypeAndShapeInfo', info);
    }
  }

  #fromStrings(dimensions: BigInt64Array, count: number, data: Uint8Array): Pointer {
    const api = this.#api;
    const value = api.pointer('createTensorAsOrtValue', this.#allocator, dimensions, dimensions.length, STRING_TYPE);
    const offsets = bytesElementOffsets(data, count);
    for (let i = 0; i < count; i++) {
      const from = offsets[i]! + LENGTH_BYTES;
      const byteCount = offsets[i + 1]! - from;
      // A new value's strings are empty already.
      if (byteCount === 0) continue;
      const buffer = api.pointer('getResizedStringTensorElementBuffer', value, i, byteCount);
      viewOf(buffer, byteCount).set(data.subarray(from, from + byteCount));
    }
    return value;
  }

  /** In the layout of BYTES: each string behind its length. */
  #stringsOf(value: Pointer, count: number): Uint8Array<ArrayBuffer> {
    const api = this.#api;
    const textBytes = api.count('getStringTensorDataLength', value);
    const texts = new Uint8Array(textBytes);
    const starts = new BigUint64Array(count);
    if (count > 0) {
      api.check('getStringTensorContent', value, textBytes === 0 ? NOTHING : texts, textBytes, starts, count);
    }
    const data = new Uint8Array(textBytes + count * LENGTH_BYTES);
    const view = new DataView(data.buffer);
    let offset = 0;
    for (let i = 0; i < count; i++) {
      const text = texts.subarray(Number(starts[i]), i + 1 < count ? Number(starts[i + 1]) : textBytes);
      view.setUint32(offset, text.byteLength, true);
      data.set(text, offset + LENGTH_BYTES);
      offset += LENGTH_BYTES + text.byteLength;
    }
    return data;
  }
}

/** The same bytes where a kernel may load whole elements from; copied only if they lie across. */
function aligned(data: Uint8Array, elementBytes: number): Uint8Array {
  return data.byteOffset % elementBytes === 0 ? data : data.slice();
}
