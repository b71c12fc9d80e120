import { ELEMENT_BYTES, elementCount, type Datatype, type Tensor } from '../../src/scheduler/domain/tensor.js';
import { fieldsOf, type Field } from '../oracle/onnx-reader.js';

/*
 * Reads the inputs and outputs of ONNX's operator tests: a `TensorProto`, or an `OptionalProto` around one, per file.
 * github.com/onnx/onnx, `onnx/onnx.proto`.
 */

const DATATYPES: ReadonlyMap<number, Datatype> = new Map([
  [1, 'FP32'],
  [2, 'UINT8'],
  [3, 'INT8'],
  [4, 'UINT16'],
  [5, 'INT16'],
  [6, 'INT32'],
  [7, 'INT64'],
  [8, 'BYTES'],
  [9, 'BOOL'],
  [10, 'FP16'],
  [11, 'FP64'],
  [12, 'UINT32'],
  [13, 'UINT64'],
  [16, 'BF16'],
]);

const TENSOR = {
  dims: 1,
  dataType: 2,
  floats: 4,
  int32s: 5,
  strings: 6,
  int64s: 7,
  name: 8,
  raw: 9,
  doubles: 10,
  uint64s: 11,
};
/** Of an OptionalProto; a TensorProto has no such field in these files. */
const OPTIONAL_TENSOR = 3;

/**
 * Null for an optional without a value.
 * @throws Error where it is no tensor, or one of a type that the protocol does not carry
 */
export function readTensorFile(file: Uint8Array): Tensor | null {
  const fields = fieldsOf(file);
  const inner = fields.find(({ field }) => field === OPTIONAL_TENSOR);
  // TensorProto.DataType UNDEFINED, which is OptionalProto's too.
  if (inner === undefined && fields.some(({ field, integer }) => field === TENSOR.dataType && integer === 0n))
    return null;
  return readTensor(inner === undefined ? fields : fieldsOf(inner.bytes));
}

function readTensor(fields: readonly Field[]): Tensor {
  const typeNumber = Number(fields.find(({ field }) => field === TENSOR.dataType)?.integer ?? 0n);
  const datatype = DATATYPES.get(typeNumber);
  if (datatype === undefined) throw new Error(`element type ${typeNumber}`);
  const name = new TextDecoder().decode(fields.find(({ field }) => field === TENSOR.name)?.bytes);
  const shape = integersOf(fields, TENSOR.dims).map(Number);
  const data = elementCount(shape) === 0 ? new Uint8Array(0) : dataOf(fields, datatype);
  if (datatype !== 'BYTES' && data.byteLength !== elementCount(shape) * ELEMENT_BYTES[datatype]) {
    throw new Error(`${name}: ${data.byteLength} bytes for ${datatype} [${shape.join()}]`);
  }
  return { name, datatype, shape, data };
}

function dataOf(fields: readonly Field[], datatype: Datatype): Uint8Array {
  if (datatype === 'BYTES') {
    return Buffer.concat(
      fields
        .filter(({ field }) => field === TENSOR.strings)
        .flatMap(({ bytes }) => {
          const length = Buffer.alloc(4);
          length.writeUInt32LE(bytes.byteLength);
          return [length, bytes];
        }),
    );
  }
  const raw = fields.find(({ field }) => field === TENSOR.raw);
  if (raw !== undefined) return raw.bytes.slice();
  switch (datatype) {
    case 'FP32':
      return packedOf(fields, TENSOR.floats);
    case 'FP64':
      return packedOf(fields, TENSOR.doubles);
    case 'INT64':
      return new Uint8Array(BigInt64Array.from(integersOf(fields, TENSOR.int64s)).buffer);
    case 'UINT64':
      return new Uint8Array(BigUint64Array.from(integersOf(fields, TENSOR.uint64s)).buffer);
    case 'UINT32':
      return new Uint8Array(Uint32Array.from(integersOf(fields, TENSOR.uint64s).map(Number)).buffer);
    case 'INT32':
      return new Uint8Array(Int32Array.from(integersOf(fields, TENSOR.int32s).map(Number)).buffer);
    case 'INT16':
    case 'UINT16':
    case 'FP16':
    case 'BF16':
      return new Uint8Array(Uint16Array.from(integersOf(fields, TENSOR.int32s).map(Number)).buffer);
    case 'INT8':
    case 'UINT8':
    case 'BOOL':
      return Uint8Array.from(integersOf(fields, TENSOR.int32s).map(Number));
  }
}

function packedOf(fields: readonly Field[], wanted: number): Uint8Array {
  return Buffer.concat(fields.filter(({ field }) => field === wanted).map(({ bytes }) => bytes));
}

/** One varint a field, or many packed into one. */
function integersOf(fields: readonly Field[], wanted: number): bigint[] {
  return fields
    .filter(({ field }) => field === wanted)
    .flatMap(({ integer, bytes }) => (bytes.byteLength === 0 ? [integer] : unpacked(bytes)))
    .map((integer) => BigInt.asIntN(64, integer));
}

function unpacked(bytes: Uint8Array): bigint[] {
  const integers: bigint[] = [];
  let value = 0n;
  let shift = 0n;
  for (const byte of bytes) {
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (byte >= 0x80) continue;
    integers.push(value);
    value = 0n;
    shift = 0n;
  }
  return integers;
}
