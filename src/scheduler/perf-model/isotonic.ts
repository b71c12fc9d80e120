/** A matrix `[row, column]`, row-major. */
export interface Matrix {
  readonly rowCount: number;
  readonly columnCount: number;
  readonly values: Float64Array;
}

/** Alternating projections end when no order is broken by more than this fraction, or after this many rounds. */
const TOLERANCE = 1e-9;
const MOST_ROUNDS = 200;

/**
 * The nearest matrix (weighted least squares of logarithms, so errors count relatively) that does not decrease along
 * either axis. Isotonic regression in one dimension is pooling adjacent violators; Dykstra's alternating projections
 * extend it to two (Dykstra and Robertson, "An algorithm for isotonic regression for two or more independent variables",
 * 1982). A last sweep lifts what the finite number of rounds left out of order, so the result is in order exactly.
 * @param values > 0
 * @param weights > 0, same shape
 */
export function nonDecreasing({ rowCount, columnCount, values }: Matrix, weights: Float64Array): Matrix {
  let current = values.map(Math.log);
  let rowCorrection = new Float64Array(values.length);
  let columnCorrection = new Float64Array(values.length);
  for (let round = 0; round < MOST_ROUNDS && !isOrdered(current, rowCount, columnCount); round++) {
    const beforeRows = sum(current, rowCorrection);
    const afterRows = beforeRows.slice();
    for (let row = 0; row < rowCount; row++) poolViolators(afterRows, weights, row * columnCount, 1, columnCount);
    rowCorrection = difference(beforeRows, afterRows);

    const beforeColumns = sum(afterRows, columnCorrection);
    current = beforeColumns.slice();
    for (let column = 0; column < columnCount; column++) poolViolators(current, weights, column, columnCount, rowCount);
    columnCorrection = difference(beforeColumns, current);
  }

  const ordered = current.map(Math.exp);
  for (let row = 0; row < rowCount; row++) {
    for (let column = 0; column < columnCount; column++) {
      const at = row * columnCount + column;
      if (row > 0) ordered[at] = Math.max(ordered[at]!, ordered[at - columnCount]!);
      if (column > 0) ordered[at] = Math.max(ordered[at]!, ordered[at - 1]!);
    }
  }
  return { rowCount, columnCount, values: ordered };
}

/** Replaces one line of a matrix (first, first + stride, …) by its weighted isotonic regression. */
function poolViolators(
  values: Float64Array,
  weights: Float64Array,
  first: number,
  stride: number,
  count: number,
): void {
  const means: number[] = [];
  const blockWeights: number[] = [];
  const lengths: number[] = [];
  for (let i = 0; i < count; i++) {
    let mean = values[first + i * stride]!;
    let weight = weights[first + i * stride]!;
    let length = 1;
    while (means.length > 0 && means.at(-1)! > mean) {
      const pooled = blockWeights.pop()!;
      mean = (mean * weight + means.pop()! * pooled) / (weight + pooled);
      weight += pooled;
      length += lengths.pop()!;
    }
    means.push(mean);
    blockWeights.push(weight);
    lengths.push(length);
  }
  let i = 0;
  means.forEach((mean, block) => {
    for (const end = i + lengths[block]!; i < end; i++) values[first + i * stride] = mean;
  });
}

function isOrdered(values: Float64Array, rowCount: number, columnCount: number): boolean {
  for (let row = 0; row < rowCount; row++) {
    for (let column = 0; column < columnCount; column++) {
      const at = row * columnCount + column;
      if (row > 0 && values[at - columnCount]! > values[at]! + TOLERANCE) return false;
      if (column > 0 && values[at - 1]! > values[at]! + TOLERANCE) return false;
    }
  }
  return true;
}

function sum(a: Float64Array, b: Float64Array): Float64Array<ArrayBuffer> {
  return Float64Array.from(a, (value, i) => value + b[i]!);
}

function difference(a: Float64Array, b: Float64Array): Float64Array<ArrayBuffer> {
  return Float64Array.from(a, (value, i) => value - b[i]!);
}
