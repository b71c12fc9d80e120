import type { Datatype } from '../../scheduler/domain/tensor.js';

/** ONNX's element types as the C API numbers them, which is `TensorProto.DataType` too. */
export const ELEMENT_TYPES = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
  BF16: 16,
} as const satisfies Record<Datatype, number>;

const DATATYPE_BY_NUMBER: ReadonlyMap<number, Datatype> = new Map(
  Object.entries(ELEMENT_TYPES).map(([datatype, number]) => [number, datatype as Datatype]),
);

/** Those that the protocol has no name for. */
const UNNAMED: ReadonlyMap<number, string> = new Map([
  [14, 'complex64'],
  [15, 'complex128'],
  [17, 'float8e4m3fn'],
  [18, 'float8e4m3fnuz'],
  [19, 'float8e5m2'],
  [20, 'float8e5m2fnuz'],
  [21, 'uint4'],
  [22, 'int4'],
  [23, 'float4e2m1'],
]);

/** The protocol's name of an element type; null for one that it cannot carry. */
export function datatypeOf(elementType: number): Datatype | null {
  return DATATYPE_BY_NUMBER.get(elementType) ?? null;
}

/** ONNX's name of an element type that the protocol cannot carry. */
export function nameOfElementType(elementType: number): string {
  return UNNAMED.get(elementType) ?? `number ${elementType}`;
}
