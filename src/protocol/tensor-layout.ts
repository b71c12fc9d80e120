/*
 * Shapes and the protocol's binary layout: row-major little-endian elements; a BYTES element is a 4-byte little-endian
 * length and that many bytes. Everything is checked before anything is allocated for it.
 */
import { DATATYPES, ELEMENT_BYTES, elementCount } from '../scheduler/domain/tensor.js';
import type { Datatype, Tensor } from '../scheduler/domain/tensor.js';
import { invalid, OipFailure } from './service.js';

/** No model has more axes; NumPy's limit was 32 as well (NPY_MAXDIMS). */
const MAX_RANK = 32;

/**
 * The sizes of an empty tensor, its zeros left out, multiply to no more than this: as many elements as the largest body of the
 * default limits can bring. They cost nothing to send, but operators that take the empty axis away make outputs of the others: 100
 * bytes of JSON with the shape [2^31, 0] had a sum of 8 GiB allocated for them, which was the end of the worker.
 */
const MAX_EMPTY_PRODUCT = 2 ** 26;

/** Bytes of a BYTES element's length prefix. */
const LENGTH_PREFIX_BYTES = 4;

/** @throws OipFailure `invalid` for a datatype that the protocol does not name */
export function checkDatatype(tensorName: string, datatype: unknown): Datatype {
  const known = DATATYPES.find((candidate) => candidate === datatype);
  if (known === undefined) {
    const got = typeof datatype === 'string' ? datatype.slice(0, 32) : typeof datatype;
    throw invalid(`tensor '${tensorName}': datatype ${got} is not one of ${DATATYPES.join(', ')}`);
  }
  return known;
}

/**
 * A shape as sent.
 * @returns sizes ≥ 0 whose product is a safe integer, whatever order it is taken in
 * @throws OipFailure `invalid`
 */
export function checkShape(tensorName: string, shape: unknown): readonly number[] {
  if (!Array.isArray(shape)) throw invalid(`tensor '${tensorName}': shape must be an array of integers`);
  if (shape.length > MAX_RANK) throw invalid(`tensor '${tensorName}': ${shape.length} axes, at most ${MAX_RANK}`);
  let nonZeroProduct = 1;
  const sizes: number[] = [];
  for (const size of shape as readonly unknown[]) {
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
      throw invalid(`tensor '${tensorName}': every size in its shape must be an integer ≥ 0`);
    }
    if (size > 0) nonZeroProduct *= size;
    if (nonZeroProduct > Number.MAX_SAFE_INTEGER) {
      throw invalid(`tensor '${tensorName}': shape has more elements than can be counted`);
    }
    sizes.push(size);
  }
  if (sizes.includes(0) && nonZeroProduct > MAX_EMPTY_PRODUCT) {
    throw invalid(
      `tensor '${tensorName}': it is empty, and the other sizes in its shape multiply to more than ${MAX_EMPTY_PRODUCT}`,
    );
  }
  return sizes;
}

/**
 * That `data` is exactly what datatype and shape call for.
 * @throws OipFailure `invalid` naming the byte count expected and got
 */
export function checkLayout(tensor: Tensor): void {
  const { name, datatype, shape, data } = tensor;
  const count = elementCount(shape);
  if (datatype === 'BYTES') {
    checkBytesElements(tensor, count);
    return;
  }
  const expectedBytes = count * ELEMENT_BYTES[datatype];
  if (data.length !== expectedBytes) {
    throw invalid(
      `tensor '${name}': ${datatype} [${shape.join(', ')}] takes ${expectedBytes} bytes, got ${data.length}`,
    );
  }
  if (datatype === 'BOOL' && !isZerosAndOnes(data)) {
    throw invalid(`tensor '${name}': BOOL elements must be 0 or 1`);
  }
}

/** The elements of a BYTES tensor in the binary layout, as views. The layout must have been checked. */
export function unpackBytes(data: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const elements: Uint8Array[] = [];
  for (let offset = 0; offset < data.length;) {
    const start = offset + LENGTH_PREFIX_BYTES;
    offset = start + view.getUint32(offset, true);
    elements.push(data.subarray(start, offset));
  }
  return elements;
}

/** The binary layout of BYTES elements. */
export function packBytes(elements: readonly Uint8Array[]): Uint8Array {
  let byteCount = 0;
  for (const element of elements) byteCount += LENGTH_PREFIX_BYTES + element.length;
  const data = new Uint8Array(byteCount);
  const view = new DataView(data.buffer);
  let offset = 0;
  for (const element of elements) {
    view.setUint32(offset, element.length, true);
    data.set(element, offset + LENGTH_PREFIX_BYTES);
    offset += LENGTH_PREFIX_BYTES + element.length;
  }
  return data;
}

/** Four at a time where they are aligned: one by one 64 MiB take a third of a second. */
function isZerosAndOnes(data: Uint8Array): boolean {
  let other = 0;
  const isAligned = data.byteOffset % 4 === 0;
  const words = isAligned ? new Uint32Array(data.buffer, data.byteOffset, data.length >> 2) : new Uint32Array(0);
  for (let index = 0; index < words.length; index++) other |= words[index]! & 0xfefefefe;
  for (let index = 4 * words.length; index < data.length; index++) other |= data[index]! & 0xfe;
  return other === 0;
}

/** Each takes some 3 ns here, and a string of its own in the worker. */
const MAX_BYTES_ELEMENTS = 1 << 22;

function checkBytesElements(tensor: Tensor, expectedCount: number): void {
  const { name, shape, data } = tensor;
  if (expectedCount > MAX_BYTES_ELEMENTS) {
    throw new OipFailure('too_large', `tensor '${name}': more than ${MAX_BYTES_ELEMENTS} elements of BYTES`);
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let count = 0;
  let offset = 0;
  while (offset < data.length) {
    if (data.length - offset < LENGTH_PREFIX_BYTES) {
      throw invalid(`tensor '${name}': the length prefix of BYTES element ${count} is cut short`);
    }
    const elementBytes = view.getUint32(offset, true);
    offset += LENGTH_PREFIX_BYTES + elementBytes;
    if (offset > data.length) {
      throw invalid(`tensor '${name}': BYTES element ${count} claims ${elementBytes} bytes, more than there are`);
    }
    count += 1;
    if (count > expectedCount) {
      throw invalid(`tensor '${name}': BYTES [${shape.join(', ')}] takes ${expectedCount} elements, got more`);
    }
  }
  if (count !== expectedCount) {
    throw invalid(`tensor '${name}': BYTES [${shape.join(', ')}] takes ${expectedCount} elements, got ${count}`);
  }
}
