import { quantile } from '../../src/scheduler/perf-model/quantile.js';

/*
 * How the paper's figure counts violations. For each second: the replies that were dropped, because they came back after
 * the drop limit or later, and one more if the second's P99 is above 1 s; over 40 (Sponge, FA2) or 20 (static), though all
 * were sent 20 requests a second. Times are the server's: the network is neither in them nor taken off what they are held
 * against. It is therefore not the share of requests that were late for their own deadline.
 *
 * Seconds are those of sending. A request that has no reply (refused, expired) is a drop.
 */

export interface ServedSecond {
  /** Of the requests sent in this second that were answered: from being received to the answer. */
  readonly serverMs: readonly number[];
  /** Those that were not. */
  readonly unanswered: number;
}

const P99_LIMIT_MS = 1000;

/** Violations of each second, not yet divided by anything. */
export function paperViolations(seconds: readonly ServedSecond[], dropLimitMs: number): number[] {
  return seconds.map(({ serverMs, unanswered }) => {
    const drops = serverMs.filter((each) => each >= dropLimitMs).length + unanswered;
    return drops + Number(p99Ms(serverMs) > P99_LIMIT_MS);
  });
}

/** 0 of none. */
export function p99Ms(serverMs: readonly number[]): number {
  return serverMs.length === 0 ? 0 : quantile(Float64Array.from(serverMs).sort(), 0.99);
}

export function paperPercent(violations: readonly number[], dividedBy: number): number {
  const total = violations.reduce((sum, each) => sum + each, 0);
  return (100 * total) / (violations.length * dividedBy);
}
