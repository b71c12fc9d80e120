import { lowerBound } from './columns.js';

/*
 * From rows to what a chart draws: one value a bin. Bins begin at multiples of their length, so that as the window moves on
 * a bin's value changes only while it is the newest, and nothing flickers.
 */

export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/** A table whose rows are in order of their instant. */
export interface Timed {
  column(name: 'atMs'): Float64Array;
}

export interface Bins {
  readonly startMs: number;
  readonly binMs: number;
  readonly count: number;
}

/** A gap where there is nothing. */
export type Series = (number | null)[];

const NICE_MS = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500];
const NICE_SEC = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600];
const NICE = [...NICE_MS, ...NICE_SEC.map((seconds) => seconds * 1000)];

/** About `wanted` of them and at most as many, but for the cut ones at both ends. */
export function binsOver({ fromMs, toMs }: TimeRange, wanted: number): Bins {
  const leastMs = (toMs - fromMs) / wanted;
  const binMs = NICE.find((nice) => nice >= leastMs) ?? Math.ceil(leastMs / 3_600_000) * 3_600_000;
  const startMs = Math.floor(fromMs / binMs) * binMs;
  return { startMs, binMs, count: Math.max(1, Math.ceil((toMs - startMs) / binMs)) };
}

/** Beginning of each bin, seconds since `originMs`: the x values of a chart. */
export function binSeconds({ startMs, binMs, count }: Bins, originMs: number): number[] {
  return Array.from({ length: count }, (_, index) => (startMs + index * binMs - originMs) / 1000);
}

export interface StepBins {
  /** Weighted by how long each value was in force. */
  readonly mean: Series;
  readonly least: Series;
  readonly most: Series;
}

/**
 * Of a value that holds from its row until the next one. Null before its first row and from `untilMs` on; a NaN value is in
 * force like another and gives null.
 */
export function stepBins(atMs: Float64Array, values: Float64Array, bins: Bins, untilMs: number): StepBins {
  const { startMs, binMs, count } = bins;
  const [mean, least, most]: [Series, Series, Series] = [[], [], []];
  // The row in force at the start of the first bin; −1 where that is before all rows.
  let row = lowerBound(atMs, startMs) - 1;
  if (atMs[row + 1] === startMs) row += 1;
  for (let bin = 0; bin < count; bin++) {
    const endMs = Math.min(startMs + (bin + 1) * binMs, untilMs);
    let cursorMs = startMs + bin * binMs;
    let weighted = 0;
    let heldMs = 0;
    let low = Infinity;
    let high = -Infinity;
    while (cursorMs < endMs) {
      const next = atMs[row + 1];
      const toMs = next === undefined || next >= endMs ? endMs : next;
      const value = values[row];
      if (toMs > cursorMs && value !== undefined && !Number.isNaN(value)) {
        weighted += value * (toMs - cursorMs);
        heldMs += toMs - cursorMs;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      cursorMs = toMs;
      while (row + 1 < atMs.length && atMs[row + 1]! <= cursorMs) row += 1;
    }
    const isEmpty = heldMs === 0;
    mean.push(isEmpty ? null : weighted / heldMs);
    least.push(isEmpty ? null : low);
    most.push(isEmpty ? null : high);
  }
  return { mean, least, most };
}

/** Rows with `fromMs` ≤ `atMs` < `toMs`, as indices into the columns. */
export function rowsWithin(table: Timed, { fromMs, toMs }: TimeRange): readonly [from: number, to: number] {
  const atMs = table.column('atMs');
  return [lowerBound(atMs, fromMs), lowerBound(atMs, toMs)];
}

export function binOf({ startMs, binMs }: Bins, atMs: number): number {
  return Math.floor((atMs - startMs) / binMs);
}

/** Index of the bin that holds `x`, of beginnings as `binSeconds` gives them; null before the first. */
export function indexAt(beginnings: readonly number[], x: number): number | null {
  const index = beginnings.findLastIndex((beginning) => beginning <= x);
  return index === -1 ? null : index;
}

/** The rows of each bin that lie before `untilMs`. */
export function forEachBin(
  table: Timed,
  bins: Bins,
  untilMs: number,
  visit: (bin: number, from: number, to: number) => void,
): void {
  const atMs = table.column('atMs');
  let from = lowerBound(atMs, bins.startMs);
  for (let bin = 0; bin < bins.count; bin++) {
    const endMs = Math.min(bins.startMs + (bin + 1) * bins.binMs, untilMs);
    let to = from;
    while (to < atMs.length && atMs[to]! < endMs) to += 1;
    visit(bin, from, to);
    from = to;
  }
}

const EMPTY = new Float64Array(0);

/** Reused between calls, so that a redraw allocates nothing here. */
let scratch = EMPTY;

/** The values of rows `from` to `to` that are numbers, in ascending order. A view: only until the next call. */
export function sortedValues(column: Float64Array, from: number, to: number): Float64Array {
  if (scratch.length < to - from) scratch = new Float64Array(2 * (to - from));
  let count = 0;
  for (let row = from; row < to; row++) {
    const value = column[row]!;
    if (!Number.isNaN(value)) scratch[count++] = value;
  }
  return scratch.subarray(0, count).sort();
}

/** The nearest-rank quantile of ascending values; null of none. @param fraction in [0, 1] */
export function quantileOf(ascending: Float64Array, fraction: number): number | null {
  if (ascending.length === 0) return null;
  const rank = Math.min(ascending.length, Math.max(1, Math.ceil(fraction * ascending.length)));
  return ascending[rank - 1]!;
}
