import { readFileSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import type { BandwidthTrace } from '../workloads/bandwidth-trace.js';
import { parseBandwidthCsv } from './csv.js';
import { authorsBandwidth, ghentBandwidth, parseGhent } from './ghent.js';
import { parseMahimahi } from './mahimahi.js';
import { parseRates } from './rate-file.js';

/** Files are read whole, so this bounds memory. Ten minutes of Ghent log are 35 KB, hours of Mahimahi some MB. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;

/** Mahimahi names its own traces by direction; the others say what they are. */
const MAHIMAHI_EXTENSIONS: ReadonlySet<string> = new Set(['.up', '.down', '.mahi', '.mahimahi']);

/**
 * A bandwidth trace from a file in any of the formats here. The extension decides where it is one of a format's; else the
 * first line with data: six columns are a Ghent log, one whole number is Mahimahi, anything else CSV. So a list of
 * whole Mbit/s must be named .csv; as Mahimahi it would be refused at its first decrease.
 *
 * Errors are one line with cause and remedy.
 */
export function loadTrace(path: string): BandwidthTrace {
  return parse(path, readTraceText(path));
}

/**
 * A bandwidth trace as the paper's authors read it: row i of a Ghent log, cut to whole bytes/ms, for all of second i,
 * though the row lasted 725 to 1010 ms. Logs of other formats have no rows to read so and are as in `loadTrace`.
 */
export function loadAuthorsTrace(path: string): BandwidthTrace {
  const text = readTraceText(path);
  return formatOf(path, text) === 'ghent' ? authorsBandwidth(path, parseGhent(path, text)) : parse(path, text);
}

/** Request rates of each second, from a file with one number a line. */
export function loadRates(path: string): readonly number[] {
  return parseRates(path, readTraceText(path));
}

/** @param maxBytes for tests; `MAX_FILE_BYTES` by default */
export function readTraceText(path: string, maxBytes = MAX_FILE_BYTES): string {
  const info = statSync(path, { throwIfNoEntry: false });
  if (info === undefined) throw new Error(`${path}: no such file; check the path`);
  if (!info.isFile()) throw new Error(`${path}: not a regular file; give the path of a text file`);
  if (info.size > maxBytes) {
    throw new Error(`${path}: ${info.size} bytes, more than ${maxBytes}; shorten the file`);
  }
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}; make the file readable`, { cause: error });
  }
}

function parse(path: string, text: string): BandwidthTrace {
  switch (formatOf(path, text)) {
    case 'csv':
      return parseBandwidthCsv(path, text);
    case 'mahimahi':
      return parseMahimahi(path, text);
    case 'ghent':
      return ghentBandwidth(path, parseGhent(path, text));
  }
}

function formatOf(path: string, text: string): 'csv' | 'mahimahi' | 'ghent' {
  const extension = extname(path).toLowerCase();
  if (extension === '.csv') return 'csv';
  if (MAHIMAHI_EXTENSIONS.has(extension)) return 'mahimahi';
  const firstLine = /^\s*([^#\s][^#\n]*)/m.exec(text)?.[1]?.trim() ?? '';
  if (firstLine.split(/\s+/).length === 6 && !firstLine.includes(',')) return 'ghent';
  return /^\d+$/.test(firstLine) ? 'mahimahi' : 'csv';
}
