import { basename } from 'node:path';
import { stream } from '../../src/scheduler/random/streams.js';
import type { BandwidthTrace } from '../../src/simulator/workloads/bandwidth-trace.js';
import { lteBandwidth } from '../../src/simulator/workloads/lte-trace.js';
import { loadAuthorsTrace } from '../../src/simulator/traces/load-trace.js';

/*
 * The bandwidth that everything in this experiment is computed from: the log that the paper uses, for those who have it, or
 * the generated series that stands in for it.
 */

export interface NetworkSource {
  /** `paper-log`: the very one; `other-log`: some log. */
  readonly kind: 'generated' | 'paper-log' | 'other-log';
  /** In a sentence, for every report. */
  readonly description: string;
  /** Of a log, as it was given. */
  readonly path: string | null;
  /** Bandwidth of each second as the authors' code has it: whole bytes/ms. A log is the same for every seed. */
  bytesPerMs(seed: number, seconds: number): readonly number[];
}

export const PAPER_LOG = 'report_bus_0001.log';

const GENERATED: NetworkSource = {
  kind: 'generated',
  description:
    `generated 4G-like series, one a seed, with the published distribution and memory of ${PAPER_LOG}; the log itself is ` +
    'not part of this software (give it with --network-log)',
  path: null,
  bytesPerMs: (seed, seconds) => [...lteBandwidth(seriesOf(seed), { seconds })].map(Math.trunc),
};

/** As the simulator makes it for its first client, so that what is replayed is what is simulated. */
function seriesOf(seed: number): ReturnType<typeof stream> {
  return stream(seed, 'bandwidth of client 0');
}

/** @throws Error, one line, where the file is missing or wrong */
export function networkSource(path?: string): NetworkSource {
  if (path === undefined) return GENERATED;
  const trace = loadAuthorsTrace(path);
  const isPapers = isPaperLog(trace);
  const name = basename(path);
  return {
    kind: isPapers ? 'paper-log' : 'other-log',
    description: isPapers
      ? `${name}, the Ghent 4G/LTE log that the paper uses`
      : `${name}, a log other than the paper's (${PAPER_LOG})`,
    path,
    bytesPerMs: (_, seconds) =>
      Array.from({ length: seconds }, (_, second) => Math.trunc(trace.bytesPerMsAt(second * 1000))),
  };
}

/** 607 rows, the first of 3 263 799 bytes in 725 ms, and 0.432 to 6.999 MB/s. */
function isPaperLog(trace: BandwidthTrace): boolean {
  const rates = Array.from({ length: 607 }, (_, second) => trace.bytesPerMsAt(second * 1000));
  return (
    trace.durationMs === 607_000 &&
    rates[0] === 4501 &&
    Math.round(Math.min(...rates)) === 432 &&
    Math.trunc(Math.max(...rates) / 10) === 699
  );
}
