import type { InferTensorContents } from '../../../src/protocol/grpc/generated/open_inference.js';
import { elementCount, type Datatype, type Tensor } from '../../../src/scheduler/domain/tensor.js';

/*
 * Tensors as JavaScript values, as JSON and as gRPC's typed contents: written and read here without the code under test.
 */

/** Little-endian elements of every type but BYTES. FP16 and BF16 are their bits. */
const ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const;

/** A tensor of numbers; 64-bit integers may be bigints. */
export function numbers(
  name: string,
  datatype: Exclude<Datatype, 'BYTES'>,
  shape: readonly number[],
  values: readonly (number | bigint)[],
): Tensor {
  if (values.length !== elementCount(shape))
    throw new RangeError(`${name}: ${values.length} values for [${shape.join()}]`);
  const array =
    datatype === 'INT64' || datatype === 'UINT64'
      ? (datatype === 'INT64' ? BigInt64Array : BigUint64Array).from(values.map(BigInt))
      : ARRAYS[datatype].from(values.map(Number));
  return { name, datatype, shape, data: new Uint8Array(array.buffer) };
}

/** A tensor of strings: text as UTF-8, or any bytes. */
export function strings(name: string, shape: readonly number[], elements: readonly (string | Uint8Array)[]): Tensor {
  if (elements.length !== elementCount(shape))
    throw new RangeError(`${name}: ${elements.length} for [${shape.join()}]`);
  const parts = elements.flatMap((element) => {
    const bytes = Buffer.from(element);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return [length, bytes];
  });
  return { name, datatype: 'BYTES', shape, data: Buffer.concat(parts) };
}

/** The elements of a BYTES tensor. */
export function bytesElements({ data }: Tensor): Buffer[] {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const elements: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt32LE(at);
    elements.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return elements;
}

/** The elements of a tensor of numbers. */
export function numericElements({ datatype, data }: Tensor): (number | bigint)[] {
  if (datatype === 'BYTES') throw new TypeError('BYTES are no numbers');
  const { buffer } = Uint8Array.from(data);
  if (datatype === 'INT64') return [...new BigInt64Array(buffer)];
  if (datatype === 'UINT64') return [...new BigUint64Array(buffer)];
  return [...new ARRAYS[datatype](buffer)];
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** `data` of the protocol's JSON; null where JSON cannot carry the tensor. */
export function jsonElements(tensor: Tensor): unknown[] | null {
  const { datatype } = tensor;
  if (datatype === 'FP16' || datatype === 'BF16') return null;
  if (datatype === 'BYTES') {
    try {
      return bytesElements(tensor).map((element) => UTF8.decode(element));
    } catch {
      return null;
    }
  }
  const elements = numericElements(tensor);
  if (datatype === 'BOOL') return elements.map((element) => element === 1);
  return elements.map((element) => {
    if (typeof element === 'bigint') return isSafe(element) ? Number(element) : element.toString();
    return Number.isFinite(element) ? element : String(element);
  });
}

/** Null where it has no typed form, or one that the generated client cannot write: 64-bit integers beyond ±(2^53 − 1). */
export function typedContents(tensor: Tensor): InferTensorContents | null {
  const { datatype } = tensor;
  const contents: InferTensorContents = {
    boolContents: [],
    intContents: [],
    int64Contents: [],
    uintContents: [],
    uint64Contents: [],
    fp32Contents: [],
    fp64Contents: [],
    bytesContents: [],
  };
  if (datatype === 'BYTES') return { ...contents, bytesContents: bytesElements(tensor) };
  if (datatype === 'FP16' || datatype === 'BF16') return null;
  const elements = numericElements(tensor);
  if (elements.some((element) => typeof element === 'bigint' && !isSafe(element))) return null;
  const values = elements.map(Number);
  switch (datatype) {
    case 'BOOL':
      return { ...contents, boolContents: values.map((value) => value === 1) };
    case 'INT8':
    case 'INT16':
    case 'INT32':
      return { ...contents, intContents: values };
    case 'INT64':
      return { ...contents, int64Contents: values };
    case 'UINT8':
    case 'UINT16':
    case 'UINT32':
      return { ...contents, uintContents: values };
    case 'UINT64':
      return { ...contents, uint64Contents: values };
    case 'FP32':
      return { ...contents, fp32Contents: values };
    case 'FP64':
      return { ...contents, fp64Contents: values };
  }
}

function isSafe(integer: bigint): boolean {
  return Number.isSafeInteger(Number(integer)) && BigInt(Number(integer)) === integer;
}

/**
 * Where two tensors differ, in one line; null where they agree. Bytes agree exactly, or, floats of 32 and 64 bits, up to the
 * order in which a kernel may add: 1e-5 of the value and of the tensor's largest.
 */
export function differenceBetween(expected: Tensor, actual: Tensor): string | null {
  const { name, datatype, shape } = expected;
  if (actual.name !== name || actual.datatype !== datatype || actual.shape.join() !== shape.join()) {
    return `expected ${name} ${datatype} [${shape.join()}], got ${actual.name} ${actual.datatype} [${actual.shape.join()}]`;
  }
  if (Buffer.from(actual.data).equals(expected.data)) return null;
  if (actual.data.byteLength !== expected.data.byteLength) {
    return `${name}: expected ${expected.data.byteLength} bytes, got ${actual.data.byteLength}`;
  }
  if (datatype === 'BYTES') {
    const wanted = bytesElements(expected);
    const index = bytesElements(actual).findIndex((element, i) => !element.equals(wanted[i] ?? Buffer.alloc(0)));
    return `${name}[${index}]: other bytes`;
  }
  const wanted = numericElements(expected);
  const got = numericElements(actual);
  const isFloat = datatype === 'FP32' || datatype === 'FP64';
  const largest = Math.max(0, ...wanted.map((value) => Math.abs(Number(value))).filter(Number.isFinite));
  const index = wanted.findIndex((value, i) => {
    if (Object.is(value, got[i])) return false;
    const error = Math.abs(Number(value) - Number(got[i]));
    return !isFloat || !(error <= 1e-5 * (Math.abs(Number(value)) + largest));
  });
  return index === -1 ? null : `${name}[${index}]: expected ${wanted[index]}, got ${got[index]}`;
}
