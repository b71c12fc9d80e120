import type { LatencyCurve, LatencyPoint } from './curve.js';
import { nonDecreasing, type Matrix } from './isotonic.js';

/*
 * A monotone table over measured (b, c) cells: the alternative to the four-term fit, for models whose latency does not
 * follow it (threads that stop helping, caches that overflow).
 *
 * Work is laid out over b and 1/c, in both of which latency grows: bilinear between cells in those coordinates is then
 * monotone and agrees with the fit's form (linear in b, linear in 1/c) between any two cells. Cells out of order are
 * repaired, cells that were not measured are filled from their row and column.
 *
 * Beyond the grid it believes only what must be so: more CPU than measured helps no further; less CPU costs in
 * proportion (work divided by CPU); larger batches cost in proportion (batching saves no further); smaller ones cost
 * no less than the smallest measured.
 */

/** A filled cell gives way to a measured one when both cannot be kept. */
const FILLED_WEIGHT = 0.01;

export class MonotoneTable implements LatencyCurve {
  readonly #largestBatch: number;
  /** Allocations measured, descending, so that columns ascend in 1/c. */
  readonly #millicores: Float64Array;
  readonly #inverse: Float64Array;
  /** `[batch size 0..largestBatch, column]`, ms; batch sizes between cells are interpolated once, here. */
  readonly #latencyMs: Float64Array;

  /** @param points at least one, latencies > 0; at most one per (b, c) */
  constructor(points: readonly LatencyPoint[]) {
    const batchSizes = ascending(points.map((point) => point.batchSize));
    this.#millicores = ascending(points.map((point) => point.cpuMillicores)).reverse();
    this.#inverse = this.#millicores.map((millicores) => 1 / millicores);
    this.#largestBatch = batchSizes.at(-1)!;
    this.#latencyMs = everyBatchSize(batchSizes, repairedCells(points, batchSizes, this.#millicores, this.#inverse));
  }

  latencyMs(batchSize: number, cpuMillicores: number): number {
    const millicores = this.#millicores;
    const last = millicores.length - 1;
    const isInside = batchSize <= this.#largestBatch;
    const row = (isInside ? batchSize : this.#largestBatch) * millicores.length;
    const beyond = isInside ? 1 : batchSize / this.#largestBatch;
    if (cpuMillicores >= millicores[0]!) return beyond * this.#latencyMs[row]!;
    if (cpuMillicores <= millicores[last]!) {
      return beyond * this.#latencyMs[row + last]! * (millicores[last]! / cpuMillicores);
    }
    let column = 1;
    while (millicores[column]! > cpuMillicores) column++;
    const from = this.#inverse[column - 1]!;
    const share = (1 / cpuMillicores - from) / (this.#inverse[column]! - from);
    return beyond * ((1 - share) * this.#latencyMs[row + column - 1]! + share * this.#latencyMs[row + column]!);
  }
}

/** `[batch size, allocation]` over all measured batch sizes and allocations, gaps filled, in order along both axes. */
function repairedCells(
  points: readonly LatencyPoint[],
  batchSizes: Float64Array,
  millicores: Float64Array,
  inverse: Float64Array,
): Matrix {
  const rowCount = batchSizes.length;
  const columnCount = millicores.length;
  const measured = new Float64Array(rowCount * columnCount).fill(NaN);
  for (const point of points) {
    const at = batchSizes.indexOf(point.batchSize) * columnCount + millicores.indexOf(point.cpuMillicores);
    measured[at] = point.latencyMs;
  }
  const values = measured.map((latencyMs, at) => {
    if (!Number.isNaN(latencyMs)) return latencyMs;
    const row = Math.floor(at / columnCount);
    const column = at % columnCount;
    return filledCell(
      estimate(inverse, measured.subarray(row * columnCount, (row + 1) * columnCount), column),
      estimate(
        batchSizes,
        measured.filter((_, cell) => cell % columnCount === column),
        row,
      ),
    );
  });
  const weights = measured.map((latencyMs) => (Number.isNaN(latencyMs) ? FILLED_WEIGHT : 1));
  return nonDecreasing({ rowCount, columnCount, values }, weights);
}

/** What one line of the table says about a cell that was not measured. */
interface Estimate {
  readonly latencyMs: number;
  /** 2 interpolated, 1 extrapolated, 0 a neighbour's value. */
  readonly grade: number;
}

/** The better of what its row and its column say; their mean where they are equally good. */
function filledCell(alongRow: Estimate, alongColumn: Estimate): number {
  if (alongRow.grade > alongColumn.grade) return alongRow.latencyMs;
  if (alongColumn.grade > alongRow.grade) return alongColumn.latencyMs;
  return (alongRow.latencyMs + alongColumn.latencyMs) / 2;
}

/**
 * Latency at `positions[target]` from the measured values of its line, linear in position.
 * @param positions ascending: batch sizes, or 1/c
 * @param values NaN where not measured; at least one is
 */
function estimate(positions: Float64Array, values: Float64Array, target: number): Estimate {
  const known = [...values.keys()].filter((i) => !Number.isNaN(values[i]!));
  const above = known.findIndex((i) => i > target);
  const isInside = above > 0;
  // The two known cells that the line goes through: around the target, or the two nearest on its one side.
  const [near, far] = isInside
    ? [known[above - 1]!, known[above]!]
    : above === 0
      ? [known[0]!, known[1]]
      : [known.at(-1)!, known.at(-2)];
  const nearMs = values[near]!;
  if (far === undefined) return { latencyMs: nearMs, grade: 0 };
  const slope = (values[far]! - nearMs) / (positions[far]! - positions[near]!);
  const latencyMs = nearMs + slope * (positions[target]! - positions[near]!);
  if (isInside) return { latencyMs, grade: 2 };
  // More work never takes less time, nor more than in proportion.
  const inProportion = nearMs * (positions[target]! / positions[near]!);
  const [least, most] = target > near ? [nearMs, inProportion] : [inProportion, nearMs];
  return { latencyMs: Math.min(Math.max(latencyMs, least), most), grade: 1 };
}

/** Rows of a table for every batch size from 0 to the largest; below the smallest measured one, its row. */
function everyBatchSize(batchSizes: Float64Array, cells: Matrix): Float64Array {
  const { columnCount, values } = cells;
  const largest = batchSizes.at(-1)!;
  const rows = new Float64Array((largest + 1) * columnCount);
  let upper = 0;
  for (let batchSize = 0; batchSize <= largest; batchSize++) {
    if (batchSize > batchSizes[upper]!) upper++;
    const lower = batchSize >= batchSizes[upper]! ? upper : Math.max(upper - 1, 0);
    const share = lower === upper ? 0 : (batchSize - batchSizes[lower]!) / (batchSizes[upper]! - batchSizes[lower]!);
    for (let column = 0; column < columnCount; column++) {
      rows[batchSize * columnCount + column] =
        (1 - share) * values[lower * columnCount + column]! + share * values[upper * columnCount + column]!;
    }
  }
  return rows;
}

/** Distinct values in ascending order. */
function ascending(values: readonly number[]): Float64Array<ArrayBuffer> {
  return Float64Array.from(new Set(values)).sort();
}
