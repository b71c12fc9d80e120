import type * as Ort from 'onnxruntime-node';
import { ELEMENT_BYTES, elementCount, type Datatype, type Tensor } from '../../domain/tensor.js';

/*
 * Between the protocol's binary layout and ONNX Runtime's tensors. Numbers keep their bytes: they are viewed, not
 * converted (all platforms that ONNX Runtime's Node binding supports are little-endian). Strings are decoded from UTF-8.
 */

const ORT_TYPES = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
} as const satisfies Record<Exclude<Datatype, 'BF16'>, Ort.Tensor.Type>;

const DATATYPE_BY_ORT_TYPE: ReadonlyMap<string, Datatype> = new Map(
  Object.entries(ORT_TYPES).map(([datatype, ortType]) => [ortType, datatype as Datatype]),
);

/** FP16 as its bits: the binding takes them so, with or without a global `Float16Array`. */
const ELEMENT_ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const;

const LENGTH_BYTES = 4;

/** The protocol's name of an ONNX Runtime element type; null for those it cannot carry (int4, uint4). */
export function datatypeOf(ortType: string): Datatype | null {
  return DATATYPE_BY_ORT_TYPE.get(ortType) ?? null;
}

/** Where each BYTES element starts, and as the last entry where the data ends. */
export function bytesElementOffsets(data: Uint8Array, count: number): number[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const offsets = [0];
  let offset = 0;
  for (let i = 0; i < count; i++) {
    offset += LENGTH_BYTES + view.getUint32(offset, true);
    offsets.push(offset);
  }
  return offsets;
}

/** Binary layout of BYTES elements. */
export function encodeStrings(strings: readonly string[]): Uint8Array<ArrayBuffer> {
  const encoded = strings.map((text) => Buffer.from(text));
  const data = Buffer.alloc(encoded.reduce((sum, bytes) => sum + LENGTH_BYTES + bytes.byteLength, 0));
  let offset = 0;
  for (const bytes of encoded) {
    offset = data.writeUInt32LE(bytes.byteLength, offset);
    data.set(bytes, offset);
    offset += bytes.byteLength;
  }
  return data;
}

function decodeStrings(data: Uint8Array, count: number): string[] {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const offsets = bytesElementOffsets(data, count);
  return offsets.slice(0, -1).map((start, i) => bytes.toString('utf8', start + LENGTH_BYTES, offsets[i + 1]));
}

/** The elements of a numeric tensor, in place where they are aligned. */
function elementsOf(datatype: Exclude<Datatype, 'BYTES' | 'BF16'>, data: Uint8Array): Ort.Tensor['data'] {
  const elementBytes = ELEMENT_BYTES[datatype];
  const aligned = data.byteOffset % elementBytes === 0 ? data : data.slice();
  // Never shared memory, which ONNX Runtime refuses: frames and batches own plain buffers.
  return new ELEMENT_ARRAYS[datatype](
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    aligned.byteLength / elementBytes,
  );
}

export function toOrtTensor(ort: typeof Ort, { datatype, shape, data }: Tensor): Ort.Tensor {
  if (datatype === 'BF16') throw new Error('the Node binding knows no bfloat16');
  if (datatype === 'BYTES') return new ort.Tensor('string', decodeStrings(data, elementCount(shape)), shape);
  return new ort.Tensor(ORT_TYPES[datatype], elementsOf(datatype, data), shape);
}

/** @throws Error for a type that the protocol cannot carry */
export function fromOrtTensor(name: string, tensor: Ort.Tensor): Tensor {
  const datatype = datatypeOf(tensor.type);
  if (datatype === null) throw new Error(`output '${name}' has element type ${tensor.type}, which cannot be sent`);
  const elements = tensor.data;
  const data = Array.isArray(elements)
    ? encodeStrings(elements)
    : new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
  return { name, datatype, shape: tensor.dims, data };
}
