import { BandwidthTrace } from '../workloads/bandwidth-trace.js';

/*
 * What the formats share. Their files are downloaded from all over, so everything wrong with one is said in one line that
 * an editor can open: `file:line: cause; remedy`.
 */

/** More than any log of a day at 20 ms, and a bound on memory: a line becomes a few numbers. */
export const MAX_TRACE_LINES = 5_000_000;

/** Enough of a field to recognise it. */
const MAX_QUOTED_CHARS = 40;

/** Digits with a point and an exponent; not what `Number` takes besides: empty text, hexadecimal, `Infinity`. */
const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/** Where a line stands; `line` from 1. */
export interface Place {
  readonly name: string;
  readonly line: number;
}

export function errorAt({ name, line }: Place, cause: string, remedy: string): Error {
  return new Error(`${name}:${line}: ${cause}; ${remedy}`);
}

/**
 * Visits every line that has more than a `#` comment, trimmed and without it. Line numbers count all lines.
 * @param name of the file, for errors: more than `MAX_TRACE_LINES` lines are one, and so is no data at all
 */
export function forEachDataLine(name: string, text: string, visit: (line: string, place: Place) => void): void {
  let lineNumber = 0;
  let dataCount = 0;
  // A byte order mark is not data.
  for (let start = text.startsWith('\uFEFF') ? 1 : 0; start < text.length;) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline;
    lineNumber += 1;
    const place = { name, line: lineNumber };
    if (lineNumber > MAX_TRACE_LINES) throw errorAt(place, `more than ${MAX_TRACE_LINES} lines`, 'shorten the file');
    const line = withoutComment(text.slice(start, end));
    if (line !== '') {
      visit(line, place);
      dataCount += 1;
    }
    start = end + 1;
  }
  if (dataCount === 0) throw new Error(`${name}: no data; give a file with at least one line of numbers`);
}

/** @param what names the number in the error: "the bandwidth"   @param remedy what to write there */
export function parseAtLeastZero(field: string, place: Place, what: string, remedy: string): number {
  const value = DECIMAL.test(field) ? Number(field) : NaN;
  if (!Number.isFinite(value)) throw errorAt(place, `${what} is ${quote(field)}, not a number`, remedy);
  if (value < 0) throw errorAt(place, `${what} is ${field}, below 0`, remedy);
  return value;
}

export function isDecimal(field: string): boolean {
  return DECIMAL.test(field);
}

/** The steps as a trace, or an error that names the file where they carry nothing: no transfer over it would end. */
export function toTrace(name: string, stepMs: readonly number[], bytesPerMs: readonly number[]): BandwidthTrace {
  const totalBytes = stepMs.reduce((sum, lengthMs, step) => sum + lengthMs * bytesPerMs[step]!, 0);
  if (totalBytes < 1) throw new Error(`${name}: no bandwidth anywhere, no transfer would end; give a trace with some`);
  if (totalBytes === Infinity) throw new Error(`${name}: the bandwidth overflows; check its unit`);
  return new BandwidthTrace(stepMs, bytesPerMs);
}

/** In quotes and escaped, as a file that is no text would otherwise reach the terminal. */
export function quote(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED_CHARS ? `${text.slice(0, MAX_QUOTED_CHARS)}…` : text);
}

function withoutComment(line: string): string {
  const hash = line.indexOf('#');
  return (hash === -1 ? line : line.slice(0, hash)).trim();
}
