/*
 * Shapes and the protocol's binary layout: row-major little-endian elements; a BYTES element is a 4-byte little-endian
 * length and that many bytes. Everything is checked before anything is allocated for it.
 */
import { DATATYPES, ELEMENT_BYTES, elementCount } from '../../domain/tensor.js';
import type { Datatype, Tensor } from '../../domain/tensor.js';
import { OipFailure } from './service.js';

/** No model has more axes; NumPy's limit was 32 as well (NPY_MAXDIMS). */
const MAX_RANK = 32;

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
  if (datatype === 'BOOL' && data.some((byte) => byte > 1)) {
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

function checkBytesElements(tensor: Tensor, expectedCount: number): void {
  const { name, shape, data } = tensor;
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
  }
  if (count !== expectedCount) {
    throw invalid(`tensor '${name}': BYTES [${shape.join(', ')}] takes ${expectedCount} elements, got ${count}`);
  }
}

function invalid(message: string): OipFailure {
  return new OipFailure('invalid', message);
}
