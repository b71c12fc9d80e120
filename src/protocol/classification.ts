/*
 * Triton's classification extension: instead of an output's numbers, the largest of each row as `value:index` or `value:index:label`,
 * largest first; of equal ones the first, and NaN below all.
 */
import { NUMBER_ARRAYS, type NumberType } from '../scheduler/domain/number-arrays.js';
import { elementCount } from '../scheduler/domain/tensor.js';
import type { Datatype, Tensor } from '../scheduler/domain/tensor.js';
import { OipFailure } from './service.js';
import type { ModelEntry } from './service.js';
import { packBytes } from './tensor-layout.js';

/** An output that a request asks for. */
export interface ClassifiedOutput {
  readonly name: string;
  /** How many classes of each row; absent: the output itself. */
  readonly classCount?: number;
}

/** Makes classes of the outputs of which they were asked for; others stay as they are. */
export type Classify = (output: Tensor) => Tensor;

/** Of all rows of an output: each is a string that is written on the router's own thread. */
const MAX_CLASSES = 20_000;

type Scores = ArrayLike<number> | ArrayLike<bigint>;

/** The parameter `classification` of an output; 0 is absent. @throws OipFailure `invalid` for what is no count */
export function readClassCount(output: string, value: unknown): number | undefined {
  if (value === undefined || value === 0) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  throw new OipFailure('invalid', `output '${output}': classification must be an integer ≥ 0`);
}

/**
 * @returns null where no classes are asked for
 * @throws OipFailure `invalid` for an output of no numbers; the function also for more classes than are written
 */
export function classifierOf(model: ModelEntry, outputs: readonly ClassifiedOutput[]): Classify | null {
  const counts = new Map<string, number>();
  for (const { name, classCount } of outputs) {
    if (classCount === undefined) continue;
    const datatype = model.signature?.outputs.find((spec) => spec.name === name)?.datatype;
    if (datatype !== undefined && !isScored(datatype)) {
      throw new OipFailure('invalid', `output '${name}' is ${datatype}, which has no classes`);
    }
    counts.set(name, classCount);
  }
  if (counts.size === 0) return null;
  const isBatched = model.maxBatchSize > 0;
  return (output) => {
    const classCount = counts.get(output.name);
    return classCount === undefined
      ? output
      : classesOf(output, classCount, isBatched, model.labels?.[output.name] ?? []);
  };
}

function classesOf(output: Tensor, wanted: number, isBatched: boolean, labels: readonly string[]): Tensor {
  const { name, datatype, shape } = output;
  if (!isScored(datatype)) throw new Error(`output '${name}' is ${datatype}, and was let through`);
  const rowCount = isBatched ? (shape[0] ?? 1) : 1;
  const rowLength = rowCount === 0 ? 0 : elementCount(shape) / rowCount;
  const classCount = Math.min(wanted, rowLength);
  if (classCount * rowCount > MAX_CLASSES) {
    throw new OipFailure(
      'invalid',
      `output '${name}': ${classCount} classes of ${rowCount} rows are more than ${MAX_CLASSES}: ask for fewer, or for the output itself`,
    );
  }
  const scores = scoresOf(datatype, output.data);
  const isWhole = datatype !== 'FP32' && datatype !== 'FP64';
  const encoder = new TextEncoder();
  const texts: Uint8Array[] = [];
  for (let row = 0; row < rowCount; row++) {
    for (const index of largestOf(scores, row * rowLength, rowLength, classCount)) {
      const score = scores[row * rowLength + index]!;
      const label = labels[index] ?? '';
      const text = `${isWhole ? String(score) : decimal(Number(score))}:${index}${label === '' ? '' : `:${label}`}`;
      texts.push(encoder.encode(text));
    }
  }
  return {
    name,
    datatype: 'BYTES',
    shape: isBatched ? [rowCount, classCount] : [classCount],
    data: packBytes(texts),
  };
}

function isScored(datatype: Datatype): datatype is NumberType {
  return datatype in NUMBER_ARRAYS;
}

/** A view of them where they are aligned, else of a copy. */
function scoresOf(datatype: NumberType, data: Uint8Array): Scores {
  const array = NUMBER_ARRAYS[datatype];
  const { buffer, byteOffset, byteLength } = data.byteOffset % array.BYTES_PER_ELEMENT === 0 ? data : data.slice();
  return new array(buffer as ArrayBuffer, byteOffset, byteLength / array.BYTES_PER_ELEMENT);
}

/** Indices of the largest in a row, largest first: kept in a heap whose root is the least of them, so that most take one comparison. */
function largestOf(scores: Scores, start: number, length: number, count: number): readonly number[] {
  // Whether the first is the lesser class. NaN is less than any other; of equal ones the later is.
  const isLess = (a: number, b: number): boolean => {
    const [left, right] = [scores[start + a]!, scores[start + b]!];
    if (left < right) return true;
    if (left > right) return false;
    const areAlike = left === right || (Number.isNaN(left) && Number.isNaN(right));
    return areAlike ? a > b : Number.isNaN(left);
  };
  const heap: number[] = [];
  for (let index = 0; index < length; index++) {
    if (heap.length < count) {
      heap.push(index);
      if (heap.length === count) for (let at = (count >> 1) - 1; at >= 0; at--) sink(heap, at, isLess);
    } else if (count > 0 && isLess(heap[0]!, index)) {
      heap[0] = index;
      sink(heap, 0, isLess);
    }
  }
  return heap.sort((a, b) => (isLess(a, b) ? 1 : -1));
}

function sink(heap: number[], from: number, isLess: (a: number, b: number) => boolean): void {
  for (let at = from; ;) {
    let least = at;
    for (const child of [2 * at + 1, 2 * at + 2]) {
      if (child < heap.length && isLess(heap[child]!, heap[least]!)) least = child;
    }
    if (least === at) return;
    [heap[at], heap[least]] = [heap[least]!, heap[at]!];
    at = least;
  }
}

/** Six places behind the point, as C's `%f` has them, which Triton's clients know. */
function decimal(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  // From here on `toFixed` goes over to exponents; such doubles are whole.
  return Math.abs(value) < 1e21 ? value.toFixed(6) : `${BigInt(value)}.000000`;
}
