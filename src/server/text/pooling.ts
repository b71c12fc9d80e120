import { elementCount, type Tensor } from '../../scheduler/domain/tensor.js';
import type { Pooling } from './text-settings.js';

/*
 * From the vectors of tokens to the one of their text. Pure. What is given may be lent memory; what is made is not.
 */

/**
 * @param tokens FP32 `[1, token, dimension]`
 * @param mask of each token, 1 where it is the text's and 0 where it is padding; at least one is 1
 * @returns `[dimension]`
 */
export function pooled(tokens: Tensor, mask: ArrayLike<number>, pooling: Pooling): Float32Array<ArrayBuffer> {
  const [, count = 0, dimension = 0] = tokens.shape;
  const values = floatsOf(tokens);
  const first = 0;
  switch (pooling) {
    case 'cls':
      return values.slice(first, dimension);
    case 'last': {
      const last = lastToken(mask, count);
      return values.slice(last * dimension, (last + 1) * dimension);
    }
    case 'mean':
      return meanOf(values, mask, count, dimension);
  }
}

function meanOf(
  values: Float32Array,
  mask: ArrayLike<number>,
  count: number,
  dimension: number,
): Float32Array<ArrayBuffer> {
  const sums = new Float64Array(dimension);
  let taken = 0;
  for (let token = 0; token < count; token++) {
    if (mask[token] === 0) continue;
    taken += 1;
    const start = token * dimension;
    for (let i = 0; i < dimension; i++) sums[i]! += values[start + i]!;
  }
  const mean = new Float32Array(dimension);
  for (let i = 0; i < dimension; i++) mean[i] = sums[i]! / Math.max(1, taken);
  return mean;
}

function lastToken(mask: ArrayLike<number>, count: number): number {
  for (let token = count - 1; token > 0; token--) if (mask[token] !== 0) return token;
  return 0;
}

/** In place, to length 1; what has no length stays as it is. */
export function normalize(vector: Float32Array): void {
  let squares = 0;
  for (const value of vector) squares += value * value;
  const length = Math.sqrt(squares);
  if (length > 0) for (let i = 0; i < vector.length; i++) vector[i]! /= length;
}

/** The elements of an FP32 tensor; a view where its memory is aligned for one. */
export function floatsOf({ data, shape }: Tensor): Float32Array {
  const count = elementCount(shape);
  if (data.byteOffset % 4 === 0) return new Float32Array(data.buffer, data.byteOffset, count);
  return new Float32Array(new Uint8Array(data).buffer, 0, count);
}

/** @returns 1 / (1 + e⁻ˣ) */
export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
