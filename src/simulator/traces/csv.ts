import type { BandwidthTrace } from '../workloads/bandwidth-trace.js';
import { errorAt, forEachDataLine, isDecimal, parseAtLeastZero, quote, toTrace, type Place } from './trace-text.js';

/*
 * Bandwidth as comma-separated values, for traces from anywhere else. Either
 *
 * - a header line that names a column of instants, `seconds` or `ms`, and one of bandwidths, `bytes_per_ms`, `mbit_per_s`
 *   or `megabytes_per_s` (10^6 bytes); other columns are ignored. A row's bandwidth holds from its instant to the next
 *   row's; the last row lasts as long as the one before it. The first instant is where the trace starts; or
 * - no header and one column: Mbit/s, a row a second.
 *
 * No quoting: numbers need none.
 */

/** Column → ms. */
const TIME_UNITS_MS: ReadonlyMap<string, number> = new Map([
  ['seconds', 1000],
  ['ms', 1],
]);

/** Column → bytes/ms. 1 Mbit/s is 10^6 / 8 bytes in 1000 ms. */
const BANDWIDTH_UNITS_BYTES_PER_MS: ReadonlyMap<string, number> = new Map([
  ['bytes_per_ms', 1],
  ['mbit_per_s', 125],
  ['megabytes_per_s', 1000],
]);

/** Of a row that has no other to say how long rows last, and of rows without instants. */
const DEFAULT_STEP_MS = 1000;

const FORMAT_REMEDY = `give a header with ${names(TIME_UNITS_MS)} and ${names(BANDWIDTH_UNITS_BYTES_PER_MS)}, or one column of Mbit/s`;

interface Column {
  readonly index: number;
  readonly unit: number;
}

interface Columns {
  readonly count: number;
  /** Null for a row a second. */
  readonly time: Column | null;
  readonly bandwidth: Column;
}

/** @param name of the file, for errors */
export function parseBandwidthCsv(name: string, text: string): BandwidthTrace {
  const instantsMs: number[] = [];
  const bytesPerMs: number[] = [];
  let columns: Columns | null = null;
  forEachDataLine(name, text, (line, place) => {
    const fields = line.split(',').map((field) => field.trim());
    if (columns === null) {
      columns = columnsOf(fields, place);
      if (columns.time !== null) return;
    }
    const { count, time, bandwidth } = columns;
    if (fields.length !== count) {
      throw errorAt(place, `${fields.length} columns instead of ${count}`, 'separate by commas; decimals take a point');
    }
    const remedy = 'write a number ≥ 0';
    bytesPerMs.push(bandwidth.unit * parseAtLeastZero(fields[bandwidth.index]!, place, 'the bandwidth', remedy));
    if (time === null) return;
    const atMs = time.unit * parseAtLeastZero(fields[time.index]!, place, 'the instant', remedy);
    const lastMs = instantsMs.at(-1) ?? -1;
    if (atMs <= lastMs) throw errorAt(place, `${atMs} ms comes after ${lastMs} ms`, 'sort the rows, one an instant');
    instantsMs.push(atMs);
  });
  if (bytesPerMs.length === 0) throw new Error(`${name}: a header and no rows; add a row`);
  return toTrace(name, stepsMs(instantsMs, bytesPerMs.length), bytesPerMs);
}

function columnsOf(fields: readonly string[], place: Place): Columns {
  if (fields.length === 1 && isDecimal(fields[0]!)) {
    return { count: 1, time: null, bandwidth: { index: 0, unit: BANDWIDTH_UNITS_BYTES_PER_MS.get('mbit_per_s')! } };
  }
  return {
    count: fields.length,
    time: columnOf(fields, TIME_UNITS_MS, place),
    bandwidth: columnOf(fields, BANDWIDTH_UNITS_BYTES_PER_MS, place),
  };
}

/** The one column of the header that has one of the units. */
function columnOf(header: readonly string[], units: ReadonlyMap<string, number>, place: Place): Column {
  const found = header.flatMap((title, index): readonly Column[] => {
    const unit = units.get(title.toLowerCase());
    return unit === undefined ? [] : [{ index, unit }];
  });
  const only = found[0];
  if (only === undefined || found.length > 1) {
    const cause = `${found.length === 0 ? 'no' : 'more than one'} column ${names(units)} in ${quote(header.join(','))}`;
    throw errorAt(place, cause, FORMAT_REMEDY);
  }
  return only;
}

function stepsMs(instantsMs: readonly number[], count: number): readonly number[] {
  if (instantsMs.length === 0) return new Array<number>(count).fill(DEFAULT_STEP_MS);
  const steps = instantsMs.slice(1).map((atMs, row) => atMs - instantsMs[row]!);
  return [...steps, steps.at(-1) ?? DEFAULT_STEP_MS];
}

function names(units: ReadonlyMap<string, number>): string {
  return [...units.keys()].join(' | ');
}
