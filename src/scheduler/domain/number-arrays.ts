import type { Datatype } from './tensor.js';

/** The typed array of each type of numbers. FP16, BF16, BOOL and BYTES have none. */
export const NUMBER_ARRAYS = {
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const satisfies Partial<Record<Datatype, unknown>>;

export type NumberType = keyof typeof NUMBER_ARRAYS;
