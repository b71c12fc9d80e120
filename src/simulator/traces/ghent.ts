import type { BandwidthTrace } from '../workloads/bandwidth-trace.js';
import { errorAt, forEachDataLine, isDecimal, parseAtLeastZero, quote, toTrace } from './trace-text.js';

/*
 * The Ghent 4G/LTE logs (van der Hooft et al., "HTTP/2-Based Adaptive Streaming of HEVC Video over 4G/LTE Networks",
 * 2016), of which the paper uses report_bus_0001.log. Six columns separated by spaces, about a row a second: epoch ms, ms
 * since the start, latitude, longitude, bytes since the row before, ms since the row before.
 */

export interface GhentLog {
  /** Time since the row before, ms > 0; one per row. */
  readonly stepMs: readonly number[];
  /** Mean bandwidth over that time. */
  readonly bytesPerMs: readonly number[];
  /**
   * The same, cut to a whole number. The paper's authors compute network delays from this, with row i for all of second
   * i whatever the row's own length, and start again after the last row.
   */
  readonly truncatedBytesPerMs: readonly number[];
}

const COLUMNS = ['epoch ms', 'ms since start', 'latitude', 'longitude', 'bytes since last row', 'ms since last row'];
const ROW_REMEDY = `a row of a Ghent log is: ${COLUMNS.join(', ')}`;

/** @param name of the file, for errors */
export function parseGhent(name: string, text: string): GhentLog {
  const stepMs: number[] = [];
  const bytesPerMs: number[] = [];
  forEachDataLine(name, text, (line, place) => {
    const fields = line.split(/\s+/);
    if (fields.length !== COLUMNS.length) {
      throw errorAt(place, `${fields.length} columns instead of ${COLUMNS.length}`, ROW_REMEDY);
    }
    const bad = fields.findIndex((field) => !isDecimal(field));
    if (bad !== -1) throw errorAt(place, `${COLUMNS[bad]!} is ${quote(fields[bad]!)}, not a number`, ROW_REMEDY);
    const bytes = parseAtLeastZero(fields[4]!, place, COLUMNS[4]!, ROW_REMEDY);
    const lengthMs = parseAtLeastZero(fields[5]!, place, COLUMNS[5]!, ROW_REMEDY);
    if (lengthMs === 0) throw errorAt(place, 'no time has passed since the last row', 'remove the row');
    stepMs.push(lengthMs);
    bytesPerMs.push(bytes / lengthMs);
  });
  return { stepMs, bytesPerMs, truncatedBytesPerMs: bytesPerMs.map(Math.trunc) };
}

/** The log as it was measured: each row lasts as long as it says. */
export function ghentBandwidth(name: string, log: GhentLog): BandwidthTrace {
  return toTrace(name, log.stepMs, log.bytesPerMs);
}

/** The log as the authors read it: `truncatedBytesPerMs`, a second each. */
export function authorsBandwidth(name: string, { truncatedBytesPerMs }: GhentLog): BandwidthTrace {
  return toTrace(
    name,
    truncatedBytesPerMs.map(() => 1000),
    truncatedBytesPerMs,
  );
}
