import { NUMBER_ARRAYS } from '../../../scheduler/domain/number-arrays.js';
import { encodeStrings } from '../../../scheduler/domain/bytes-elements.js';
import {
  ELEMENT_BYTES,
  elementCount,
  fitsDeclared,
  shapeText,
  type Datatype,
  type Tensor,
} from '../../../scheduler/domain/tensor.js';
import type { FunctionOutput } from '../../../scheduler/pipeline/step-target.js';

/*
 * Tensors as a function has them: elements in a typed array of their kind, text as strings; and as they go from one thread to another.
 */

/** On its way between threads: `bytes` in the protocol's layout. */
export interface SentTensor {
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

type Elements = ArrayBufferView | readonly (string | Uint8Array)[];

/** What a function gets. */
export interface FunctionTensor {
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  /** FP16 and BF16 as their 16 bits, BOOL as 0 and 1, BYTES as their bytes, one array an element. */
  readonly data: Elements;
}

const ARRAYS = { ...NUMBER_ARRAYS, BOOL: Uint8Array, FP16: Uint16Array, BF16: Uint16Array } as const;

/** A copy that is nobody else's: it can be handed over. */
export function sentOf({ datatype, shape, data }: Tensor): SentTensor {
  return { datatype, shape, bytes: new Uint8Array(data) };
}

export function functionTensorOf({ datatype, shape, bytes }: SentTensor): FunctionTensor {
  if (datatype === 'BYTES') return { datatype, shape, data: elementsOf(bytes, elementCount(shape)) };
  const { buffer, byteOffset, byteLength } = bytes;
  const data = new ARRAYS[datatype](buffer, byteOffset, byteLength / ELEMENT_BYTES[datatype]);
  return { datatype, shape, data };
}

function elementsOf(bytes: Uint8Array, count: number): readonly Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = 0;
  return Array.from({ length: count }, () => {
    const length = view.getUint32(offset, true);
    const element = bytes.subarray(offset + 4, offset + 4 + length);
    offset += 4 + length;
    return element;
  });
}

/** What a function gave for one output. @throws Error of one line: it is not as its pipeline says */
export function sentFrom(value: unknown, declared: FunctionOutput): SentTensor | readonly SentTensor[] {
  const { name, isList } = declared;
  if (!isList) return oneFrom(value, declared, `'${name}'`);
  if (!Array.isArray(value)) throw new Error(`'${name}' is a list, and it gave none`);
  return value.map((each: unknown, index) => oneFrom(each, declared, `'${name}', part ${index + 1},`));
}

function oneFrom(value: unknown, { datatype, shape: declared, name }: FunctionOutput, what: string): SentTensor {
  const { shape, data } = (typeof value === 'object' && value !== null ? value : {}) as {
    shape?: unknown;
    data?: unknown;
  };
  if (!isShape(shape)) throw new Error(`${what} has no shape: give { shape: [sizes], data }`);
  if (!fitsDeclared({ name, datatype, shape: declared }, shape))
    throw new Error(`${what} has the shape ${shapeText(shape)}, and its pipeline says ${shapeText(declared)}`);
  const count = elementCount(shape);
  const bytes = datatype === 'BYTES' ? encoded(data, what) : ofNumbers(data, datatype, what);
  const given = datatype === 'BYTES' ? (data as readonly unknown[]).length : bytes.byteLength / ELEMENT_BYTES[datatype];
  if (given !== count) throw new Error(`${what} has ${given} elements, and ${shapeText(shape)} are ${count}`);
  return { datatype, shape, bytes };
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function ofNumbers(data: unknown, datatype: Exclude<Datatype, 'BYTES'>, what: string): Uint8Array<ArrayBuffer> {
  const kind = ARRAYS[datatype];
  if (!(data instanceof kind)) throw new Error(`${what} is ${datatype}: its data are a ${kind.name}`);
  const { buffer, byteOffset, byteLength } = data;
  // What is the whole of its memory can be handed over as it is.
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) return new Uint8Array(buffer);
  return new Uint8Array(new Uint8Array(buffer, byteOffset, byteLength));
}

function encoded(data: unknown, what: string): Uint8Array<ArrayBuffer> {
  if (!Array.isArray(data)) throw new Error(`${what} is BYTES: its data are an array of strings or Uint8Arrays`);
  if (data.every((each) => typeof each === 'string')) return encodeStrings(data);
  const parts = data.map((each: unknown) => {
    if (typeof each === 'string') return Buffer.from(each);
    if (each instanceof Uint8Array) return each;
    throw new Error(`${what} is BYTES: its data are an array of strings or Uint8Arrays`);
  });
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.byteLength, 0));
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const part of parts) {
    view.setUint32(offset, part.byteLength, true);
    bytes.set(part, offset + 4);
    offset += 4 + part.byteLength;
  }
  return bytes;
}
